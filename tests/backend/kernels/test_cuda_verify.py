"""Libraries are trusted with a kind of call when they have done one rightly."""

import types

import numpy as np
import pytest

from kerasish import ops
from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.kernels.cuda import bridge, verify
from kerasish.backend.kernels.cuda.launch import LibraryCall
from tests.backend.kernels import cuda_host as host
from tests.backend.kernels.cuda_plans import on_host

pytestmark = pytest.mark.skipif(not host.available(), reason="g++ compiles the sources for the processor")
XP = NumpyArrays()


def product(x, y, **attrs):
    """A call of matmul, and the buffers of its inputs and output."""
    call = types.SimpleNamespace(op=ops.matmul, attrs=attrs)
    return call, ([host.buffer(x), host.buffer(y)], [host.buffer(np.empty((*x.shape[:-1], y.shape[-1]), x.dtype))])


def arrays(*shapes, dtype="float32"):
    return [np.zeros(shape, dtype) for shape in shapes]


def negated(launches):
    host.run(launches)
    for one in launches:
        if isinstance(one, LibraryCall):
            one.args[2].base[...] *= -1


def silent(launches):
    """A library that does nothing."""


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_right_numbers_are_tolerated_and_wrong_ones_are_not(dtype):
    x, y = arrays((5, 8), (16, 8), dtype=dtype)
    flipped = np.zeros((5, 8), dtype)[::-1], np.zeros((8, 16), dtype)[:, ::-1]
    for call, buffers in (product(x, y.T), product(np.zeros((2, 3, 8), dtype), y.T), product(*flipped)):
        assert verify.difference(XP, call, buffers, host.run) <= 1
        assert verify.difference(XP, call, buffers, negated) > 1
        assert verify.difference(XP, call, buffers, silent) == np.inf


def test_kinds():
    x, y, z = arrays((5, 8), (8, 16), (16, 8))
    same = verify.kind_of(*product(x, y))
    assert same == verify.kind_of(*product(*arrays((7, 3), (3, 2))))
    assert same != verify.kind_of(*product(x, z.T))
    assert same != verify.kind_of(*product(*arrays((5, 8), (8, 16), dtype="float16")))


def test_calls_that_are_not_tried(monkeypatch):
    x, y = arrays((5, 8), (8, 16))
    monkeypatch.setattr(verify, "MOST_ELEMENTS", 5 * 8)
    assert verify.difference(XP, *product(x, y), host.run) is None
    assert verify.difference(XP, *product(*arrays((5, 8), (8, 16), dtype="int32")), host.run) is None


@pytest.mark.parametrize("fault", [negated, silent, lambda launches: [][0]])
def test_a_library_that_does_it_wrongly_is_not_used(monkeypatch, fault):
    monkeypatch.setattr(bridge, "_trust", {})
    monkeypatch.setattr(bridge, "_warned", set())
    call, buffers = product(*arrays((5, 8), (8, 16)))
    with on_host():
        assert verify.uses_library(bridge.bound(call, buffers))
        bridge._trust.clear()
        monkeypatch.setattr(bridge, "_run_alone", fault)
        with pytest.warns(UserWarning, match="library is not used for matmul"):
            found = bridge.bound(call, buffers)
        assert found is None or not verify.uses_library(found)
        again = bridge.bound(call, buffers)  # it is not asked, and nothing said, a second time
        assert again is None or not verify.uses_library(again)
