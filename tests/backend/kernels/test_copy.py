"""Strided copies against NumPy."""

import math

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from hypothesis import given, settings
from hypothesis import strategies as st

from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.autodiff import op as core
from kerasish.backend.kernels import copy  # noqa: F401  (registers the candidates)
from kerasish.backend.kernels.alone import run_alone
from kerasish.backend.kernels.candidates import Buffer, Request
from kerasish.backend.kernels.compile import compiled
from kerasish.backend.kernels.threads import run
from kerasish.ops import fourier, indexing, shaping

DTYPES = ["float32", "float64", "int8", "float16", "bool", "int64"]


def numbers(*shape, dtype="float32"):
    return (np.arange(math.prod(shape)) % 119 - 50).astype(dtype).reshape(shape)


def check(op, *arrays, **attrs):
    want = op.kernel(NumpyArrays(), *arrays, **attrs)
    want = want if isinstance(want, (tuple, list)) else [want]
    outputs = [np.full(y.shape, 99, y.dtype) for y in want]
    got = run_alone(op, arrays, outputs=outputs, **attrs)
    assert got is not None
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 5), (16, 16), (33, 70), (130, 517), (1, 7), (64, 1), (0, 5)], ids=str)
def test_matrices_turned_round(shape, dtype):
    check(shaping.transpose, numbers(*shape, dtype=dtype), axes=None)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axes", [(0, 2, 1, 3), (0, 2, 3, 1), (3, 2, 1, 0), (1, 0, 3, 2), (0, 1, 2, 3)], ids=str)
def test_orders_of_axes_also_of_strided_inputs(axes, dtype):
    x = numbers(3, 40, 5, 64, dtype=dtype)
    check(shaping.transpose, x, axes=axes)
    check(shaping.transpose, x[::-1, ::2, :, 1::3], axes=axes)


@pytest.mark.parametrize(
    ("op", "shapes", "attrs"),
    [
        (shaping.copy, [()], {}),
        (shaping.copy, [(100_003,)], {}),
        (core.broadcast_to, [(5, 1)], {"shape": (3, 5, 77)}),
        (core.broadcast_to, [(5, 1, 7)], {"shape": (5, 9, 7)}),
        (core.broadcast_to, [()], {"shape": (4, 5)}),
        (shaping.flip, [(50, 3)], {"axis": None}),
        (shaping.flip, [(50, 300)], {"axis": 0}),
        (shaping.diagonal, [(5, 9)], {"offset": 1, "axis1": 0, "axis2": 1}),
        (shaping._relabel, [(5, 9)], {"newshape": (5, 1, 9)}),
        (shaping._repeat, [(3, 9, 2)], {"repeats": 3, "axis": 1}),
        (shaping._concatenate, [(5, 3), (5, 30), (5, 0)], {"axis": -1}),
        (shaping._stack, [(5, 3)] * 3, {"axis": 1}),
        (core.stack_rows, [(5, 3)] * 3, {}),
        (shaping._split, [(5, 9)], {"parts": (2, 7), "axis": 1, "equal": False}),
        (shaping._unstack, [(5, 9)], {"axis": 1, "num": 9}),
        (indexing._get_item, [(5, 9)], {"key": (slice(1, 4), 2)}),
        (indexing._get_item, [(5, 9)], {"key": (1, 2)}),
        (indexing._get_item, [(5, 9)], {"key": (None, slice(None, None, -2), ...)}),
        (indexing._put, [(3,)], {"shape": (5, 9), "key": (slice(1, 4), 2)}),
        (indexing._put, [()], {"shape": (5, 9), "key": (1, 2)}),
        (indexing._put, [(3, 9)], {"shape": (5, 9), "key": (slice(1, 4),)}),
        (indexing._put, [(3, 9)], {"shape": (5, 9), "key": (slice(None, None, 2),)}),
        (indexing._put, [(0, 9)], {"shape": (5, 9), "key": (slice(5, 5),)}),
        (indexing._pad_constant, [(3, 9, 2)], {"widths": ((1, 1), (0, 2), (3, 0)), "value": 1}),
        (indexing._pad_constant, [(2, 30, 30, 16)], {"widths": ((0, 0), (1, 1), (1, 1), (0, 0)), "value": 0}),
    ],
    ids=lambda x: getattr(x, "name", None),
)
@pytest.mark.parametrize("dtype", ["float32", "bool"])
def test_ops_that_move_elements(op, shapes, attrs, dtype):
    check(op, *[numbers(*shape, dtype=dtype) for shape in shapes], **attrs)


