"""``tools/gpu_check`` without a GPU: every part of the script, with the stand-in for CuPy."""

import importlib.machinery
import importlib.util
import json
import math
import pathlib
import subprocess
import sys
import time
import types

import pytest

ROOT = pathlib.Path(__file__).parent.parent


def run(*arguments):
    return subprocess.run([sys.executable, str(ROOT / "tools" / "gpu_check"), *map(str, arguments)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def script():
    """The script as a module."""
    loader = importlib.machinery.SourceFileLoader("gpu_check", str(ROOT / "tools" / "gpu_check"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("gpu_check", loader))
    loader.exec_module(module)
    return module


@pytest.fixture
def check(script, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "device", lambda dry: {"name": "a GPU", "driver": "580", "memory_gb": 100.0})
    options = types.SimpleNamespace(parts=list(script.PARTS), workloads=("tiny",), minutes=9.5, seconds=0.01, output=str(tmp_path / "found.json"),
                                    markdown=False, precise=False, run=[], dry=True)  # fmt: skip
    return script.Check(options)


def test_a_dry_run(tmp_path):
    ran = run("--dry", "--workloads", "tiny", "--markdown", "--output", tmp_path / "found.json")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["failed"] == [] and found["conformance"]["passed"] == 40 and not found["conformance"]["failed"]
    assert [line["workload"] for line in found["agreement"]] == ["tiny"] and found["agreement"][0]["difference"] < 1e-4
    libraries = {(line["library"], line["times"]) for line in found["benchmark"]}
    assert libraries >= {(name, times) for name in ("kerasish", "kerasish-tensors", "jax") for times in (1, 8)}
    assert all("ms" in line for line in found["benchmark"])
    assert found["kernels"]["tiny"]["own"]["losses"] and found["kernels"]["tiny"]["calls"]["wrong"] == []
    assert found["rates"]["copy_gb_s"] > 0 and {"tf32", "float32"} <= set(found["rates"]["matrix"])
    assert [step["workload"] for step in found["steps"]] == ["tiny", "tiny"] and all(part["ms"] > 0 for part in found["steps"][0]["parts"])
    assert "passed" in ran.stdout and "batch 256" in ran.stdout
    markdown = (tmp_path / "found.md").read_text()
    assert markdown in ran.stdout and "| tiny | 32 |" in markdown and "matmul" in markdown


def test_what_takes_too_long_is_left_out(tmp_path):
    ran = run("--dry", "--parts", "agreement", "--minutes", "0.001", "--workloads", "tiny", "--output", tmp_path / "found.json")
    assert "left out: agreement: tiny: its time was over" in ran.stdout


def test_without_cupy_it_says_what_to_install(tmp_path):
    if importlib.util.find_spec("cupy"):
        pytest.skip("CuPy is installed")
    ran = run("--output", tmp_path / "found.json")
    assert ran.returncode == 2 and 'pip install "kerasish[cuda13]"' in ran.stdout


def test_without_a_gpu_it_says_so(script, monkeypatch, capsys):
    monkeypatch.setattr(script.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(script, "device", lambda dry: {"error": "cudaErrorNoDevice"})
    monkeypatch.setattr(sys, "argv", ["gpu_check"])
    assert script.main() == 2
    assert capsys.readouterr().out.splitlines() == ["CuPy is installed but finds no GPU that it can use (cudaErrorNoDevice); --dry runs without."]


# ---- children that fail
CHILD = """
import json, os, sys, time
start = int(sys.argv[sys.argv.index("--skip") + 1])
for item, what in list(enumerate(sys.argv[1].split(",")))[start:]:
    if what == "dies":
        sys.exit("no reason")
    if what == "hangs":
        time.sleep(100)
    error = {"error": "broken"} if what == "breaks" else {}
    print(json.dumps({"item": item, "what": what, **error}), flush=True)
    if what == "breaks":
        sys.exit(3)
"""


def task(script, items, **options):
    names = items.split(",")
    return script.Task("t", [sys.executable, "-c", CHILD, items], names, **options)


@pytest.mark.parametrize(
    ("items", "done", "problems"),
    [
        ("a,b", "a b", []),
        ("a,breaks,b", "a breaks b", []),
        ("a,dies,b", "a b", ["dies: it ended with status 1: no reason"]),
        ("dies,a,dies,b", "a b", ["dies: it ended with status 1: no reason"] * 2),
        ("dies,dies,a,b", "", ["dies: it ended with status 1: no reason"] * 2 + ["not tried any more: a, b"]),
        ("a,hangs,b", "a b", ["hangs: nothing came from it for 1 s"]),
        ("a,breaks", "a breaks", []),
    ],
)
def test_a_task_goes_on_behind_what_fails(script, check, items, done, problems):
    made = task(script, items, patience=1)
    check.run([made], time.monotonic() + 20)
    assert [line["what"] for line in made.lines] == done.split()
    assert made.problems == problems


def test_what_hangs_ends_when_the_time_is_over(script, check):
    hanging, waiting = task(script, "a,hangs,b", patience=math.inf), task(script, "a")
    began = time.monotonic()
    check.run([hanging, waiting], began + 1)
    assert time.monotonic() - began < 3
    assert [line["what"] for line in hanging.lines] == ["a"] and hanging.problems == ["its time was over, before hangs, b"]
    assert waiting.lines == [] and waiting.problems == ["its time was over, before a"]
    check.note(hanging)
    assert check.failed == [] and check.left_out == ["t: its time was over, before hangs, b"]


@pytest.mark.parametrize("dry", [True, False])
def test_tests_on_the_stand_in_are_no_success(check, monkeypatch, dry):
    said = ["SKIPPED [1] tests/gpu/test_on_gpu.py: needs a GPU and CuPy", "=== 3 passed, 1 skipped in 1.0s ==="]
    monkeypatch.setattr(check, "run", lambda tasks, *more: setattr(tasks[0], "text", said))
    check.options.dry = dry
    check.tests()
    assert check.failed == ([] if dry else ["tests: they saw no GPU, though CuPy does: is there no /dev/nvidia0?"])


def test_a_part_that_fails_stops_no_other(check, monkeypatch):
    monkeypatch.setattr(check, "tests", lambda: 1 / 0)
    check.part("tests")
    assert "tests: ZeroDivisionError" in check.failed[0]
    assert json.loads(pathlib.Path(check.options.output).read_text())["failed"] == check.failed


def test_the_time_that_a_part_leaves_is_the_next_one_s(script, check):
    shares = [check.until(part) - time.monotonic() for part in script.PARTS]
    check.options.parts = list(script.PARTS)[1:]
    assert check.until("kernels") - time.monotonic() > shares[1] - 0.1
    assert shares[-1] == pytest.approx(check.end - time.monotonic(), abs=0.1)  # the last one has all that is left


def test_kernels_that_differ_fail(check):
    of = {"own": {"losses": [1.0, 0.9]}, "kernels": {"losses": [1.01, 0.9]}, "graphs": {"losses": [1.01, math.nan]},
          "calls": {"checked": 3, "unread": 0, "worst": 0.5, "call": "add", "wrong": ["add of 2: 5e-01"]}}  # fmt: skip
    check._judge("tiny", of)
    said = "\n".join(check.failed)
    assert "losses with and without own kernels" in said and "graphs: losses are" in said and "add of 2: 5e-01" in said


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"planned": False}, "tiny, graphs: the step was not recorded"),
        ({"planned": True, "compiled": 0, "captured": 0}, "tiny: steps run without own kernels"),
        ({"planned": True, "compiled": 9, "captured": 0}, "tiny: steps run without CUDA graphs"),
        ({"planned": True, "compiled": 9, "captured": 1}, None),
    ],
)
def test_steps_without_what_is_checked_fail(check, made, said):
    more = {"launches": 5, "libraries": {}, "host": {}, "stretches": 1} if made["planned"] else {}
    check._judge("tiny", {"graphs": {"losses": [1.0], **made, **more}})
    assert check.failed == ([f"kernels: {said}"] if said else [])


