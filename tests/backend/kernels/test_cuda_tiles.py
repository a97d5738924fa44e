"""CUDA C of matrix products, run on the processor, against NumPy."""

import ml_dtypes  # noqa: F401  (bfloat16)
import numpy as np
import pytest
from numpy.testing import assert_allclose

from kerasish.backend.kernels.cuda import products, tiles
from kerasish.backend.kernels.cuda.launch import Request
from kerasish.ops.products import matmul
from tests.backend.kernels import cuda_host as host
from tests.backend.kernels import nvrtc

pytestmark = pytest.mark.skipif(not host.available(), reason="g++ compiles the sources for the processor")
TOLERANCE = {"float32": 2e-5, "float64": 1e-12, "float16": 4e-3, "bfloat16": 3e-2}


@pytest.fixture(autouse=True)
def full_precision(monkeypatch):
    monkeypatch.setenv("KERASISH_TF32", "0")


def normal(*shape, seed=0, dtype="float32"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def agree(x, y, tol=None):
    expected = np.matmul(x.astype("float64"), y.astype("float64"))
    out = np.full(expected.shape, 7, x.dtype)
    request = Request(matmul, {}, [host.buffer(x), host.buffer(y)], [host.buffer(out)])
    launches = products.matmul(request)
    host.run([*request.before, *launches])
    tol = tol or TOLERANCE[x.dtype.name]
    assert_allclose(out.astype("float64"), expected, rtol=tol, atol=tol * float(np.abs(expected).max(initial=1)))
    return launches


@pytest.mark.parametrize("dtype", list(TOLERANCE))
@pytest.mark.parametrize(("m", "n", "k"), [(1, 1, 1), (5, 7, 3), (33, 40, 65), (130, 68, 18)])
def test_matrices(m, n, k, dtype):
    agree(normal(m, k, dtype=dtype), normal(k, n, seed=1, dtype=dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_strides(dtype):
    x, y = normal(40, 36, dtype=dtype), normal(36, 48, seed=1, dtype=dtype)
    agree(np.asfortranarray(x), y)
    agree(x, np.asfortranarray(y))
    agree(np.asfortranarray(x), np.asfortranarray(y))
    agree(normal(80, 72, dtype=dtype)[::2, ::2], y)
    agree(x[:, 4:33], y[3:32, 1:])
    agree(x[:, ::-1], y)


@pytest.mark.parametrize(("first", "second"), [((3, 20, 24), (3, 24, 18)), ((2, 3, 9, 5), (5, 7)), ((20, 24), (3, 24, 18)), ((2, 1, 6, 5), (3, 5, 4)),
                                               ((5,), (5, 8)), ((8, 5), (5,)), ((40,), (40,)), ((2, 3, 8, 20), (20,))])  # fmt: skip
def test_batches_and_vectors(first, second):
    agree(normal(*first), normal(*second, seed=1))


def test_rows_of_several_batches_that_do_not_follow_each_other():
    agree(normal(5, 4, 6, 8).transpose(0, 2, 1, 3)[:, ::2], normal(8, 9, seed=1))


@pytest.mark.parametrize(("n", "dtype"), [(1, "float32"), (2, "float64"), (3, "float16"), (4, "bfloat16")])
def test_thin(n, dtype):
    x, y = normal(70, 90, dtype=dtype), normal(90, n, seed=1, dtype=dtype)
    agree(x, y)
    agree(np.asfortranarray(x), y)
    agree(np.ascontiguousarray(y.T), x.T)
    agree(np.ascontiguousarray(y.T), np.asfortranarray(x.T))
    agree(np.stack([x, x + 1]), np.stack([y, y - 1]))


def test_long_sums_are_divided():
    assert len(agree(normal(20, 1100), normal(1100, 24, seed=1), tol=1e-4)) == 2
    assert len(agree(normal(130, 1500), normal(1500, 130, seed=1), tol=1e-4)) == 2  # many results
    assert len(agree(normal(2, 9, 1200), normal(2, 1200, 11, seed=1), tol=1e-4)) == 2


def test_nothing_to_add():
    agree(normal(3, 0), normal(0, 4))
    assert agree(normal(0, 3), normal(3, 4)) == []


def test_large_ones_are_left_to_a_library():
    x = np.broadcast_to(np.float32(0), (4096, 4096))
    out = np.broadcast_to(np.float32(0), (4096, 4096))
    request = Request(matmul, {}, [host.buffer(x), host.buffer(x)], [host.buffer(out)])
    assert products.matmul(request) is None


def rounded(x):
    """To TF32: 10 bits of mantissa, ties away from zero."""
    return ((x.view("uint32") + 0x1000) & 0xFFFFE000).view("float32")


@pytest.mark.parametrize(("m", "n", "k"), [(33, 40, 65), (130, 70, 18), (20, 9, 100)])
def test_tensor_cores_round_to_tf32(m, n, k, monkeypatch):
    monkeypatch.setenv("KERASISH_TF32", "1")
    x, y = normal(m, k), normal(k, n, seed=1)
    out = np.empty((m, n), "float32")
    host.run(products.matmul(Request(matmul, {}, [host.buffer(x), host.buffer(y)], [host.buffer(out)])))
    assert_allclose(out, rounded(x) @ rounded(y), rtol=1e-5, atol=1e-5)
    assert np.abs(out - x @ y).max() > 1e-5


def test_tensor_cores_keep_what_is_not_finite(monkeypatch):
    monkeypatch.setenv("KERASISH_TF32", "1")
    x, y = np.ones((20, 20), "float32"), np.ones((20, 20), "float32")
    x[0, 0], x[1, 1], x[2, 2] = np.nan, np.inf, -np.inf
    out = np.empty((20, 20), "float32")
    host.run(products.matmul(Request(matmul, {}, [host.buffer(x), host.buffer(y)], [host.buffer(out)])))
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(out, x @ y)


@pytest.mark.parametrize("tile", list(tiles._TILES))
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_every_tile(tile, dtype, monkeypatch):
    monkeypatch.setattr(tiles, "_TILES", {tile: tiles._TILES[tile]})
    m, n = tile
    monkeypatch.setattr(tiles, "_fits", lambda *how: True)
    x, y = normal(m + 3, 37, dtype=dtype), normal(37, n + 5, seed=1, dtype=dtype)
    agree(*((x, y) if dtype == "float32" else (np.asfortranarray(x), np.asfortranarray(y))))  # each layout of each


@pytest.mark.parametrize("m", [1, 100, 5000])
@pytest.mark.parametrize("n", [1, 16, 17, 64, 1000])
@pytest.mark.parametrize("k", [0, 1, 16, 100, 70000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_divisions_cover_the_sum(m, n, k, dtype):
    _, how = tiles.divide(m, n, k, 1, dtype)
    assert how.k_each % how.bk == 0
    assert (how.parts - 1) * how.k_each < max(k, 1) <= how.parts * how.k_each
    assert (how.bm, how.bn) in tiles._TILES


@pytest.mark.skipif(nvrtc.library() is None, reason="needs NVRTC: pip install nvidia-cuda-nvrtc-cu12")
@pytest.mark.parametrize("arch", ["75", "90"])
def test_sources_compile_for_devices_with_and_without_tf32(arch, monkeypatch):
    monkeypatch.setenv("KERASISH_TF32", "1")
    x = normal(64, 64)
    [launch] = products.matmul(Request(matmul, {}, [host.buffer(x)] * 2, [host.buffer(x)]))
    [ptx] = nvrtc.compile_all([launch.source], ("-std=c++17", f"--gpu-architecture=compute_{arch}"))
    assert ("mma.sync" in ptx) == (arch == "90")