def test_a_reshape_of_a_strided_input():
    check(shaping.reshape, numbers(3, 9, 2).transpose(2, 1, 0), newshape=(6, 9))


def test_float_constants_keep_their_bits():
    check(indexing._pad_constant, numbers(3, 4), widths=((1, 0), (1, 2)), value=-0.3)
    check(indexing._pad_constant, numbers(3, 4, dtype="float16"), widths=((1, 0), (1, 2)), value=-0.3)


def test_indexing_that_is_no_view_is_left_to_others():
    assert run_alone(indexing._get_item, [numbers(5, 9), np.array([1, 2])], key=(slice(None), indexing.ARRAY)) is None
    assert run_alone(indexing._get_item, [numbers(5, 9)], key=(True,)) is None


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_any_strides_on_both_sides(data):
    """Boxes with random axes, order, steps and repeats: the copy writes what it should and nothing else."""
    sizes = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
    steps = data.draw(st.tuples(*[st.tuples(st.integers(-2, 3), st.integers(1, 3)) for _ in sizes]))
    orders = [data.draw(st.permutations(range(len(sizes)))) for _ in range(2)]
    strides = [[0] * len(sizes), [0] * len(sizes)]
    total = [1, 1]
    for side, order in enumerate(orders):
        for axis in order:
            strides[side][axis] = total[side] * steps[axis][side]
            total[side] *= (sizes[axis] * abs(steps[axis][side])) or 1
    start = sum((n - 1) * -s for n, s in zip(sizes, strides[0], strict=True) if s < 0)
    memory, result = numbers(total[0]), np.full(total[1], 99, "float32")
    request = Request(None, {}, [], [], threads=3)
    x, y = Buffer(memory, sizes, "float32", strides[0], start), Buffer(result, sizes, "float32", strides[1])
    instruction = request.copy(x, y)
    args = [a.base[a.offset :] if isinstance(a, Buffer) else a for a in instruction.args]
    run(compiled(instruction.emit, **instruction.options), args, instruction.tasks)
    view = np.lib.stride_tricks.as_strided
    want = np.full(total[1], 99, "float32")
    view(want, sizes, [4 * s for s in strides[1]])[...] = view(memory[start:], sizes, [4 * s for s in strides[0]])
    np.testing.assert_array_equal(result, want)


@pytest.mark.parametrize("mode", ["edge", "reflect", "symmetric", "wrap"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_repeated_borders(axis, mode):
    check(indexing._pad_repeat, numbers(5, 6, 7), axis=axis, before=2, after=3, mode=mode)
    check(indexing._pad_repeat, numbers(5, 6, 7).T, axis=axis, before=0, after=1, mode=mode)
    check(indexing._pad_repeat, numbers(5, 6, 7), axis=axis, before=13, after=4, mode=mode)  # more than once around


def test_borders_of_very_many_turns_are_left_to_numpy():
    assert run_alone(indexing._pad_repeat, [numbers(2, 3)], axis=1, before=100, after=0, mode="reflect") is None


@pytest.mark.parametrize(("length", "stride"), [(1, 1), (5, 2), (33, 7), (50, 3)])
def test_sequences(length, stride):
    check(fourier.extract_sequences, numbers(3, 2, 50), sequence_length=length, sequence_stride=stride)
    check(fourier.extract_sequences, numbers(100, 3).T[:, ::2], sequence_length=length, sequence_stride=stride)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_complex_numbers_and_pairs(dtype):
    pairs = numbers(5, 3, 2, dtype=dtype)
    check(fourier._from_pairs, pairs)
    z = fourier._from_pairs.kernel(NumpyArrays(), pairs)
    check(fourier._to_pairs, z)
    check(fourier._from_pairs, pairs[:, ::2])
    assert (run_alone(fourier._to_pairs, [z.T]) is None) == (dtype == "float64")


@pytest.mark.parametrize(("source", "target"), [("float32", "float16"), ("float16", "float32")])
def test_half_precision(source, target):
    special = np.array([0, -0.0, np.inf, -np.inf, np.nan, 65504, 65520, 1e-8, 6e-8, 1e-5, -70000, 2049], "float32")
    with np.errstate(all="ignore"):
        for x in (np.random.default_rng(0).standard_normal(70000).astype(source), special.astype(source), numbers(3, 5).astype(source).T):
            check(core.cast, x, dtype=target)
