"""What the table has not: where gradients end, casts that are none, errors."""

import pytest

from kerasish import ops
from kerasish.backend.autodiff.gradient import grad
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor


def test_custom_gradient_is_used():
    assert grad(ops.custom_gradient(lambda x: (x * 2.0, lambda upstream: upstream * 10.0)))(Tensor(1.0)).item() == 10.0


def test_no_gradient_passes_a_stop():
    assert grad(lambda x: x * ops.stop_gradient(x))(Tensor(3.0)).item() == 3.0
    assert isinstance(ops.stop_gradient(KerasTensor((2,))), KerasTensor)


def test_casting_to_the_same_dtype_is_free():
    x = Tensor([1.0])
    assert ops.cast(x, "float32") is x


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda: ops.convert_to_numpy(KerasTensor((2,))), ValueError, "symbolic"),
        (lambda: ops.cast([1.0], "float33"), ValueError, "dtype"),
    ],
)
def test_errors_say_what_was_wrong(function, error, message):
    with pytest.raises(error, match=message):
        function()
