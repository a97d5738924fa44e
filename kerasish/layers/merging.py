"""Layers that make one tensor of several."""

import string

from kerasish import ops
from kerasish.backend.autodiff import shapes
from kerasish.layers.layer import Layer


def _is_shape(x):
    return isinstance(x, (tuple, list)) and not any(isinstance(n, (tuple, list)) for n in x)


class Merge(Layer):
    """Base of the merging layers: a subclass says in ``_merge_function`` what it does with a list of tensors.

    The tensors broadcast, the batch axis apart; those of lower rank get new axes after the batch axis. The output counts
    where any of the inputs does, and has no mask where one of them has none.
    """

    supports_masking = True

    def __init__(self, **kwargs):
        super().__init__(**kwargs)

    def build(self, input_shape):
        what = f"`{type(self).__name__}` layer should be called on a list of"
        if _is_shape(input_shape):
            raise ValueError(f"A {what} inputs. Received: input_shape={input_shape} (not a list of shapes)")
        if len(input_shape) < 1:
            raise ValueError(f"A {what} at least 1 input. Received: input_shape={input_shape}")
        batch_sizes = {shape[0] for shape in input_shape if shape} - {None}
        if len(batch_sizes) > 1:
            raise ValueError(f"Cannot merge tensors of different batch sizes, with shapes {input_shape}")
        self._check_shapes(input_shape)

    def _check_shapes(self, input_shape):
        try:
            shapes.broadcast(*[shape[1:] for shape in input_shape])
        except ValueError as error:
            raise ValueError(f"Inputs have incompatible shapes. Received shapes {input_shape}") from error

    def call(self, inputs):
        if not isinstance(inputs, (list, tuple)):
            raise ValueError(f"`{type(self).__name__}` should be called on a list of tensors, got {inputs}")
        return self._merge_function(self._aligned(inputs))

    def _aligned(self, inputs):
        """The inputs with one rank."""
        ndim = max(x.ndim for x in inputs)
        return [_with_axes(x, range(1, 1 + ndim - x.ndim)) for x in inputs]

    def _masked(self, merge, inputs):
        """Merge element by element what counts: a masked element gives way to the other input's."""
        output, output_mask = inputs[0], inputs[0]._keras_mask
        for x in inputs[1:]:
            mask = x._keras_mask
            if mask is not None:
                x = ops.where(_over(mask, x), x, output)
            if output_mask is not None:
                output = ops.where(_over(output_mask, output), output, x)
            output = merge(output, x)
            output_mask = None if mask is None or output_mask is None else ops.logical_or(output_mask, mask)
        return _with_mask(output, output_mask)

    def compute_mask(self, inputs, mask=None):
        if mask is None:
            return None
        self._check_masks(inputs, mask)
        if any(m is None for m in mask):
            return None
        out = mask[0]
        for m in mask[1:]:
            out = ops.logical_or(out, m)
        return out

    def _check_masks(self, inputs, mask):
        for name, value in (("inputs", inputs), ("mask", mask)):
            if not isinstance(value, (tuple, list)):
                raise ValueError(f"`{name}` should be a list. Received: {name}={value}")
        if len(mask) != len(inputs):
            raise ValueError(f"Inputs and their masks should have the same length, got {len(inputs)} and {len(mask)}")


def _with_axes(x, axes):
    """``x`` with new axes of size 1, keeping its mask."""
    if not len(axes):
        return x
    y = ops.expand_dims(x, tuple(axes))
    y._keras_mask = x._keras_mask
    return y


def _over(mask, x):
    """The mask with the rank of ``x``, whose first axes it describes."""
    return ops.expand_dims(mask, tuple(range(mask.ndim, x.ndim))) if mask.ndim < x.ndim else mask


def _with_mask(x, mask):
    if mask is not None:
        x._keras_mask = mask
    return x


class Add(Merge):
    """Sum of the inputs (``keras.layers.Add``).

    >>> Add()([ops.ones((1, 2)), ops.ones((1, 2))]).tolist()
    [[2.0, 2.0]]
    """

    def _merge_function(self, inputs):
        output = inputs[0]
        for x in inputs[1:]:
            output = ops.add(output, x)
        return output


