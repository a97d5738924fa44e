"""The layers that most models start from: inputs, dense layers, embeddings, masking and functions as layers."""

import base64
import copy
import inspect
import marshal
import re
import types
import warnings

from kerasish import ops, tree
from kerasish.activations import Activation as ActivationFunction
from kerasish.backend.autodiff.dtypes import standardize_dtype
from kerasish.backend.autodiff.symbolic import Node
from kerasish.backend.autodiff.tensor import KerasTensor, standardize_shape
from kerasish.constraints import Constraint
from kerasish.initializers import Initializer, VarianceScaling
from kerasish.layers.arguments import refuse_quantization
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.layer import Layer
from kerasish.layers.lora import LoraLayer, adaptable
from kerasish.regularizers import Regularizer
from kerasish.saveable import InitOnly, converters, deserialize_keras_object, in_safe_mode, load_lambda, serialize_keras_object


# ---- inputs
class InputLayer(Layer):
    """The start of a model: a KerasTensor of the given shape, without the batch axis, or ``batch_shape`` (``keras.layers.InputLayer``).

    ``optional``: the model may be given None for it. Sparse and ragged tensors are not supported (ValueError).

    >>> InputLayer(shape=(3,), name="points").output.shape
    (None, 3)
    """

    def __init__(self, shape=None, batch_size=None, dtype=None, sparse=None, ragged=None, batch_shape=None, input_tensor=None,
                 optional=False, name=None, **kwargs):  # fmt: skip
        super().__init__(name=name)
        if "input_shape" in kwargs:
            warnings.warn("Argument `input_shape` is deprecated. Use `shape` instead.", stacklevel=2)
            shape = kwargs.pop("input_shape")
        batch_shape = kwargs.pop("batch_input_shape", batch_shape)
        if kwargs:
            raise ValueError(f"Unrecognized keyword arguments passed to InputLayer: {kwargs}")
        for what, value in (("sparse", sparse), ("ragged", ragged)):
            if value:
                raise ValueError(f"`{what}=True` is not supported: tensors are dense. Convert the data before it enters the model.")
        if input_tensor is None:
            input_tensor = KerasTensor(_batch_shape(shape, batch_size, batch_shape), standardize_dtype(dtype), name=name)
        else:
            _check_input_tensor(input_tensor, shape, batch_size, batch_shape, dtype)
        self.batch_shape, self._dtype = input_tensor.shape, input_tensor.dtype
        self.sparse = self.ragged = False
        self.optional = optional
        Node(self, outputs=input_tensor)
        self.built = True

    dtype = property(lambda self: self._dtype)

    def call(self):
        """An input computes nothing."""

    def get_config(self):
        return {name: getattr(self, name) for name in ("batch_shape", "dtype", "sparse", "ragged", "name", "optional")}


def _batch_shape(shape, batch_size, batch_shape):
    for name, value in (("shape", shape), ("batch_size", batch_size)):
        if value is not None and batch_shape is not None:
            raise ValueError(f"You cannot pass both `{name}` and `batch_shape` at the same time.")
    if batch_shape is not None:
        return standardize_shape(batch_shape)
    if shape is None:
        raise ValueError("You must pass a `shape` argument.")
    return standardize_shape((batch_size, *standardize_shape(shape)))


def _check_input_tensor(x, shape, batch_size, batch_shape, dtype):
    """ValueError where an argument contradicts the tensor that was given."""
    if not isinstance(x, KerasTensor):
        raise ValueError(f"Argument `input_tensor` must be a KerasTensor, got {x} ({type(x)})")
    for name, fits in (
        ("batch_size", batch_size is None or x.shape[:1] == (batch_size,)),
        ("shape", shape is None or tuple(shape) == x.shape[1:]),
        ("batch_shape", batch_shape is None or tuple(batch_shape) == x.shape),
        ("dtype", dtype is None or standardize_dtype(dtype) == x.dtype),
    ):
        if not fits:
            raise ValueError(f"`{name}`={x} contradicts the `input_tensor`: leave it out.")


def Input(shape=None, batch_size=None, dtype=None, sparse=None, ragged=None, batch_shape=None, name=None, tensor=None,
          optional=False):  # fmt: skip
    """A KerasTensor from which a model is wired (``keras.Input``). ``shape`` has no batch axis; None in it is an unknown size.

    >>> Input((28, 28, 1), batch_size=32, name="image")
    <KerasTensor shape=(32, 28, 28, 1), dtype=float32, sparse=False, ragged=False, name=image>
    """
    return InputLayer(shape, batch_size, dtype, sparse, ragged, batch_shape, tensor, optional, name).output


