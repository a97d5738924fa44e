"""Matrix products against NumPy: shapes, strides, batches, and what a kernel can add to them."""

import re

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from hypothesis import given, settings
from hypothesis import strategies as st

from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.kernels import gemm
from kerasish.backend.kernels.alone import run_alone
from kerasish.backend.kernels.candidates import Buffer, Request, Scratch
from kerasish.backend.kernels.compile import assembly, compiled, target
from kerasish.backend.kernels.emit import f32
from kerasish.backend.kernels.threads import Pool
from kerasish.ops.products import matmul

XP = NumpyArrays()


def numbers(*shape, dtype="float32", seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def stored(x, order):
    """The same matrices in another order in memory, with gaps where it is "gaps"."""
    if order == "transposed":
        return np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2)
    if order == "gaps":
        wide = np.full((*x.shape[:-1], 3 * x.shape[-1]), np.nan, x.dtype)
        wide[..., ::3] = x
        return wide[..., ::3]
    return x


def check(x, y, **options):
    want = matmul.kernel(XP, x, y)
    got = run_alone(matmul, [x, y], outputs=[np.full(want.shape, 99, want.dtype)], **options)
    assert got is not None
    exact = np.matmul(x.astype("float64"), y.astype("float64"))
    tolerance = 1e-5 if want.dtype == "float32" else 1e-13
    np.testing.assert_allclose(got[0], exact, rtol=0, atol=tolerance * max(1.0, np.abs(exact).max(initial=0)))
    return got[0]


ORDERS = ["rows", "transposed", "gaps"]


@pytest.mark.parametrize("left", ORDERS)
@pytest.mark.parametrize("right", ORDERS)
@pytest.mark.parametrize(("m", "depth", "n"), [(1, 1, 1), (1, 40, 70), (5, 33, 1), (29, 7, 10), (61, 50, 97), (12, 16, 32)])
def test_orders_in_memory(m, depth, n, left, right):
    check(stored(numbers(m, depth), left), stored(numbers(depth, n), right))


@pytest.mark.parametrize("left", ORDERS[:2])
@pytest.mark.parametrize("right", ORDERS[:2])
@pytest.mark.parametrize(
    ("m", "depth", "n"),
    [
        (128, 784, 512),  # two blocks of the sum
        (300, 530, 600),  # several tasks and blocks, edges everywhere; A packed where it is transposed
        (64, 3200, 256),  # a sum divided over tasks
        (10, 5000, 17),
        (700, 20, 1100),
    ],
)
def test_tasks_and_blocks(m, depth, n, left, right):
    check(stored(numbers(m, depth), left), stored(numbers(depth, n), right))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 70), st.integers(1, 70), st.integers(1, 70), st.sampled_from(ORDERS), st.sampled_from(ORDERS),
    st.sampled_from(["float32", "float64"]),
)  # fmt: skip
def test_any_shape(m, depth, n, left, right, dtype):
    check(stored(numbers(m, depth, dtype=dtype), left), stored(numbers(depth, n, dtype=dtype), right))


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ((9,), (9,)),
        ((9,), (9, 4)),
        ((4, 9), (9,)),
        ((9,), (3, 9, 4)),
        ((3, 4, 9), (9,)),
        ((6, 7, 9), (9, 5)),  # one product
        ((6, 7, 9), (6, 9, 5)),
        ((2, 1, 7, 9), (3, 9, 5)),
        ((2, 3, 1, 7, 9), (2, 1, 4, 9, 5)),  # axes that can't be merged
        ((1, 7, 9), (6, 9, 5)),
        ((300, 20, 30), (300, 30, 20)),  # more than one task
        ((2, 200, 700), (2, 700, 300)),  # tasks within a product
    ],
)
def test_vectors_and_batches(x, y):
    check(numbers(*x), numbers(*y))


def test_batches_with_strides():
    x, y = numbers(4, 11, 3, 8), numbers(4, 9, 3, 8, seed=1)
    check(x.transpose(0, 2, 1, 3), y.transpose(0, 2, 3, 1))  # heads of attention
    check(x.transpose(2, 0, 1, 3)[::-1], y.transpose(2, 0, 3, 1))  # a batch from its end on
    check(np.broadcast_to(numbers(7, 8), (5, 7, 8)), numbers(8, 3))
    check(np.broadcast_to(numbers(1, 8), (6, 8)), np.broadcast_to(numbers(8, 1), (8, 40)))


def test_float64_and_others():
    check(numbers(130, 600, dtype="float64"), numbers(600, 140, dtype="float64"))
    assert run_alone(matmul, [np.ones((2, 2), "int32")] * 2) is None
    assert run_alone(matmul, [np.ones((2, 2), "float16")] * 2) is None


def test_nothing_to_add_or_to_compute():
    assert run_alone(matmul, [numbers(3, 0), numbers(0, 2)]) is None  # zeros: NumPy's kernel does it
    assert run_alone(matmul, [numbers(0, 3), numbers(3, 2)])[0].shape == (0, 2)


