"""Python's operators and array methods on tensors and variables, given by ops."""

import numpy as np

from kerasish.backend.autodiff.dtypes import standardize_dtype
from kerasish.backend.autodiff.op import cast
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor
from kerasish.backend.autodiff.variable import Variable
from kerasish.ops import elementwise, indexing, products, reduction, shaping

_OPERANDS = (Tensor, Variable, bool, int, float, complex, np.ndarray, np.generic, list, tuple)


def _known(x):
    """Whether an operator takes ``x``; to anything else (None, say) Python gives its own answer, or the other's."""
    return isinstance(x, _OPERANDS) or hasattr(x, "__array__") or hasattr(x, "__dlpack__")


def _binary(function):
    """The operator's method and its mirror image."""

    def method(self, other):
        return function(self, other) if _known(other) else NotImplemented

    def mirrored(self, other):
        return function(other, self) if _known(other) else NotImplemented

    return method, mirrored


_ARITHMETIC = {
    "add": elementwise.add,
    "sub": elementwise.subtract,
    "mul": elementwise.multiply,
    "truediv": elementwise.true_divide,
    "floordiv": elementwise.floor_divide,
    "mod": elementwise.mod,
    "pow": elementwise.power,
    "matmul": products.matmul,
    "lshift": elementwise.left_shift,
    "rshift": elementwise.right_shift,
    "and": elementwise.bitwise_and,
    "or": elementwise.bitwise_or,
    "xor": elementwise.bitwise_xor,
}
_LOGICAL = {"and": elementwise.logical_and, "or": elementwise.logical_or, "xor": elementwise.logical_xor}
_COMPARISONS = {
    "eq": elementwise.equal,
    "ne": elementwise.not_equal,
    "lt": elementwise.less,
    "le": elementwise.less_equal,
    "gt": elementwise.greater,
    "ge": elementwise.greater_equal,
}
_OTHERS = {
    "neg": lambda self: elementwise.negative(self),
    "pos": lambda self: self if isinstance(self, Tensor) else self.value,
    "abs": lambda self: elementwise.absolute(self),
    "invert": lambda self: elementwise.bitwise_not(self),
    "getitem": lambda self, key: indexing.get_item(self, np.asarray(key) if isinstance(key, list) else key),  # a list is one index
    "round": lambda self, ndigits=None: elementwise.round(self, ndigits or 0),
    "divmod": lambda self, other: (elementwise.floor_divide(self, other), elementwise.mod(self, other)),
    "rdivmod": lambda self, other: (elementwise.floor_divide(other, self), elementwise.mod(other, self)),
}


def _give(cls, operators, mirrors=True):
    for name, function in operators.items():
        method, mirrored = _binary(function)
        setattr(cls, f"__{name}__", method)
        if mirrors:
            setattr(cls, f"__r{name}__", mirrored)


for _cls in (Tensor, Variable):
    _give(_cls, _ARITHMETIC)
    _give(_cls, _COMPARISONS, mirrors=False)
    for _name, _function in _OTHERS.items():
        setattr(_cls, f"__{_name}__", _function)
for _cls in (KerasTensor, Variable):  # here & | ^ are those of truth values, as in Keras
    _give(_cls, _LOGICAL)
_SYMBOLIC = {
    "invert": lambda self: elementwise.logical_not(self),
    "eq": object.__eq__,  # symbolic tensors are looked up in lists and dicts
    "hash": Tensor.__hash__,
}
for _name, _function in _SYMBOLIC.items():
    setattr(KerasTensor, f"__{_name}__", _function)


# ---- array methods
def _shape_of(sizes):
    return sizes[0] if len(sizes) == 1 and not isinstance(sizes[0], (int, np.integer)) else sizes


_METHODS = {
    "reshape": lambda self, *newshape: shaping.reshape(self, _shape_of(newshape)),
    "transpose": lambda self, *axes: shaping.transpose(self, _shape_of(axes) if axes else None),
    "squeeze": lambda self, axis=None: shaping.squeeze(self, axis),
    "ravel": lambda self: shaping.ravel(self),
    "flatten": lambda self: shaping.ravel(self),
    "astype": lambda self, dtype: cast(self, standardize_dtype(dtype)),
}
_REDUCTIONS = {
    "sum": reduction.sum, "mean": reduction.mean, "max": reduction.max, "min": reduction.min, "prod": reduction.prod,
    "var": reduction.var, "std": reduction.std, "any": reduction.any, "all": reduction.all, "argmax": reduction.argmax,
    "argmin": reduction.argmin,
}  # fmt: skip


def _reduction(function):
    def method(self, axis=None, dtype=None, out=None, keepdims=False, ddof=0):
        """As NumPy's functions call it: ``np.mean(tensor)`` is the tensor's own mean."""
        if out is not None or ddof:
            raise ValueError(f"Not supported on tensors: out={out}, ddof={ddof}. Use the function on `tensor.numpy()`.")
        y = function(self, axis=axis, keepdims=keepdims)
        return y if dtype is None else cast(y, standardize_dtype(dtype))

    return method


for _name, _function in {**_METHODS, **{name: _reduction(function) for name, function in _REDUCTIONS.items()}}.items():
    setattr(Tensor, _name, _function)
Tensor.T = property(lambda self: shaping.transpose(self))


# ---- NumPy's element-wise functions
_UFUNCS = {
    np.add: elementwise.add, np.subtract: elementwise.subtract, np.multiply: elementwise.multiply,
    np.true_divide: elementwise.true_divide, np.floor_divide: elementwise.floor_divide, np.mod: elementwise.mod,
    np.power: elementwise.power, np.matmul: products.matmul, np.less: elementwise.less, np.less_equal: elementwise.less_equal,
    np.greater: elementwise.greater, np.greater_equal: elementwise.greater_equal, np.equal: elementwise.equal,
    np.not_equal: elementwise.not_equal, np.bitwise_and: elementwise.bitwise_and, np.bitwise_or: elementwise.bitwise_or,
    np.bitwise_xor: elementwise.bitwise_xor, np.divmod: _OTHERS["divmod"],
}  # fmt: skip


def _array_ufunc(self, ufunc, method, *inputs, **kwargs):
    """``numpy_array + tensor`` is a tensor; any other function of NumPy's gives an array of the tensor's values."""
    if method == "__call__" and not kwargs and ufunc in _UFUNCS:
        return _UFUNCS[ufunc](*inputs)
    return getattr(ufunc, method)(*[np.asarray(x) if isinstance(x, (Tensor, Variable)) else x for x in inputs], **kwargs)


for _cls in (Tensor, Variable):
    setattr(_cls, "__array_ufunc__", _array_ufunc)  # noqa: B010 (mypy knows no such attribute)
