"""Trainings that are killed by SIGKILL at random moments: a short run of tools/kill_test.py, which does it hundreds of times."""

import pathlib
import re
import subprocess
import sys

TOOL = pathlib.Path(__file__).parents[2] / "tools" / "kill_test.py"


def test_a_killed_training_goes_on_exactly():
    command = [sys.executable, str(TOOL), "--kills", "6", "--models", "averages", "--frequencies", "5", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"6 kills, .* bit for bit", done.stdout)