def test_ratios_are_to_the_best_of_the_peers(script):
    of = {"kerasish": 3.0, "kerasish-tensors": 2.0, "torch": 4.0, "jax": 2.0}
    assert script.both_ratios(of, script.PEERS) == "1.50, 1.00" and script.both_ratios(of, ["torch"]) == "0.75, 0.50"
    assert script.both_ratios({"kerasish": 3.0}, script.PEERS) == script.both_ratios({"torch": 3.0}, script.PEERS) == "-"


def test_agreement_tells_both(check, script, monkeypatch):
    lines = [{"workload": "a", "difference": 1e-6, "variable": "w"}, {"workload": "b", "difference": 0.5, "variable": "w", "in_float64": 1e-13},
             {"workload": "c", "difference": 0.5, "variable": "w", "in_float64": 0.5, "error": "w differs"}]  # fmt: skip
    monkeypatch.setattr(check, "run", lambda tasks, *more: setattr(tasks[0], "lines", lines))
    check.agreement()
    verdicts = [more for *_, more in check.rows]
    assert verdicts == ["within 1e-04", "beyond 1e-04 by rounding: float64 is within 1e-08", "FAILS"]
    assert "float32 5.0e-01" in check.rows[1][1] and "float64 1.0e-13" in check.rows[1][1] and check.failed == ["agreement: c: w differs"]
