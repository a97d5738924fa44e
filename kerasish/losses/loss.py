"""Loss: the base of all losses, and how values, sample weights and masks become one number."""

import numbers
import typing

from kerasish import config, dtype_policies, ops, tree
from kerasish.backend.autodiff.state import auto_name
from kerasish.saveable import Fixed, Saveable, deserialize_keras_object, serialize_keras_object

REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None)


class Loss(Saveable):
    """What training makes small (``keras.losses.Loss``): subclasses write ``call(y_true, y_pred)``, one value per example.

    ``reduction``: ``"sum"``; ``"sum_over_batch_size"`` or ``"mean"``, which divide by the number of values;
    ``"mean_with_sample_weight"``, which divides by the sum of weights; ``"none"`` or None. ``dtype``: inputs are cast to it.

    >>> class Distance(Loss):
    ...     def call(self, y_true, y_pred):
    ...         return ops.sum(ops.abs(y_true - y_pred), axis=-1)
    >>> float(Distance(reduction="sum")([[0.0], [1.0]], [[2.0], [1.5]]))
    2.5
    """

    keras_module = "keras.losses"
    # fields that Keras's configs lack: written only where they are not the default, so that nothing gets lost
    left_out_of_config: typing.ClassVar[tuple] = ()

    name: str | None = None
    reduction: str | None = "sum_over_batch_size"
    dtype: str | None = Fixed(None)

    def check(self):
        self.name = self.name or auto_name(type(self).__name__)
        self._dtype = compute_dtype(self.dtype)
        if self.reduction not in REDUCTIONS:
            raise ValueError(f"Invalid value for argument `reduction`. Expected one of {REDUCTIONS}, not {self.reduction!r}")

    def __call__(self, y_true, y_pred, sample_weight=None):
        """The loss of a batch, reduced; a mask on ``y_pred`` takes examples out of it."""
        masks = [get_mask(y_pred)]
        y_true, y_pred = as_tensors(y_true, self.dtype), as_tensors(y_pred, self.dtype)
        values = self.call(y_true, y_pred)
        masks = [mask for mask in (*masks, get_mask(values)) if mask is not None]
        mask = ops.logical_and(*masks) if len(masks) == 2 else masks[0] if masks else None
        return reduce_weighted_values(values, sample_weight, mask, self.reduction, self.dtype)

    def call(self, y_true, y_pred):
        """Values before they are weighted and reduced, one per example."""
        raise NotImplementedError(f"{type(self).__name__} needs a `call(y_true, y_pred)` method.")

    def get_config(self):
        """Constructor arguments as JSON-ready values."""
        return {"name": self.name, "reduction": self.reduction}

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}>"


class LossFunctionWrapper(Loss):
    """A function ``fn(y_true, y_pred, **kwargs)`` as a loss (``keras.src.losses.losses.LossFunctionWrapper``).

    >>> loss = LossFunctionWrapper(lambda y_true, y_pred, scale: scale * ops.abs(y_true - y_pred), scale=2.0)
    >>> float(loss([1.0], [4.0]))
    6.0
    """

    keras_module = "keras.src.losses.losses"  # not public in Keras

    def __init__(self, fn, reduction="sum_over_batch_size", name=None, dtype=None, **kwargs):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.fn, self._fn_kwargs = fn, kwargs

    def call(self, y_true, y_pred):
        pairs = tree.map_structure(squeeze_or_expand_to_same_rank, y_true, y_pred)
        y_true, y_pred = (tree.map_structure_up_to(y_true, lambda pair, i=i: pair[i], pairs) for i in (0, 1))
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    def get_config(self):
        return {**super().get_config(), "fn": serialize_keras_object(self.fn), **serialize_keras_object(self._fn_kwargs)}

    @classmethod
    def from_config(cls, config):
        return cls(**(deserialize_keras_object(config) if "fn" in config else config))


class FunctionLoss(LossFunctionWrapper):
    """Base of the losses that are a function of this package: fields are the function's arguments after ``y_true, y_pred``.

    ``fields = {}`` in a subclass starts the list of fields anew, where Keras has another order of arguments.
    """

    keras_module = "keras.losses"
    fields = {}
    reduction: str | None = "sum_over_batch_size"
    name: str | None = None
    dtype: str | None = None

    @property
    def _fn_kwargs(self):
        return {name: getattr(self, name) for name in self.fields if name not in Loss.fields}

    def get_config(self):
        config_of_loss = {**Loss.get_config(self), **own_config(self, Loss)}
        return config_of_loss if self.dtype == config.floatx() else {**config_of_loss, "dtype": self.dtype}