# ---- dense layers
class Dense(LoraLayer):
    """``activation(inputs @ kernel + bias)`` along the last axis (``keras.layers.Dense``).

    Input ``(batch, ..., size)``, output ``(batch, ..., units)``. With ``lora_rank`` the kernel is frozen and a low-rank change
    of it is trained.

    >>> Dense(4)(ops.ones((2, 3))).shape
    (2, 4)
    """

    supports_masking = True
    units: int
    activation: ActivationFunction = None
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"
    kernel_regularizer: Regularizer = None
    bias_regularizer: Regularizer = None
    activity_regularizer: Regularizer = None
    kernel_constraint: Constraint = None
    bias_constraint: Constraint = None
    lora_rank: int = None
    lora_alpha: float = None
    quantization_config: object = None
    _config_without_none = ("activity_regularizer", *LoraLayer._config_without_none)

    def check(self):
        super().check()
        if not isinstance(self.units, int) or self.units <= 0:
            raise ValueError(f"`units`, expected a positive integer, has an invalid value: {self.units}")
        refuse_quantization(self)
        self.input_spec = InputSpec(min_ndim=2)

    def build(self, input_shape):
        self._kernel = self.add_weight(
            (input_shape[-1], self.units), self.kernel_initializer, regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint, name="kernel",
        )  # fmt: skip
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                (self.units,), self.bias_initializer, regularizer=self.bias_regularizer, constraint=self.bias_constraint, name="bias"
            )
        self.input_spec = InputSpec(min_ndim=2, axes={-1: input_shape[-1]})

    kernel = adaptable("kernel")

    def call(self, inputs, training=None):
        y = ops.matmul(inputs, self.kernel)
        if self.bias is not None:
            y = ops.add(y, self.bias)
        return y if self.activation is None else self.activation(y)


class EinsumDense(LoraLayer):
    """``activation(einsum(equation, inputs, kernel) + bias)`` (``keras.layers.EinsumDense``).

    ``output_shape`` lists the sizes after the batch axis, for "...x" equations after the elided axes; ``bias_axes`` are the
    letters of the output that have a bias of their own.

    >>> EinsumDense("abc,cd->abd", output_shape=(None, 8), bias_axes="d")(ops.ones((2, 5, 3))).shape
    (2, 5, 8)
    """

    equation: str
    output_shape: tuple
    activation: ActivationFunction = None
    bias_axes: str = None
    kernel_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"
    kernel_regularizer: Regularizer = None
    bias_regularizer: Regularizer = None
    kernel_constraint: Constraint = None
    bias_constraint: Constraint = None
    lora_rank: int = None
    lora_alpha: float = None
    gptq_unpacked_column_size: int = None
    quantization_config: object = None
    _config_without_none = ("gptq_unpacked_column_size", *LoraLayer._config_without_none)

    def check(self):
        super().check()
        refuse_quantization(self)
        if self.gptq_unpacked_column_size is not None:
            raise ValueError("EinsumDense: `gptq_unpacked_column_size` must be None, quantization is not supported.")
        self.output_shape = (self.output_shape,) if isinstance(self.output_shape, int) else tuple(self.output_shape)

    partial_output_shape = property(lambda self: self.output_shape)

    def build(self, input_shape):
        kernel_shape, bias_shape, input_axes, output_axes = _einsum_shapes(self.equation, self.bias_axes, input_shape, self.output_shape)
        initializer = self.kernel_initializer
        if isinstance(initializer, VarianceScaling) and (initializer.input_axes is None or initializer.output_axes is None):
            initializer = copy.copy(initializer)
            initializer.input_axes, initializer.output_axes = input_axes, output_axes
        self._kernel = self.add_weight(
            kernel_shape, initializer, regularizer=self.kernel_regularizer, constraint=self.kernel_constraint, name="kernel"
        )
        self.bias = None
        if bias_shape is not None:
            self.bias = self.add_weight(
                bias_shape, self.bias_initializer, regularizer=self.bias_regularizer, constraint=self.bias_constraint, name="bias"
            )
        self.input_spec = InputSpec(ndim=len(input_shape))

    kernel = adaptable("kernel")

    def call(self, inputs, training=None):
        y = ops.einsum(self.equation, inputs, self.kernel)
        if self.bias is not None:
            y = ops.add(y, self.bias)
        return y if self.activation is None else self.activation(y)

    def get_config(self):
        return {"activity_regularizer": None, **super().get_config()}


