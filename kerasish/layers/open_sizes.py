"""Shapes of a call whose code computes with the sizes of its inputs, where some are open.

``ops.shape(x)[1]`` of a KerasTensor of shape (None, None, 8) is None, with which nobody can count. So numbers stand for open sizes:
what comes out differently with other numbers is open as well.
"""

from kerasish import tree
from kerasish.backend.autodiff.symbolic import compute_output_spec
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor
from kerasish.ops.sizes import Size

_STAND_INS = (480, 960), (1440, 2400)  # batch and all others, twice; large, and code may want to halve them or cut them in three


def has_open_sizes(*arguments):
    """Whether a tensor among the arguments has a size that is open."""
    return any(isinstance(x, Tensor) and None in x.shape for x in tree.flatten(arguments))


def output_spec(function, args, kwargs, known=None):
    """KerasTensors like the outputs of ``function``, which is called with numbers for open sizes. ``known``: what it gave without."""

    def run(numbers):
        sizes = [Size(n, {(name,): 1}) for name, n in zip(("batch", "size"), numbers, strict=True)]

        def call(*args, **kwargs):
            args, kwargs = tree.map_structure(lambda x: _filled(x, sizes), (args, kwargs))
            return function(*args, **kwargs)

        return compute_output_spec(call, *args, **kwargs)

    found = tree.map_structure(_common, *map(run, _STAND_INS))
    return found if known is None else tree.map_structure(_less_known, known, found)


def _filled(x, sizes):
    if not isinstance(x, Tensor) or None not in x.shape:
        return x
    y = Tensor(None, tuple(sizes[min(axis, 1)] if n is None else n for axis, n in enumerate(x.shape)), x.dtype)
    if x._keras_mask is not None:
        y._keras_mask = _filled(x._keras_mask, sizes)
    return y


def _less_known(x, other):
    """``x``, or ``other`` where a size that is a number in ``x`` is open there, or another one."""
    if not isinstance(x, KerasTensor):
        return x
    same = x.ndim == other.ndim and all(a in (None, b) for a, b in zip(x.shape, other.shape, strict=True))
    return x if same else other


def _common(x, other):
    """The tensor with those sizes that both have."""
    if not isinstance(x, KerasTensor):
        return x
    shape = tuple(None if isinstance(a, Size) or a != b else a for a, b in zip(x.shape, other.shape, strict=True))
    y = KerasTensor(shape, x.dtype)
    if x._keras_mask is not None:
        y._keras_mask = _common(x._keras_mask, other._keras_mask)
    return y