class Average(Add):
    """Mean of the inputs, element by element (``keras.layers.Average``).

    >>> Average()([ops.ones((1, 2)), ops.zeros((1, 2))]).tolist()
    [[0.5, 0.5]]
    """

    def _merge_function(self, inputs):
        return super()._merge_function(inputs) / len(inputs)


class Subtract(Merge):
    """First input minus second (``keras.layers.Subtract``).

    >>> Subtract()([ops.ones((1, 2)), ops.ones((1, 2))]).tolist()
    [[0.0, 0.0]]
    """

    def build(self, input_shape):
        super().build(input_shape)
        if len(input_shape) != 2:
            raise ValueError(f"This layer should be called on exactly 2 inputs, got shapes {input_shape}")

    def _merge_function(self, inputs):
        if len(inputs) != 2:
            raise ValueError(f"This layer should be called on exactly 2 inputs, got {inputs}")
        return ops.subtract(inputs[0], inputs[1])


class Multiply(Merge):
    """Product of the inputs; masked elements count as 1, and as 0 where all are masked (``keras.layers.Multiply``).

    >>> Multiply()([ops.full((1, 2), 2.0), ops.full((1, 2), 3.0)]).tolist()
    [[6.0, 6.0]]
    """

    def _merge_function(self, inputs):
        masks = [x._keras_mask for x in inputs]
        output = None
        for x, mask in zip(inputs, masks, strict=True):
            x = x if mask is None else ops.where(_over(mask, x), x, 1)
            output = x if output is None else ops.multiply(output, x)
        if any(mask is None for mask in masks):
            return output
        output_mask = self.compute_mask(inputs, masks)
        return _with_mask(ops.where(_over(output_mask, output), output, 0), output_mask)


class Maximum(Merge):
    """Greatest input, element by element; masked elements do not count (``keras.layers.Maximum``).

    >>> Maximum()([ops.ones((1, 2)), ops.zeros((1, 2))]).tolist()
    [[1.0, 1.0]]
    """

    def _merge_function(self, inputs):
        return self._masked(ops.maximum, inputs)


class Minimum(Merge):
    """Least input, element by element; masked elements do not count (``keras.layers.Minimum``).

    >>> Minimum()([ops.ones((1, 2)), ops.zeros((1, 2))]).tolist()
    [[0.0, 0.0]]
    """

    def _merge_function(self, inputs):
        return self._masked(ops.minimum, inputs)


class Concatenate(Merge):
    """The inputs one after another along ``axis`` (``keras.layers.Concatenate``); all other sizes must agree.

    >>> Concatenate()([ops.ones((1, 2)), ops.zeros((1, 1))]).tolist()
    [[1.0, 1.0, 0.0]]
    """

    axis: int = -1

    def _check_shapes(self, input_shape):
        try:
            shapes.concatenated(*input_shape, axis=self.axis)
        except ValueError as error:
            raise ValueError(
                f"A `Concatenate` layer requires inputs with matching shapes except for the concatenation axis, got {input_shape}"
            ) from error

    def _aligned(self, inputs):
        return inputs

    def _merge_function(self, inputs):
        return ops.concatenate(inputs, axis=self.axis)

    def compute_mask(self, inputs, mask=None):
        if mask is None:
            return None
        self._check_masks(inputs, mask)
        if all(m is None for m in mask):
            return None
        whole = [
            ops.ones_like(x, dtype="bool") if m is None
            else ops.logical_or(_over(m, x), ops.zeros_like(x, dtype="bool")) if m.ndim < x.ndim else m
            for x, m in zip(inputs, mask, strict=True)
        ]  # fmt: skip
        return ops.any(ops.concatenate(whole, axis=self.axis), axis=-1)