_EQUATION = re.compile(r"(\.\.\.)?([a-zA-Z]+)(\.\.\.)?,([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]+)(\.\.\.)?")


def _einsum_shapes(equation, bias_axes, input_shape, output_shape):
    """Shapes of kernel and bias (or None), and which axes of the kernel meet the input and which make the output."""
    match = _EQUATION.fullmatch(equation)
    left, x, right, kernel, left_too, y, right_too = match.groups() if match else [None] * 7
    if not match or left != left_too or right != right_too or (left and right):
        raise ValueError(f"Invalid einsum equation '{equation}'. Known forms: [X],[Y]->[Z], ...[X],[Y]->...[Z], [X]...,[Y]->[Z]....")
    elided = [f"elided {i}" for i in range(len(input_shape) - len(x))]  # names for the axes that "..." stands for
    x_labels, y_labels = ([*elided, *x], [*elided, *y]) if left else ([*x, *elided], [*y, *elided])
    before, after = (input_shape[1 : len(elided)], ()) if left else ((), input_shape[len(x) :])
    y_shape = (input_shape[0], *before, *output_shape, *after)
    if len(y_labels) != len(y_shape) or len(x_labels) != len(input_shape):
        raise ValueError(
            f"EinsumDense: equation '{equation}' does not fit input shape {tuple(input_shape)} and output_shape={output_shape}."
        )
    x_sizes, y_sizes = dict(zip(x_labels, input_shape, strict=True)), dict(zip(y_labels, y_shape, strict=True))
    for label in x:
        if y_sizes.get(label) not in (None, x_sizes[label]):
            raise ValueError(
                f"Input shape and output shape do not match: '{label}' is {x_sizes[label]} in one and {y_sizes[label]} in the other."
            )
    for label in y:
        if label not in x + kernel:
            raise ValueError(f"Dimension '{label}' of the output '{y}' has no match in the input '{x}' or the kernel '{kernel}'.")
    for label in kernel:
        if label not in x + y:
            raise ValueError(f"Dimension '{label}' of the kernel '{kernel}' has no match in the input '{x}' or the output '{y}'.")
    output_axes = [i for i, label in enumerate(kernel) if label in y]
    input_axes = [i for i, label in enumerate(kernel) if label not in y]
    shape = tuple(y_sizes.get(label, x_sizes.get(label)) for label in kernel)
    return shape, _einsum_bias_shape(bias_axes, y, y_sizes, elided if right else ()), input_axes, output_axes


def _einsum_bias_shape(bias_axes, y, sizes, elided):
    if bias_axes is None:
        return None
    for label in bias_axes:
        if label not in y:
            raise ValueError(f"A bias along '{label}' needs that letter in the output '{y}'.")
    first = min(y.index(label) for label in bias_axes)
    return (*[sizes[label] if label in bias_axes else 1 for label in y[first:]], *[1] * len(elided))


# ---- embeddings
class Embedding(LoraLayer):
    """Rows of a trainable table, looked up by integers from 0 to ``input_dim - 1`` (``keras.layers.Embedding``).

    Input any shape, output the same with ``output_dim`` appended. ``mask_zero`` makes 0 padding; ``weights`` is the table to
    start from.

    >>> Embedding(10, 4)(ops.array([[1, 2, 3]])).shape
    (1, 3, 4)
    """

    input_dim: int
    output_dim: int
    embeddings_initializer: Initializer = "uniform"
    embeddings_regularizer: Regularizer = None
    embeddings_constraint: Constraint = None
    mask_zero: bool = False
    weights: InitOnly = None
    lora_rank: int = None
    lora_alpha: float = None
    quantization_config: object = None
    _lora_target = "embeddings"

    def _init_base(self, input_length=None, **kwargs):
        if input_length is not None:
            warnings.warn("Argument `input_length` is deprecated. Just remove it.", stacklevel=3)
        super()._init_base(**kwargs)

    def check(self, weights=None):
        super().check()
        for name in ("input_dim", "output_dim"):
            size = getattr(self, name)
            if not isinstance(size, int) or isinstance(size, bool) or size <= 0:
                raise ValueError(f"`{name}` must be a positive integer. Received: {name}={size} (of type {type(size).__name__}).")
        refuse_quantization(self)
        self.supports_masking = self.mask_zero
        self.autocast = False  # rows are looked up in the variable's dtype, and only they are cast
        if weights is not None:
            self.build()
            self.set_weights(weights if isinstance(weights, list) and len(weights) == 1 else [weights])

    def build(self, input_shape=None):
        if self.built:
            return
        self._embeddings = self.add_weight(
            (self.input_dim, self.output_dim), self.embeddings_initializer, regularizer=self.embeddings_regularizer,
            constraint=self.embeddings_constraint, name="embeddings",
        )  # fmt: skip

    embeddings = adaptable("embeddings")

    def call(self, inputs):
        indices = inputs if inputs.dtype in ("int32", "int64") else ops.cast(inputs, "int32")
        return ops.cast(ops.take(self.embeddings, indices, axis=0), self.compute_dtype)

    def compute_mask(self, inputs, mask=None):
        return ops.not_equal(inputs, 0) if self.mask_zero else None

    def get_config(self):
        return {"activity_regularizer": None, **super().get_config()}


