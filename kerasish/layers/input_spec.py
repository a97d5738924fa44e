"""What a layer expects of its inputs, and the check of it (``keras.InputSpec``)."""

from kerasish import tree
from kerasish.backend.autodiff.dtypes import standardize_dtype
from kerasish.backend.autodiff.tensor import standardize_shape
from kerasish.saveable import Saveable


class InputSpec(Saveable):
    """Rank, shape, dtype and sizes of single axes that an input must have; None means anything (``keras.InputSpec``).

    >>> InputSpec(ndim=2, axes={-1: 8})
    InputSpec(ndim=2, axes={-1: 8})
    """

    keras_module = "keras"

    def __init__(self, dtype=None, shape=None, ndim=None, max_ndim=None, min_ndim=None, axes=None,
                 allow_last_axis_squeeze=False, name=None, optional=False):  # fmt: skip
        self.dtype = None if dtype is None else standardize_dtype(dtype)
        self.shape = None if shape is None else standardize_shape(shape)
        self.ndim = ndim if shape is None else len(self.shape)
        self.max_ndim, self.min_ndim, self.name, self.optional = max_ndim, min_ndim, name, optional
        self.allow_last_axis_squeeze = allow_last_axis_squeeze
        try:
            self.axes = {int(k): v for k, v in (axes or {}).items()}
        except (ValueError, TypeError, AttributeError):
            raise TypeError(f"`axes` must map integer keys to sizes, got {axes}") from None
        highest = self.ndim if self.ndim is not None else self.max_ndim
        if self.axes and highest is not None and max(self.axes) > highest - 1:
            raise ValueError(f"Axis {max(self.axes)} is greater than the maximum allowed value: {highest - 1}")

    def get_config(self):
        names = ("dtype", "shape", "ndim", "max_ndim", "min_ndim", "axes", "optional")
        return {name: getattr(self, name) for name in names}

    def __repr__(self):
        names = ("dtype", "shape", "ndim", "max_ndim", "min_ndim", "axes")
        return f"InputSpec({', '.join(f'{n}={getattr(self, n)}' for n in names if getattr(self, n))})"

    def problem(self, x):
        """What is wrong with the input, in words, or None."""
        shape, ndim = tuple(x.shape), len(x.shape)
        if self.ndim is not None and not self.allow_last_axis_squeeze and ndim != self.ndim:
            return f"expected ndim={self.ndim}, found ndim={ndim}. Full shape received: {shape}"
        if self.max_ndim is not None and ndim > self.max_ndim:
            return f"expected max_ndim={self.max_ndim}, found ndim={ndim}"
        if self.min_ndim is not None and ndim < self.min_ndim:
            return f"expected min_ndim={self.min_ndim}, found ndim={ndim}. Full shape received: {shape}"
        if self.dtype is not None and standardize_dtype(x.dtype) != self.dtype:
            return f"expected dtype={self.dtype}, found dtype={x.dtype}"
        for axis, size in self.axes.items():
            if size is not None and shape[axis] not in (size, None):
                return f"axis {axis} of input shape should be {size}, but the input has shape {shape}"
        return self._shape_problem(shape)

    def _shape_problem(self, shape):
        if self.shape is None:
            return None
        expected, found = self.shape, shape
        if self.allow_last_axis_squeeze:
            expected, found = (s[:-1] if s and s[-1] == 1 else s for s in (expected, found))
        if any(m not in (n, None) and n is not None for m, n in zip(expected, found, strict=False)):
            return f"expected shape={self.shape}, found shape={shape}"
        return None


def assert_input_compatibility(input_spec, inputs, layer_name):
    """ValueError where the inputs are not what the specs say, naming the layer, what it expects and what came."""
    if not input_spec:
        return
    specs = tree.flatten(input_spec)
    if isinstance(inputs, dict) and all(spec.name for spec in specs):
        missing = [spec.name for spec in specs if spec.name not in inputs]
        if missing:
            raise ValueError(
                f'Missing data for input "{missing[0]}" of layer "{layer_name}". The inputs are {[spec.name for spec in specs]}, '
                f'the given keys {list(inputs)}'
            )
        inputs = [inputs[spec.name] for spec in specs]
    inputs = tree.flatten(inputs)
    if len(inputs) != len(specs):
        names = f"named input(s) with keys {list(input_spec)}" if isinstance(input_spec, dict) else "input(s)"
        raise ValueError(
            f'Layer "{layer_name}" expects {len(specs)} {names}, but it received {len(inputs)} input tensors. '
            f"Inputs received: {[getattr(x, 'shape', x) for x in inputs]}"
        )
    for i, (x, spec) in enumerate(zip(inputs, specs, strict=True)):
        if spec is None or (x is None and spec.optional):
            continue
        if x is None:
            raise ValueError(f"The input '{spec.name}' of layer '{layer_name}' is not optional, but None was passed.")
        if not hasattr(x, "shape"):
            raise ValueError(f"Layer '{layer_name}' takes tensors as inputs, got '{x}' ({type(x)}).")
        problem = spec.problem(x)
        if problem:
            raise ValueError(f"Input {i} ('{spec.name}') is incompatible with the layer '{layer_name}': {problem}")
