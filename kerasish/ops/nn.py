"""The ops of neural networks (``keras.ops.nn``), gathered from their modules, and two that belong to none of these."""

from kerasish.backend.autodiff.dtypes import floating
from kerasish.backend.autodiff.op import as_tensor, cast
from kerasish.backend.autodiff.shapes import broadcast
from kerasish.ops.activation import *  # noqa: F403
from kerasish.ops.activation import __all__ as _activation
from kerasish.ops.activation import nn_composite, nn_op
from kerasish.ops.attention import *  # noqa: F403
from kerasish.ops.attention import __all__ as _attention
from kerasish.ops.conv import *  # noqa: F403
from kerasish.ops.conv import __all__ as _conv
from kerasish.ops.crossentropy import *  # noqa: F403
from kerasish.ops.crossentropy import __all__ as _crossentropy
from kerasish.ops.crossentropy import compatible
from kerasish.ops.ctc import *  # noqa: F403
from kerasish.ops.ctc import __all__ as _ctc
from kerasish.ops.elementwise import imag, log10, real, square
from kerasish.ops.normalization import *  # noqa: F403
from kerasish.ops.normalization import __all__ as _normalization
from kerasish.ops.pooling import *  # noqa: F403
from kerasish.ops.pooling import __all__ as _pooling
from kerasish.ops.reduction import mean

__all__ = ["polar", "psnr", *_activation, *_attention, *_conv, *_crossentropy, *_ctc, *_normalization, *_pooling]


@nn_composite(class_name="PSNR", inputs=["x1", "x2"])
def psnr(x1, x2, max_val):
    """Peak signal-to-noise ratio in decibels: ``10 log10(max_val**2 / mean((x1 - x2)**2))`` (``keras.ops.psnr``).

    >>> round(float(psnr([0.0, 1.0], [0.0, 0.5], max_val=1.0)), 2)
    9.03
    """
    x1, x2 = as_tensor(x1), as_tensor(x2)
    if not compatible(x1.shape, x2.shape):
        raise ValueError(f"Input shapes {x1.shape} and {x2.shape} must match for PSNR calculation.")
    return 20 * log10(cast(as_tensor(max_val), x2.dtype)) - 10 * log10(mean(square(x1 - x2)))


def _complex(dtypes, attrs):
    casts, common = floating(dtypes, attrs)
    return casts, "complex128" if common == "float64" else "complex64"


@nn_op(
    broadcast,
    [lambda g, y, abs_, angle: real(g * polar(1.0, angle)), lambda g, y, abs_, angle: -imag(g * y)],
    _complex,
)
def polar(xp, abs_, angle):
    """Complex number of the given length and angle in radians (``keras.ops.polar``).

    >>> polar(2.0, 0.0).item()
    (2+0j)
    """
    y = xp.empty(xp.broadcast_shapes(abs_.shape, angle.shape), xp.result_type(abs_.dtype, xp.complex64))
    y.real, y.imag = abs_ * xp.cos(angle), abs_ * xp.sin(angle)
    return y