class ReversibleEmbedding(Embedding):
    """An Embedding that also goes the other way, from vectors to scores for each row, with ``reverse=True`` (``keras.layers``).

    ``tie_weights``: the same table both ways; ``logit_soft_cap`` bounds the scores smoothly.

    >>> layer = ReversibleEmbedding(10, 4)
    >>> layer(layer(ops.array([[1, 2, 3]])), reverse=True).shape
    (1, 3, 10)
    """

    def __init__(self, input_dim, output_dim, tie_weights=True, embeddings_initializer="uniform", embeddings_regularizer=None,
                 embeddings_constraint=None, mask_zero=False, reverse_dtype=None, logit_soft_cap=None, **kwargs):  # fmt: skip
        self.tie_weights, self.reverse_dtype, self.logit_soft_cap = tie_weights, reverse_dtype, logit_soft_cap
        super().__init__(input_dim, output_dim, embeddings_initializer, embeddings_regularizer, embeddings_constraint, mask_zero, **kwargs)

    def build(self, input_shape=None):
        super().build(input_shape)
        if not self.tie_weights:
            self.reverse_embeddings = self.add_weight(
                (self.output_dim, self.input_dim), self.embeddings_initializer, name="reverse_embeddings"
            )

    def call(self, inputs, reverse=False):
        if not reverse:
            rows = super().call(inputs)
            rows._keras_mask = super().compute_mask(inputs)
            return rows
        table = ops.transpose(self.embeddings) if self.tie_weights else self.reverse_embeddings
        if self.reverse_dtype is not None:
            inputs, table = ops.cast(inputs, self.reverse_dtype), ops.cast(table, self.reverse_dtype)
        scores = ops.matmul(inputs, table)
        if self.logit_soft_cap is None:
            return scores
        return ops.multiply(ops.tanh(ops.divide(scores, self.logit_soft_cap)), self.logit_soft_cap)

    def compute_mask(self, inputs, mask=None):
        """Call sets the mask itself: it depends on the direction."""
        return

    def get_config(self):
        own = {name: getattr(self, name) for name in ("tie_weights", "reverse_dtype", "logit_soft_cap")}
        return {**super().get_config(), **own}


# ---- layers that pass on what they get
class Identity(Layer):
    """Its input as it is (``keras.layers.Identity``).

    >>> Identity()(ops.array([1.0])).tolist()
    [1.0]
    """

    supports_masking = True
    built = True

    def __init__(self, **kwargs):
        super().__init__(**kwargs)

    def call(self, inputs):
        return inputs


class Masking(Layer):
    """Masks the time steps at which every feature equals ``mask_value`` (``keras.layers.Masking``).

    Input ``(batch, ..., time, features)``; the masked steps become zeros.

    >>> Masking()(ops.array([[[0.0, 0.0], [0.0, 1.0]]]))._keras_mask.tolist()
    [[False, True]]
    """

    supports_masking = True
    built = True
    mask_value: float = 0.0

    def check(self):
        super().check()
        if isinstance(self.mask_value, dict) and self.mask_value.get("config"):
            self.mask_value = deserialize_keras_object(self.mask_value)

    def compute_mask(self, inputs, mask=None):
        return ops.any(ops.not_equal(inputs, self.mask_value), axis=-1)

    def call(self, inputs):
        mask = self.compute_mask(inputs)
        outputs = ops.where(ops.expand_dims(mask, -1), inputs, 0)
        outputs._keras_mask = mask
        return outputs