def own_config(obj, base):
    """Config of the fields that ``obj`` has beyond those of ``base``, without what Keras leaves out."""
    values = {name: getattr(obj, name) for name in obj.fields if name not in base.fields}
    left_out = [name for name in obj.left_out_of_config if values[name] == obj.fields[name].default]
    return {name: obj.fields[name].serialize(value) for name, value in values.items() if name not in left_out}


# ---- what comes in
def compute_dtype(dtype):
    """The dtype that a dtype or policy computes in; ``floatx`` for None."""
    return dtype_policies.get(config.floatx() if dtype is None else dtype).compute_dtype


def get_mask(x):
    """The mask that a layer left on a tensor, or None."""
    return getattr(x, "_keras_mask", None)


def as_tensors(y, dtype):
    """Tensors of a dtype in the structure of ``y``; nested lists of numbers are one tensor."""
    if not tree.is_nested(y) or all(isinstance(leaf, numbers.Number) for leaf in tree.flatten(y)):
        return ops.convert_to_tensor(y, dtype=dtype)
    return tree.map_structure(lambda x: ops.convert_to_tensor(x, dtype=dtype), y)


def squeeze_or_expand_to_same_rank(x1, x2, expand_rank_1=True):
    """Where one has a last axis of size 1 that the other lacks: add it to a vector, else take it away."""
    if x1.ndim == x2.ndim + 1:
        return _at_one_rank(x1, x2, expand_rank_1)
    if x2.ndim == x1.ndim + 1:
        return _at_one_rank(x2, x1, expand_rank_1)[::-1]
    return x1, x2


def _at_one_rank(longer, shorter, expand_rank_1):
    if longer.shape[-1] != 1:
        return longer, shorter
    if shorter.ndim == 1 and expand_rank_1:
        return longer, ops.expand_dims(shorter, -1)
    return ops.squeeze(longer, -1), shorter


def fits(shape, other):
    """Whether shapes broadcast and have one rank, or one is a scalar's."""
    if not shape or not other:
        return True
    return len(shape) == len(other) and all(m == n or {m, n} & {1, None} for m, n in zip(shape, other, strict=True))


def equal(shape, other):
    """Whether shapes are equal, as far as they are known."""
    return len(shape) == len(other) and all(m == n or None in (m, n) for m, n in zip(shape, other, strict=True))


def matched(y_true, y_pred, exact=False, hint=""):
    """Both as tensors of ``y_pred``'s dtype and of one rank. ValueError where their shapes don't fit, or are not ``exact``."""
    y_pred = ops.convert_to_tensor(y_pred)
    y_true, y_pred = squeeze_or_expand_to_same_rank(ops.convert_to_tensor(y_true, dtype=y_pred.dtype), y_pred)
    if not (equal if exact else fits)(y_true.shape, y_pred.shape):
        raise ValueError(f"Arguments `y_true` and `y_pred` must have the same shape. Received: {y_true.shape} and {y_pred.shape}.{hint}")
    return y_true, y_pred


# ---- what goes out
def apply_mask(sample_weight, mask, dtype, reduction):
    """Weights that are zero where the mask is. For a mean, the others grow, so that it is one over what the mask leaves."""
    if mask is None:
        return sample_weight
    mask = ops.cast(mask, dtype)
    if reduction in ("mean", "sum_over_batch_size"):
        mask = ops.divide_no_nan(mask, ops.mean(mask))
    if sample_weight is None:
        return mask
    mask, sample_weight = _fitting("a mask", mask, ops.convert_to_tensor(sample_weight, dtype=dtype))
    return sample_weight * mask


def _fitting(what, values, weight):
    """Values and weights at one rank. A vector of weights never broadcasts along other axes than that of examples."""
    values, weight = squeeze_or_expand_to_same_rank(values, weight)
    if not fits(values.shape, weight.shape) and weight.size != 1:
        raise ValueError(f"Sample weights of shape {weight.shape} do not fit {what} of shape {values.shape}.")
    return values, weight


def reduce_weighted_values(values, sample_weight=None, mask=None, reduction="sum_over_batch_size", dtype=None):
    """Values times weights, reduced. ValueError where the weights' shape does not fit the values'."""
    values = ops.convert_to_tensor(values, dtype=dtype)
    if sample_weight is not None:
        sample_weight = ops.convert_to_tensor(sample_weight, dtype=values.dtype)
    weight = apply_mask(sample_weight, mask, values.dtype, reduction)
    if weight is not None:
        values, weight = _fitting("losses", values, weight)
        values = values * weight
    if reduction in ("none", None) or values.shape in ((), (0,)):
        return values
    if reduction == "sum" or values.size == 0:
        return ops.sum(values)
    if reduction == "mean_with_sample_weight" and weight is not None:
        return ops.divide_no_nan(ops.sum(values), ops.sum(weight))
    return ops.mean(values)