def test_nan_and_infinity():
    x, y = numbers(40, 50), numbers(50, 60)
    x[3, 7], x[30, 2], y[4, 59], y[0, 0] = np.nan, np.inf, -np.inf, np.nan
    for order in ORDERS:
        with np.errstate(invalid="ignore"):
            want = x @ y
        got = run_alone(matmul, [stored(x, order), y], outputs=[np.empty_like(want)])[0]
        np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_nothing_beyond_the_edges():
    """Operands lie between NaN, which a sum would show, and the result between numbers that have to stay."""
    for m, depth, n in [(13, 19, 21), (40, 3, 35), (5, 40, 1)]:
        for turn in (False, True):
            around = [np.full((a + 8, b + 8), np.nan, "float32") for a, b in ((m, depth), (depth, n))]
            x, y = (a[4:-4, 4:-4] for a in around)
            x[:], y[:] = numbers(m, depth), numbers(depth, n)
            if turn:
                x, y = y.T, x.T
            memory = np.full(m * n + 64, 7, "float32")
            out = memory[32:-32].reshape(x.shape[0], y.shape[1])
            run_alone(matmul, [x, y], outputs=[out])
            np.testing.assert_allclose(out, x @ y, atol=1e-4)
            assert (memory[:32] == 7).all()
            assert (memory[-32:] == 7).all()


@pytest.mark.parametrize(("x", "y"), [((64, 3200), (3200, 256)), ((300, 530), (530, 600)), ((40, 30, 50), (40, 50, 60))])
def test_bits_do_not_depend_on_the_number_of_threads(x, y):
    x, y = numbers(*x), numbers(*y)
    first = check(x, y)
    for threads in (1, 2, 3, 8):
        inputs, (out,) = buffers([x, y], [np.empty_like(first)])
        np.testing.assert_array_equal(execute(gemm.matmul(Request(matmul, {}, inputs, [out], threads)), out), first)


def buffers(*groups):
    return [[Buffer(a, a.shape, a.dtype.name, [s // a.itemsize for s in a.strides]) for a in group] for group in groups]


def execute(instructions, out):
    """The result of instructions that one thread runs, whatever number they were made for."""
    memory, pool = {}, Pool(1)
    for i in instructions:
        bases = [x.base if isinstance(x, Buffer) else x for x in i.args]
        arrays = [memory.setdefault(id(x), np.zeros(x.nbytes, "uint8")) if isinstance(x, Scratch) else x for x in bases]
        args = np.array([x.ctypes.data if isinstance(x, np.ndarray) else x for x in arrays], "int64")
        program = np.array([compiled(i.emit, **i.options), args.ctypes.data, i.tasks, 0], "int64")
        pool.run(program.ctypes.data, 1)
    return out.base


def emit_biased(k, **options):
    """The product plus a bias for each column, and where it is negative, 0."""
    gemm.product(k, first=1, epilogue=_biased(k), **options)


def emit_biased_total(k, **options):
    gemm.total(k, first=1, epilogue=_biased(k), **options)


def _biased(k):
    bias = k.arg(0, f32)
    return lambda k, x, row, column, mask: k.maximum(x + bias.load(column, k.lanes, mask), 0.0)


def emit_scaled(k, **options):
    """Elements of the product times what lies in their place in another array."""
    factors, columns = k.arg(0, f32), k.arg(1, gemm.i64)
    gemm.product(k, first=2, epilogue=lambda k, x, r, c, mask: x * factors.load(r * columns + c, k.lanes, mask), **options)


@pytest.mark.parametrize(("m", "depth", "n"), [(30, 20, 50), (128, 1100, 300), (64, 3200, 40), (7, 9, 1), (1, 300, 64)])
@pytest.mark.parametrize("accumulate", [False, True])
def test_epilogue_and_accumulation(m, depth, n, accumulate):
    x, y, bias, start = numbers(m, depth), numbers(depth, n), numbers(n), numbers(m, n, seed=1)
    (a, b, add), (c,) = buffers([x, y, bias], [start.copy()])
    request = Request(matmul, {}, [a, b], [c], 2)
    done = gemm.instructions(request, *gemm.operands(a, b, c), emit_biased, emit_biased_total, [add], accumulate)
    want = np.maximum(x.astype("float64") @ y + bias + start * accumulate, 0)
    np.testing.assert_allclose(execute(done, c), want, atol=1e-5 * np.abs(want).max())


def test_epilogue_counts_rows_over_the_batch():
    x, y, factors = numbers(5, 14, 6), numbers(5, 6, 20), numbers(5, 14, 20)
    (a, b, scale), (c,) = buffers([x, y, factors], [np.empty((5, 14, 20), "float32")])
    done = gemm.instructions(Request(matmul, {}, [a, b], [c], 2), *gemm.operands(a, b, c), emit_scaled, extra=[scale, 20])
    np.testing.assert_allclose(execute(done, c), x @ y * factors, atol=1e-5)


def test_inner_loop_stays_in_registers():
    """No vector goes to the stack, and in the loops hardly an address."""
    if target().lanes < 8:
        pytest.skip("written for x86")
    wide = "%zmm" if target().lanes == 16 else "%ymm"
    for options in ({}, {"a": "across"}, {"pack_b": True}, {"pack_b": True, "pack_a": True, "a": "across"}):
        code = assembly(gemm.emit_matmul, element="float32", rows=gemm._tile(target(), 1000, 100)[0], vectors=2, **options)
        assert not [line for line in code.splitlines() if wide in line and "(%rsp)" in line]
        inner = max(re.split(r"^\.LBB.*$", code, flags=re.MULTILINE), key=lambda block: block.count("vfmadd"))
        assert inner.count("(%rsp)") <= 4
