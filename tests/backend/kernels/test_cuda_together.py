"""Launches that become one: which can, and that blocks find their arguments."""

import numpy as np
import pytest

import kerasish as keras
from kerasish.backend.kernels.cuda import bridge
from kerasish.backend.kernels.cuda.launch import THREADS, Launch, source
from kerasish.backend.kernels.cuda.together import Table, gathered, of_several
from tests.backend.kernels import cuda_host as host
from tests.backend.kernels.cuda_plans import HostPrograms, on_host

needs_compiler = pytest.mark.skipif(not host.available(), reason="g++ compiles the sources for the processor")
ADD = source(
    ["const float *x", "float *y", "i64 count"],
    f"const i64 i = (i64)blockIdx.x * {THREADS} + threadIdx.x;\nif (i >= count) return;\ny[i] += x[i];",
    THREADS,
)


def launch(x, y, text=ADD):
    return Launch(text, [host.buffer(x), host.buffer(y), x.size], -(-x.size // THREADS), THREADS)


def place_of(buffer):
    return "addresses", buffer.base.ctypes.data + buffer.offset * buffer.itemsize


def sizes(launches, refused=()):
    return [len(group) for group in gathered(launches, place_of, refused)]


def arrays(*lengths):
    return [np.arange(n, dtype="float32") for n in lengths]


def test_neighbours_of_one_source_that_do_not_hinder_each_other():
    a, b, c, d = arrays(300, 20, 300, 20)
    other = ADD.replace("+=", "-=")
    assert sizes([launch(a, b), launch(a, c), launch(a, d)]) == [3]  # they all read the same
    assert sizes([launch(a, b), launch(c, d, other), launch(a, d)]) == [1, 1, 1]
    assert sizes([launch(a, b), launch(b, c)]) == [1, 1]  # the second reads what the first writes
    assert sizes([launch(a, b), launch(c, a)]) == [1, 1]  # it writes what the first reads
    assert sizes([launch(a, c), launch(b, c)]) == [1, 1]  # both write
    assert sizes([launch(a[:100], c[:100]), launch(a[100:], c[100:])]) == [2]
    assert sizes([launch(a[:100], c[:100]), launch(a[99:], c[99:])]) == [1, 1]
    assert sizes([launch(a, c[:100]), launch(b, c[50:][::-1])]) == [1, 1]
    assert sizes([launch(a, c[:100]), launch(b, c[100:][::-1])]) == [2]


def test_what_must_be_alone():
    a, b, c = arrays(30, 20, 30)
    assert sizes([launch(a, b), launch(a, c)._replace(shared=16)]) == [1, 1]
    assert [len(g) for g in gathered([launch(a, b), launch(a, c)], lambda buffer: None)] == [1, 1]
    assert sizes([launch(a, b), launch(a, c)], {of_several(ADD)}) == [1, 1]


@needs_compiler
@pytest.mark.parametrize("lengths", [(1, 1), (256, 257, 1), (5, 5000, 1, 300, 256, 7)])
def test_blocks_find_their_arguments(lengths):
    xs, ys = arrays(*lengths), [np.ones(n, "float32") for n in lengths]
    launches = [launch(x, y) for x, y in zip(xs, ys, strict=True)]
    table = Table(launches)
    for one, row in zip(launches, table.rows, strict=True):
        row[:] = [place_of(one.args[0])[1], place_of(one.args[1])[1], one.args[2]]
    table.launch.args[0] = table.host.ctypes.data
    host.launch([(table.launch, table.launch.args)])
    for x, y in zip(xs, ys, strict=True):
        np.testing.assert_array_equal(y, x + 1)


def model():
    keras.utils.set_random_seed(2)
    made = keras.Sequential([keras.Input((5,)), *[keras.layers.Dense(n, activation="tanh") for n in (7, 300, 3, 1)]])
    made.compile("adam", "mse")
    return made


def twice_trained():
    x, y = np.random.default_rng(0).standard_normal((2, 16, 5)).astype("float32")
    made = model()
    made.fit(x, y[:, :1], epochs=3, verbose=0)
    made.layers[1].kernel.assign(made.layers[1].kernel * 2)
    made.fit(x, y[:, :1], epochs=2, verbose=0)
    return made.get_weights()


@needs_compiler
def test_all_weights_are_updated_by_one_launch_also_when_one_has_moved(monkeypatch):
    tables, uploaded = [], HostPrograms.upload
    monkeypatch.setattr(HostPrograms, "upload", lambda self, table: (tables.append(len(table.rows)), uploaded(self, table)))
    expected = twice_trained()
    with on_host():
        found = twice_trained()
    assert len(tables) == 2 and min(tables) >= 7  # brought to the device at first, and when a kernel was given a new array
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


class Refusing(HostPrograms):
    """Programs for which one source can't be compiled."""

    source = None

    def load(self, launches):
        for one in launches:
            if Refusing.source is None and "sqrt" in one.source:
                Refusing.source = one.source
            if one.source == Refusing.source:
                bridge._refused.add(one.source)
                raise bridge.Refused


@needs_compiler
def test_a_plan_does_without_a_kernel_that_cannot_be_compiled(monkeypatch):
    from tests.backend.kernels import cuda_plans

    monkeypatch.setattr(cuda_plans.HostBridge, "Programs", Refusing)
    monkeypatch.setattr(bridge, "_refused", set())
    x, y = np.random.default_rng(0).standard_normal((2, 16, 5)).astype("float32")
    expected = model()
    expected.fit(x, y[:, :1], epochs=3, verbose=0)
    with on_host():
        found = model()
        found.fit(x, y[:, :1], epochs=3, verbose=0)
    assert Refusing.source in bridge._refused
    for a, b in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
