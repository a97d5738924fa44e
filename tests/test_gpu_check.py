"""``tools/gpu_check`` without a GPU: every part of the script, with the stand-in for CuPy."""

import importlib.util
import json
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent


def run(*arguments):
    return subprocess.run([sys.executable, str(ROOT / "tools" / "gpu_check"), *map(str, arguments)], capture_output=True, text=True)


def test_a_dry_run(tmp_path):
    ran = run("--dry", "--workloads", "tiny", "--output", tmp_path / "found.json")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["failed"] == [] and found["conformance"]["passed"] > 30 and not found["conformance"]["failed"]
    assert [line["workload"] for line in found["agreement"]] == ["tiny"] and found["agreement"][0]["difference"] < 1e-4
    assert {(line["library"], line["times"]) for line in found["benchmark"]} >= {("kerasish", 1), ("kerasish", 8), ("jax", 1), ("jax", 8)}
    assert all("ms" in line for line in found["benchmark"])
    assert "passed" in ran.stdout and "batch 256" in ran.stdout


def test_what_takes_too_long_is_left_out(tmp_path):
    ran = run("--dry", "--parts", "agreement", "--minutes", "0.001", "--workloads", "tiny", "--output", tmp_path / "found.json")
    assert "left out: agreement: tiny: its time was over" in ran.stdout


def test_without_cupy_it_says_what_to_install(tmp_path):
    if importlib.util.find_spec("cupy"):
        pytest.skip("CuPy is installed")
    ran = run("--output", tmp_path / "found.json")
    assert ran.returncode == 2 and 'pip install "kerasish[cuda13]"' in ran.stdout
