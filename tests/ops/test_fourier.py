"""What the tables have not: inverses, numbers that are no pairs of finite ones, gradients of complex tensors, errors."""

import numpy as np
import pytest

from kerasish import ops
from kerasish.backend.autodiff.gradient import grad
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor

RNG = np.random.default_rng(0)


def signal(*shape):
    return RNG.uniform(-1, 1, shape)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_inverses(n):
    x, y = signal(3, n), signal(3, n)
    np.testing.assert_allclose(ops.irfft(ops.rfft(Tensor(x)), n), x, atol=1e-12)
    for a, b in zip(ops.ifft2(ops.fft2((Tensor(x), Tensor(y)))), (x, y), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize(("length", "stride", "size"), [(1, 1, 1), (4, 1, 4), (8, 2, 8), (6, 2, 9)])
@pytest.mark.parametrize("window", ["hann", "hamming"])
def test_istft_undoes_stft(length, stride, size, window):
    x = signal(2, 40)
    y = ops.istft(ops.stft(Tensor(x), length, stride, size, window), length, stride, size, length=None, window=window)
    assert y.shape[-1] > 30
    np.testing.assert_allclose(y, x[:, : y.shape[-1]], atol=1e-12)


def test_stft_gives_numpys_transform_of_each_window():
    x, window = signal(12), np.hanning(5)[:4]
    expected = [np.fft.rfft(window * x[i : i + 4]) for i in range(0, 9, 3)]
    re, im = ops.stft(Tensor(x), 4, 3, 4, window=window, center=False)
    np.testing.assert_allclose(np.asarray(re) + 1j * np.asarray(im), expected, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dtype_is_kept(dtype):
    x = Tensor(signal(4, 4), dtype=dtype)
    outputs = [*ops.fft((x, x)), *ops.fft2((x, x)), *ops.rfft(x), ops.irfft((x, x)), ops.extract_sequences(x, 2, 1)]
    assert {y.dtype for y in outputs} == {dtype}
    assert ops.view_as_complex(x[:, :2]).dtype == ("complex128" if dtype == "float64" else "complex64")


def test_pairs_and_complex_numbers():
    pairs = Tensor([[1.0, np.inf], [-np.inf, np.nan], [0.5, -2.0]])
    np.testing.assert_array_equal(ops.view_as_real(ops.view_as_complex(pairs)), pairs)
    assert ops.view_as_real(Tensor([3.0])).tolist() == [[3.0, 0.0]]
    slope = grad(lambda x: ops.sum(ops.real(ops.view_as_complex(x) * Tensor([1 + 2j, 3 - 1j]))))(Tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert slope.tolist() == [[1.0, -2.0], [3.0, 1.0]]  # real((a + bi)(1 + 2i)) = a - 2b
    slope = grad(lambda x: ops.sum(ops.view_as_real(x * Tensor(1j)) * Tensor([[1.0, 2.0]])))(Tensor([3 + 4j]))
    assert slope.tolist() == [1j * 1 + 2]  # i(a + bi) = -b + ai: 2 by a, -1 by b, which JAX writes as 2 - (-1)i


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.fft(Tensor([1.0])), "tuple of two"),
        (lambda: ops.fft(([1.0], [1.0, 2.0])), "same shape"),
        (lambda: ops.fft(([1], [1])), "floating"),
        (lambda: ops.fft((1.0, 1.0)), "rank >= 1"),
        (lambda: ops.fft2(([1.0], [1.0])), "rank >= 2"),
        (lambda: ops.rfft(1.0), "rank >= 1"),
        (lambda: ops.rfft([1.0, 2.0], 0), "fft_length"),
        (lambda: ops.irfft(([1.0], [1.0])), "fft_length=1"),
        (lambda: ops.irfft((KerasTensor((3,)), KerasTensor((4,)))), "same shape"),
        (lambda: ops.istft(([1.0], [1.0]), 1, 1, 1), "rank >= 2"),
        (lambda: ops.stft([1.0] * 9, 4, 0, 4), "sequence_stride"),
        (lambda: ops.stft([1.0] * 9, 4, 1.5, 4), "sequence_stride"),
        (lambda: ops.stft([1.0] * 9, 4, 1, 3), "fft_length"),
        (lambda: ops.stft([1.0] * 9, 4, 1, 4, window="round"), "window"),
        (lambda: ops.stft([1.0] * 9, 4, 1, 4, window=[1.0, 2.0]), "window"),
        (lambda: ops.extract_sequences([1.0, 2.0], 3, 1), "no sequence"),
        (lambda: ops.extract_sequences([1.0, 2.0], 0, 1), "sequence_length"),
        (lambda: ops.view_as_complex([1.0, 2.0, 3.0]), "size 2"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_stft_wants_single_or_double_numbers():
    with pytest.raises(TypeError, match="float32"):
        ops.stft([1, 2, 3, 4], 2, 1, 2)
