"""Checks what an install brings (at most 120 MB), and measures what an import costs (0.25 s beyond numpy and h5py is the aim).

The exit status is that of the size alone: a time on a busy machine says little.

    python tools/footprint.py

Makes an environment of its own with nothing but kerasish and what it requires, so that nothing else is counted.
"""

import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import venv

ROOT = pathlib.Path(__file__).parent.parent
MAX_MEGABYTES, MAX_SECONDS = 120, 0.25
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}  # imports of compiled files


def seconds(python, statement):
    code = f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    run = lambda: subprocess.run([python, "-c", code], check=True, capture_output=True, text=True, env=ENVIRONMENT).stdout
    runs = [float(run()) for _ in range(7)]
    return statistics.median(runs)


def main():
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(pathlib.Path(folder, "bin", "python"))
        before = size(folder)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(ROOT)], check=True, env=ENVIRONMENT)
        megabytes = (size(folder) - before) / 2**20
        extra = seconds(python, "import numpy, h5py, kerasish") - seconds(python, "import numpy, h5py")
    print(f"installed: {megabytes:.0f} MB (at most {MAX_MEGABYTES}); import beyond numpy and h5py: {extra:.3f} s (at most {MAX_SECONDS})")
    return megabytes > MAX_MEGABYTES


def size(folder):
    return sum(path.stat().st_size for path in pathlib.Path(folder).rglob("*") if path.is_file() and not path.is_symlink())


if __name__ == "__main__":
    sys.exit(main())