class Dot(Merge):
    """Dot products between two inputs, example by example, along one axis of each (``keras.layers.Dot``).

    ``axes``: one axis for both or a pair; ``normalize``: of vectors of length 1, so that the output is their cosine.

    >>> Dot(axes=1)([ops.ones((1, 3)), ops.ones((1, 3))]).tolist()
    [[3.0]]
    """

    axes: tuple
    normalize: bool = False

    def check(self):
        super().check()
        pair = isinstance(self.axes, (list, tuple))
        if not pair and not isinstance(self.axes, int):
            raise TypeError(f"`axes` is a list or an int, got {self.axes}")
        if pair and (len(self.axes) != 2 or not all(isinstance(axis, int) for axis in self.axes)):
            raise ValueError(f"`axes` has to be two integers, got {self.axes}")

    def build(self, input_shape):
        if _is_shape(input_shape) or len(input_shape) != 2:
            raise ValueError(f"`Dot` should be called on a list of two tensors, got shapes {input_shape}")
        a, b = self._axes_of(*input_shape)
        if input_shape[0][a] != input_shape[1][b]:
            raise ValueError(
                f"Incompatible input shapes {input_shape[0]}, {input_shape[1]}: axis {a} has size {input_shape[0][a]}, axis {b} "
                f"of the other {input_shape[1][b]}"
            )

    def _axes_of(self, shape1, shape2):
        """The two axes, counted from 0; never the batch axis."""
        axes = self.axes if isinstance(self.axes, (list, tuple)) else (self.axes, self.axes)
        found = [shapes.normalize_axis(axis, len(shape)) for axis, shape in zip(axes, (shape1, shape2), strict=True)]
        if 0 in found or min(len(shape1), len(shape2)) < 2:
            raise ValueError(f"Dot: axes={self.axes} must leave the batch axis 0 of inputs of shapes {shape1} and {shape2}.")
        return found

    def _aligned(self, inputs):
        return inputs

    def _merge_function(self, inputs):
        if len(inputs) != 2:
            raise ValueError(f"This layer should be called on exactly 2 inputs, got {inputs}")
        x, y = inputs
        a, b = self._axes_of(x.shape, y.shape)
        if self.normalize:
            x, y = ops.normalize(x, axis=a), ops.normalize(y, axis=b)
        letters = iter(string.ascii_letters)
        batch, along = next(letters), next(letters)
        labels = []
        for tensor, axis in ((x, a), (y, b)):
            labels.append([batch if i == 0 else along if i == axis else next(letters) for i in range(tensor.ndim)])
        rest = [label for label in labels[0] + labels[1] if label not in (batch, along)]
        output = ops.einsum(f"{''.join(labels[0])},{''.join(labels[1])}->{''.join([batch, *rest])}", x, y)
        return output if rest else ops.expand_dims(output, -1)

    def compute_mask(self, inputs, mask=None):
        return None


def add(inputs, **kwargs):
    """Sum of the inputs: ``Add(**kwargs)(inputs)`` (``keras.layers.add``)."""
    return Add(**kwargs)(inputs)


def average(inputs, **kwargs):
    """Mean of the inputs: ``Average(**kwargs)(inputs)`` (``keras.layers.average``)."""
    return Average(**kwargs)(inputs)


def subtract(inputs, **kwargs):
    """First input minus second: ``Subtract(**kwargs)(inputs)`` (``keras.layers.subtract``)."""
    return Subtract(**kwargs)(inputs)


def multiply(inputs, **kwargs):
    """Product of the inputs: ``Multiply(**kwargs)(inputs)`` (``keras.layers.multiply``)."""
    return Multiply(**kwargs)(inputs)


def maximum(inputs, **kwargs):
    """Greatest input: ``Maximum(**kwargs)(inputs)`` (``keras.layers.maximum``)."""
    return Maximum(**kwargs)(inputs)


def minimum(inputs, **kwargs):
    """Least input: ``Minimum(**kwargs)(inputs)`` (``keras.layers.minimum``)."""
    return Minimum(**kwargs)(inputs)


def concatenate(inputs, axis=-1, **kwargs):
    """The inputs one after another: ``Concatenate(axis, **kwargs)(inputs)`` (``keras.layers.concatenate``)."""
    return Concatenate(axis=axis, **kwargs)(inputs)


def dot(inputs, axes=-1, **kwargs):
    """Dot products: ``Dot(axes, **kwargs)(inputs)`` (``keras.layers.dot``)."""
    return Dot(axes=axes, **kwargs)(inputs)
