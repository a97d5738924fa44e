"""What the table has not: unknown sizes, gradients of what fills, memory of one's own, errors."""

import numpy as np
import pytest

from kerasish import ops
from kerasish.backend.autodiff.gradient import grad
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor


@pytest.mark.parametrize(
    "make", [ops.zeros, ops.ones, ops.empty, lambda shape: ops.full(shape, 2.0), lambda shape: ops.full(shape, Tensor(2.0))]
)
def test_an_unknown_size_gives_a_tensor_without_value(make):
    y = make((None, 3))
    assert y.shape == (None, 3)
    assert y.value is None


def test_of_another_tensors_shape_where_that_is_unknown():
    x = KerasTensor((None, 3), "float16")
    for y in (ops.zeros_like(x), ops.ones_like(x), ops.empty_like(x), ops.full_like(x, 2)):
        assert y.shape == (None, 3)
        assert y.dtype == "float16"


def test_arange_of_a_tensor_without_value():
    assert ops.arange(KerasTensor((), "int32")).shape == (None,)


def test_what_fills_gets_the_gradient():
    assert grad(lambda v: ops.sum(ops.full((2, 3), v)))(Tensor(1.0)).item() == 6.0
    assert grad(lambda v: ops.sum(ops.full_like(Tensor([1.0, 2.0]), v)))(Tensor(1.0)).item() == 2.0


def test_array_copies():
    x = np.zeros(2, "float32")
    y = ops.array(x)
    x[0] = 1.0
    assert y.tolist() == [0.0, 0.0]


def test_empty_has_the_shape():
    assert ops.empty((2, 3)).numpy().shape == ops.empty_like(ops.zeros((2, 3))).numpy().shape == (2, 3)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: ops.convert_to_tensor([1], sparse=True), "dense"),
        (lambda: ops.convert_to_tensor([1], ragged=True), "dense"),
        (lambda: ops.zeros((-1,)), "Negative"),
        (lambda: ops.linspace(0, 1, -1), "num"),
        (lambda: ops.vander([[1.0]]), "vector"),
    ],
)
def test_errors_say_what_was_wrong(function, message):
    with pytest.raises(ValueError, match=message):
        function()