class Wrapper(Layer):
    """Base of layers that do something with another layer, kept as ``layer`` (``keras.layers.Wrapper``).

    >>> class Doubled(Wrapper):
    ...     def call(self, x):
    ...         return self.layer(x) * 2.0
    >>> Doubled(Identity())(ops.array([1.0])).tolist()
    [2.0]
    """

    def __init__(self, layer, **kwargs):
        if not isinstance(layer, Layer):
            raise ValueError(
                f"Layer {layer} supplied to Wrapper isn't a supported layer type. Please ensure wrapped layer is a valid Keras layer."
            )
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape=None):
        if not self.layer.built:
            self.layer.build(input_shape)
            self.layer.built = True

    def get_config(self):
        return {"layer": serialize_keras_object(self.layer), **super().get_config()}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        return cls(deserialize_keras_object(config.pop("layer"), custom_objects), **config)


# ---- functions as layers
class PythonCode:
    """Annotation of a field that holds a function, which a file names, or a lambda, whose bytecode it holds."""


def _is_lambda(function):
    return isinstance(function, types.LambdaType) and function.__name__ == "<lambda>"


def _dump_code(function):
    """A lambda as Keras writes it; anything else as any object."""
    if not _is_lambda(function):
        return serialize_keras_object(function)
    cells = function.__closure__
    code = {
        "code": base64.encodebytes(marshal.dumps(function.__code__)).decode("ascii"),
        "defaults": function.__defaults__,
        "closure": tuple(cell.cell_contents for cell in cells) if cells else None,
    }
    return {"class_name": "__lambda__", "config": code}


def _load_code(config, custom_objects, safe_mode):
    """What :func:`_dump_code` wrote; ValueError for bytecode unless the caller trusts it."""
    if not isinstance(config, dict) or config.get("class_name") != "__lambda__":
        return deserialize_keras_object(config, custom_objects)
    return load_lambda(config["config"], safe_mode)


converters[PythonCode] = (None, _dump_code)


class Lambda(Layer):
    """A function as a layer (``keras.layers.Lambda``). Prefer a subclass of Layer: a lambda's file holds bytecode.

    ``arguments`` are further keyword arguments of the function, which may also take ``mask`` and ``training``; ``mask`` is the
    output's mask or a function ``(inputs, mask)`` of it. Files with bytecode load with ``safe_mode=False`` only.

    >>> Lambda(lambda x: x * 2.0)(ops.array([1.0])).tolist()
    [2.0]
    """

    function: PythonCode
    output_shape: PythonCode = None
    mask: PythonCode = None
    arguments: dict = None
    _config_without_none = ("output_shape", "mask")

    def check(self):
        super().check()
        if not callable(self.function):
            raise ValueError(f"Lambda needs a function. Received: function={self.function} of type {type(self.function)}.")
        self.arguments = self.arguments or {}
        self.supports_masking = self.mask is not None
        takes = inspect.signature(self.function).parameters
        self._passed_on = [name for name in ("mask", "training") if name in takes]

    def call(self, inputs, mask=None, training=None):
        given = {"mask": mask, "training": training}
        return self.function(inputs, **self.arguments, **{name: given[name] for name in self._passed_on})

    def compute_mask(self, inputs, mask=None):
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def compute_output_shape(self, input_shape):
        """What the function gives for that shape, unless ``output_shape`` (without the batch axis, or a function) says it."""
        if self.output_shape is None:
            return super().compute_output_shape(input_shape)
        if callable(self.output_shape):
            return self.output_shape(input_shape)
        batch = tree.flatten(input_shape)[0]
        return tree.map_shape_structure(lambda shape: (batch, *shape), self.output_shape)

    def _declares_shape(self):
        return self.output_shape is not None

    @classmethod
    def from_config(cls, config, custom_objects=None, safe_mode=None):
        safe_mode = in_safe_mode() if safe_mode is None else safe_mode is not False
        config = dict(config)
        for name in ("function", "output_shape", "mask"):
            if name in config:
                config[name] = _load_code(config[name], custom_objects, safe_mode)
        if isinstance(config.get("output_shape"), list) and all(n is None or isinstance(n, int) for n in config["output_shape"]):
            config["output_shape"] = tuple(config["output_shape"])
        config["arguments"] = deserialize_keras_object(config.get("arguments"), custom_objects)
        return super().from_config(config)
