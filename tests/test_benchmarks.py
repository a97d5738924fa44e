"""The scripts of ``benchmarks/`` work, and count right."""

import importlib
import json
import pathlib
import re

import keras as real
import numpy as np
import pytest

import kerasish as ours

FOLDER = pathlib.Path(__file__).parents[1] / "benchmarks"
SMALL = {  # sizes that keep a step short
    "mlp": {"width": 16, "depth": 2}, "bigmlp": {"width": 16}, "tiny": {}, "cnn": {}, "resnet": {}, "lstm": {"length": 5}, "transformer": {"length": 6},
}  # fmt: skip


@pytest.fixture
def script(monkeypatch):
    """Imports a script by name."""
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


def built(script, name, keras=ours, **sizes):
    return script("workloads").WORKLOADS[name](keras, **{"samples": 4, "batch": 4, **SMALL[name], **sizes})


def test_there_is_a_small_version_of_each_workload(script):
    assert list(script("workloads").WORKLOADS) == list(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_a_workload_is_keras_s_and_trains(script, name, monkeypatch, tmp_path):
    monkeypatch.setenv("KERASISH_DATA", str(tmp_path))  # no MNIST there
    model, x, y, batch = built(script, name)
    theirs, *_ = built(script, name, real)
    assert [w.shape for w in model.weights] == [tuple(w.shape) for w in theirs.weights]
    assert type(model.optimizer).__name__ == type(theirs.optimizer).__name__
    before = [w.numpy() for w in model.trainable_variables]
    model.run_eagerly = True  # nothing to compile
    assert script("workloads").fit(model, x, y, batch, steps=1) == 1
    assert any((w.numpy() != old).any() for w, old in zip(model.trainable_variables, before, strict=True))
    assert all(np.isfinite(w.numpy()).all() for w in model.trainable_variables)


def test_digits_are_mnist_where_it_is(script, monkeypatch, tmp_path):
    np.savez(tmp_path / "mnist.npz", x_train=np.full((3, 28, 28), 255, "uint8"), y_train=np.array([7, 1, 2], "uint8"))
    monkeypatch.setenv("KERASISH_DATA", str(tmp_path))
    x, y = script("workloads").digits(2)
    assert x.shape == (2, 28, 28) and (x == 1).all() and y.tolist() == [7, 1]


@pytest.mark.parametrize(("samples", "steps", "made"), [(20, 3, 3), (20, 12, 10), (9, 5, 4)])
def test_fit_makes_whole_epochs(script, samples, steps, made):
    model, x, y, batch = built(script, "tiny", samples=samples)
    assert script("workloads").fit(model, x, y, batch, steps) == made == int(model.optimizer.iterations)


# multiplications of one batch of 4: forward, weights' gradients, inputs' gradients where they are wanted
DENSE = 4 * (16 * 10) * 3
EXPECTED = {
    "tiny": 4 * (8 * 16 * 2 + 16 * 1 * 3),
    "mlp": 4 * (784 * 16 * 2 + 16 * 16 * 3) + DENSE,
    "cnn": 4 * (26 * 26 * 9 * 32 * 2 + 11 * 11 * 9 * 32 * 64 * 3 + 1600 * 10 * 3),
    "lstm": 4 * (5 * (128 * 256 * 3 + 64 * 256 * 3) + 64 * 3),
    "transformer": 4 * (6 * (4 * 32 * 64 + 2 * 32 * 32) * 3 + 2 * 6 * 6 * (32 + 32) * 3 + 32 * 20 * 3 + 20 * 2 * 3),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_flops_of_a_step(script, name):
    breakdown = script("breakdown")
    model, x, y, _ = built(script, name)
    trace = breakdown.recorded(model, x, y)
    assert sum(breakdown.flops(trace, call) for call in trace.calls) == 2 * EXPECTED[name]


def test_traffic_of_a_step(script):
    breakdown = script("breakdown")
    model, x, y, _ = built(script, "tiny")
    weights = 4 * (8 * 16 + 16 + 16 + 1)
    state = 4 + 8 + 3 * 4 + 2 * 4  # learning rate, iterations; total and count of the loss
    assert 2 * weights + x.nbytes + y.nbytes <= breakdown.traffic(breakdown.recorded(model, x, y)) <= 2 * (weights + state) + x.nbytes + y.nbytes


@pytest.mark.parametrize("rows", [[], ["--rows"]])
def test_breakdown(script, rows, capsys, tmp_path):
    script("breakdown").main(["tiny", "--steps", "2", "--size", "64", "--plot", str(tmp_path / "step.png"), *rows])
    text = capsys.readouterr().out
    assert "matmul" in text and "GFLOP/s" in text and "times the higher floor" in text
    assert (tmp_path / "step.png").read_bytes().startswith(b"\x89PNG")


def test_a_difference_is_relative_to_the_largest_element(script):
    difference = script("agreement").difference
    assert difference(np.array([3.0, -4.0]), np.array([3.0, -3.0])) == 0.25
    assert difference(np.array([np.nan]), np.array([np.nan])) == difference(np.zeros(0), np.zeros(0)) == 0.0
    assert difference(np.array([1.0]), np.array([np.nan])) == difference(np.array([0.0]), np.array([1.0])) == np.inf


def test_agreement(script, capsys, monkeypatch):
    agreement = script("agreement")
    assert agreement.main(["tiny", "--steps", "3"]) == 0
    row = capsys.readouterr().out.splitlines()[-1].split()
    assert row[0] == "tiny" and int(row[1]) >= 8 and float(row[3]) < 1e-6

    def elsewhere(workload, steps, eagerly, **sizes):
        changed = [("w", [1.0, 2.0 if eagerly else 2.5]), ("attention/key/bias", [1.0 if eagerly else -1.0]), ("b", [0.0])]
        return [[(path, np.array(value)) for path, value in changed]] * 2

    monkeypatch.setattr(agreement, "trained", elsewhere)
    assert agreement.compared("tiny", 3) == (3, 1, [(0.25, "w")] * 2)
    monkeypatch.setattr(agreement.native, "available", lambda: False)
    assert agreement.main(["tiny"]) == 1


@pytest.mark.parametrize(("grows_by", "status"), [(0, 0), (3 << 20, 1)])
def test_memory(script, capsys, monkeypatch, grows_by, status):
    memory = script("memory")
    sizes = iter(range(100 << 20, 1 << 40, grows_by) if grows_by else [100 << 20] * 20)
    monkeypatch.setattr(memory, "resident", lambda: next(sizes))
    monkeypatch.setattr(memory.gc, "collect", lambda: 0)  # slow with all that tests import
    assert memory.main(["tiny=20"]) == status
    assert "20 steps" in capsys.readouterr().out


def test_resident_size_is_that_of_this_process(script):
    size = script("memory").resident()
    held = np.ones(1 << 26, "uint8")
    assert size + held.nbytes // 2 < script("memory").resident()


def test_every_op_has_a_row(script):
    ops, rows = script("ops"), script("op_rows")
    assert len({ops.label(row) for row in rows.ROWS}) == len(rows.ROWS)
    words = {word for row in rows.ROWS for word in re.findall(r"\w+", row.ours)}
    public = {name for name in dir(real.ops) if not name.startswith("_") and callable(getattr(real.ops, name))}
    assert sorted(public - words - rows.WITHOUT_ROW) == []


def test_small_rows_of_ops_run(script):
    ops = script("ops")
    eager, function = ops.of_kerasish("kerasish").values()
    small = [row for row in ops.ROWS if sum(np.prod(shape) for shape, _ in row.inputs) <= 20_000 and row.inputs and not row.gradient]
    assert len(small) > 5
    for row in (*small, *ops.SMALL):
        for a, b in zip(*(ops._leaves(make(row)()) for make in (eager, function)), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-4)
    gradient = script("op_rows").row("tanh(x) * y", *[script("op_rows").floats(3)] * 2, gradient=True)
    for a, b in zip(eager(gradient)(), function(gradient)(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5)


def test_the_table_of_ops_names_the_slow_ones(script):
    ops = script("ops")
    times = {"kerasish eager": (1.0, 9.0, 9.0), "kerasish function": (2.0, 8.0, 1.0), "torch": (1.0, 2.0, 1.0), "jax": (2.0, None, 3.0)}
    rounds = [{column: dict(zip("abc", values, strict=True)) for column, values in times.items()}]
    *lines, _, slow, _, _ = ops.table(rounds, 3)
    assert [line[0] for line in lines[1:]] == ["b", "a", "c"]
    assert slow == "b 4.0"



def test_step_prints_a_figure_for_each_size(script, capsys):
    script("step").main(["kerasish", "lstm", "--samples", "8", "--set", "batch=4", "--vary", "length=2,3", "--seconds", "0.01"])
    found = json.loads(capsys.readouterr().out)
    assert [one["length"] for one in found] == [2, 3] and all(one["ms"] > 0 and one["peak_mb"] > 1 for one in found)


def test_ratios_are_taken_round_by_round(script):
    rounds = {"kerasish": [2.0, 3.0, 8.0], "torch": [4.0, 1.0, 4.0], "keras-jax": [8.0, 2.0, 2.0]}
    results = {name: [[{"ms": ms}] for ms in times] for name, times in rounds.items()}
    assert script("compare").ratio(results) == 3.0


def test_scaling_draws_each_sweep(script, tmp_path):
    script("scaling").plot({title: {"key": "batch", "values": [1, 2], "ms": {"kerasish": [1.0, 2.0], "torch": []}} for title in "abcd"}, tmp_path / "s.png")
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_flops_of_a_plan_are_those_of_its_step(script, name, monkeypatch):
    device, made = script("gpu_device"), built(script, name)
    monkeypatch.setitem(device.WORKLOADS, name, lambda keras, **sizes: made)
    step, plan, data = device.planned(ours, name, 4)
    assert sum(device.flops(plan.trace, call) for call in plan.trace.calls) == 2 * EXPECTED[name]
    assert len(step(*data)) == 2  # logs


def test_differences_of_sums_that_cancel_out_are_none(script):
    apart, x = script("gpu_kernels").apart, np.array([[1.0, -1.0 + 1e-7]], "float32")
    assert apart(np.array([1e-7]), np.array([2e-7]), [x]) == 0.0
    assert apart(np.array([1.0]), np.array([1.5]), [x]) == 0.5
    assert apart(np.array([1.0]), np.array([np.nan]), [x]) == np.inf
    assert apart(np.array([1, 2]), np.array([1, 3]), [np.arange(3)]) == 0.5


def test_what_is_left_empty_is_filled(script):
    filled = script("gpu_kernels").filled(3)
    assert filled.empty((2, 1), "float32").tolist() == [[3.0], [3.0]] and filled.empty_like(np.zeros(2, "int8")).tolist() == [3, 3]
    assert filled.name == "numpy" and filled.add(1, 1) == 2


@pytest.mark.parametrize("library", ["kerasish", "jax"])
def test_gpu_steps_has_a_line_for_each_figure(script, library, capsys):
    steps = script("gpu_steps")
    steps.main([library, "--cpu", "--figures", "tiny:1", "tiny:8", "--seconds", "0.01", "--skip", "1"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["library"] for line in lines] == (["kerasish", "kerasish-tensors"] if library == "kerasish" else ["jax"])
    assert all(line["item"] == 1 and line["batch"] == 256 and line["ms"] > 0 and line["version"] for line in lines)
