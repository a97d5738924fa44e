"""Sizes that stand for any: numbers to code, expressions to an exporter."""

import math

import numpy as np
import pytest

from kerasish import ops
from kerasish.ops.sizes import Size, expression, sliced_size

N, M = Size(960, {("n",): 1}), Size(2400, {("m",): 1})


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (N + 1 - 1, "n"),
        (2 * N - N, "n"),
        (math.prod((N, M, 3)) // math.prod((N, 3)), "m"),
        (sum([N, N, 2]), "n*2+2"),
        ((4 * N + 8) // 4, "n+2"),
        (N**2, "n*n"),
        (N // 7, "floor((n)/(7))"),
        (-(-N // 2), "floor((n*-1)/(2))*-1"),
        (7 // N, "floor((7)/(n))"),
        (divmod(N, 2)[1], "n+floor((n)/(2))*-2"),
        (sliced_size(slice(None, -1), N), "n+-1"),
        (sliced_size(slice(2, None), N), "n+-2"),
        (sliced_size(slice(None, None, 2), N), "floor((n*-1)/(2))*-1"),
        (sliced_size(slice(None, None, -1), N), "n"),
        (sliced_size(slice(None, N), 32), "n"),
    ],
)
def test_expressions(size, words):
    assert expression(size) == words


def test_what_is_known_is_a_plain_number():
    for number, value in ((N - N, 0), (N // N, 1), (N * M // M // N, 1), (sliced_size(slice(3, 5), N), 2)):
        assert type(number) is int
        assert number == value
    assert sliced_size(slice(1, 3), 5) is None


def test_a_size_equals_no_number():
    assert N not in (960, M)
    assert Size(960, {("n",): 1}) in (960, N)
    assert len({N, 960, M, 2400}) == 4
    assert hash(Size(960, {("m",): 1})) != hash(N)  # or caches of shapes would give one for the other
    assert np.zeros(N).shape == (960,)
    assert ops.zeros((2, N)).shape == (2, N)
    assert ops.zeros((2, N)).value is None


@pytest.mark.parametrize("fraction", [N + 0.5, N - 0.5, N / 2, 1 / N, N * 0.5, N / M, N**0.5, N**-1])
def test_a_fraction_is_a_tensor(fraction):
    assert fraction.shape == ()
    assert fraction.dtype == "float32"


def test_a_float_first_is_a_trap():
    assert type(0.5 - N) is float  # it looks at the number alone: that the exporter's second recording differs tells
