"""What the scripts share: libraries by name, medians, and the same work on several libraries in turn.

Libraries are named ``kerasish``, ``kerasish-numpy`` (without compiled kernels), ``keras-jax``, ``keras-tensorflow``,
``keras-torch``, ``torch`` and ``jax``. Importing this module makes this folder's kerasish the one that is imported.
"""

import importlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

FOLDER = pathlib.Path(__file__).resolve().parent
ROOT = FOLDER.parent
sys.path.insert(0, str(ROOT))


def library(name):
    """The module that a name stands for."""
    package, _, variant = name.partition("-")
    if package == "keras":
        os.environ.update(KERAS_BACKEND=variant, TF_CPP_MIN_LOG_LEVEL="3")
    elif variant == "numpy":
        os.environ["KERASISH_COMPILE"] = "0"
    return importlib.import_module(package)


def cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def median_ms(run, seconds, chunks=5):
    """Milliseconds a call, where ``run(n)`` makes about n calls and returns how many: the median over chunks, after a warm-up."""

    def each(n):
        start = time.perf_counter()
        made = run(n)
        return (time.perf_counter() - start) / made

    each(1)
    first = each(1)
    n = max(1, int(0.1 * seconds / max(first, 1e-7)))
    n = max(1, int(seconds / chunks / max(each(n), 1e-7)))
    return 1e3 * statistics.median(each(n) for _ in range(chunks))


def tell_each(items, skip, work, cpu):
    """Print a line of JSON for each item but the first ``skip``: its number, and what ``work(item)`` puts into the dict it is given.

    After an error the process ends with status 3 where it ran on a GPU, which may be of no more use to it.
    """
    for number, item in list(enumerate(items))[skip:]:
        line = {"item": number}
        try:
            work(item, line)
        except Exception as error:
            line["error"] = f"{type(error).__name__}: {error}"[:600]
        print(json.dumps(line), flush=True)
        if "error" in line and not cpu:
            raise SystemExit(3)


def add_runs(parser, rounds=3, seconds=3.0):
    """The arguments of scripts that compare libraries."""
    what = "a library and an interpreter that has it; once for each"
    parser.add_argument("--run", action="append", required=True, metavar="NAME=PYTHON", help=what)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--seconds", type=float, default=seconds, help="of measuring for each figure")


def runs(arguments):
    """``{name: interpreter}`` of ``--run``, in their order."""
    return dict(run.split("=", 1) for run in arguments.run)


def in_turn(interpreters, script, *arguments, rounds=1):
    """What ``script NAME *arguments`` prints as JSON in its last line, for each library and round: ``{name: [result, ...]}``.

    Rounds go A B C A B C, so that a machine that slows down does so for all. What fails says why and is left out.
    """
    results = {name: [] for name in interpreters}
    for _ in range(rounds):
        for name, python in interpreters.items():
            command = [python, str(FOLDER / script), name, *map(str, arguments)]
            ran = subprocess.run(command, capture_output=True, text=True)
            if ran.returncode:
                print(f"{name} {' '.join(map(str, arguments))} failed: {ran.stderr[-500:]}", file=sys.stderr)
            else:
                results[name].append(json.loads(ran.stdout.splitlines()[-1]))
    return results


def middle(values):
    """The median of the values that are there; None where there is none."""
    values = [value for value in values if value is not None]
    return statistics.median(values) if values else None
