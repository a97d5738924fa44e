"""Convolution layers: plain, transposed, depthwise and separable, over one to three axes."""

from kerasish import ops
from kerasish.activations import Activation as ActivationFunction
from kerasish.constraints import Constraint
from kerasish.initializers import Initializer
from kerasish.layers.arguments import DataFormat, standardize_tuple
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.layer import Layer
from kerasish.layers.lora import LoraLayer, adaptable
from kerasish.regularizers import Regularizer


def check_windows(layer, paddings):
    """Make tuples of a layer's sizes; ValueError for those, ``filters`` and ``padding`` that make no sense."""
    for name in ("kernel_size", "strides", "dilation_rate"):
        setattr(layer, name, standardize_tuple(getattr(layer, name), layer.rank, name))
    layer.padding = str(layer.padding).lower()
    if layer.padding not in paddings:
        raise ValueError(f"The `padding` argument must be one of {paddings}. Received: padding={layer.padding}")
    if layer.filters is not None and layer.filters <= 0:
        raise ValueError(f"Invalid value for argument `filters`. Expected a strictly positive value. Received filters={layer.filters}.")
    if max(layer.strides) > 1 and max(layer.dilation_rate) > 1:
        raise ValueError(
            "`strides > 1` is not compatible with `dilation_rate > 1`. "
            f"Received: strides={layer.strides} and dilation_rate={layer.dilation_rate}"
        )


class BaseConv(Layer):
    """What all convolutions share: how windows move, the bias and the activation. ``rank`` axes lie between batch and channels."""

    rank = None
    data_format = "channels_last"
    groups = 1
    filters = None  # None where the number of outputs follows from the input's channels
    _paddings = ("valid", "same")

    def check(self):
        super().check()
        check_windows(self, self._paddings)
        if self.groups <= 0:
            raise ValueError(f"The number of groups must be a positive integer. Received: groups={self.groups}.")
        if self.filters is not None and self.filters % self.groups:
            raise ValueError(
                "The number of filters must be evenly divisible by the number of groups. "
                f"Received: groups={self.groups}, filters={self.filters}."
            )
        self.input_spec = InputSpec(min_ndim=self.rank + 2)

    def build(self, input_shape):
        axis = -1 if self.data_format == "channels_last" else 1
        channels = input_shape[axis]
        if channels is None:
            raise ValueError(f"Layer '{self.name}': the channel axis of the input must be known. Received: input_shape={input_shape}")
        if channels % self.groups:
            raise ValueError(f"groups={self.groups} do not divide {input_shape}: the input has {channels} channels.")
        self.input_spec = InputSpec(min_ndim=self.rank + 2, axes={axis: channels})
        self._make_kernels(channels)
        self.bias = None
        if self.use_bias:
            size = self.filters if self.filters is not None else self.depth_multiplier * channels
            self.bias = self.add_weight(
                (size,), self.bias_initializer, regularizer=self.bias_regularizer, constraint=self.bias_constraint, name="bias"
            )

    def _make_kernels(self, channels):
        raise NotImplementedError  # each kind of convolution has kernels of its own

    def _weight(self, what, shape, name):
        """A variable with the initializer, regularizer and constraint of the fields that begin with ``what``."""
        return self.add_weight(
            shape, getattr(self, f"{what}_initializer"), regularizer=getattr(self, f"{what}_regularizer"),
            constraint=getattr(self, f"{what}_constraint"), name=name,
        )  # fmt: skip

    def _finish(self, y):
        """Bias and activation."""
        if self.bias is not None:
            shape = (1, -1) + (1,) * self.rank if self.data_format == "channels_first" else (1,) * (self.rank + 1) + (-1,)
            y = y + (self.bias if self.data_format == "channels_last" else ops.reshape(self.bias, shape))
        return y if self.activation is None else self.activation(y)


# ---- plain
class _Conv(BaseConv, LoraLayer):
    filters: int
    kernel_size: tuple
    strides: tuple = 1
    padding: str = "valid"
    data_format: DataFormat = None
    dilation_rate: tuple = 1
    groups: int = 1
    activation: ActivationFunction = None
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"
    kernel_regularizer: Regularizer = None
    bias_regularizer: Regularizer = None
    activity_regularizer: Regularizer = None
    kernel_constraint: Constraint = None
    bias_constraint: Constraint = None
    lora_rank = lora_alpha = None  # given as keyword arguments; not part of the signature, as in Keras

    def _init_base(self, lora_rank=None, lora_alpha=None, **kwargs):
        super()._init_base(**kwargs)
        self.lora_rank, self.lora_alpha = lora_rank, lora_alpha

    def _make_kernels(self, channels):
        self._kernel = self._weight("kernel", (*self.kernel_size, channels // self.groups, self.filters), "kernel")

    kernel = adaptable("kernel")

    def get_config(self):
        config = super().get_config()
        return config if self.lora_rank is None else {**config, "lora_rank": self.lora_rank, "lora_alpha": self.lora_alpha}

    def call(self, inputs):
        return self._finish(ops.conv(inputs, self.kernel, self.strides, self.padding, self.data_format, self.dilation_rate))


class Conv1D(_Conv):
    """Convolution over steps: ``(batch, steps, channels)`` to ``(batch, new_steps, filters)`` (``keras.layers.Conv1D``).

    ``padding="causal"`` looks only back.

    >>> Conv1D(4, 3, padding="causal")(ops.ones((2, 8, 3))).shape
    (2, 8, 4)
    """

    rank = 1
    _paddings = ("valid", "same", "causal")


class Conv2D(_Conv):
    """Convolution over images: ``(batch, height, width, channels)`` to ``(..., filters)`` (``keras.layers.Conv2D``).

    >>> Conv2D(4, 3, activation="relu")(ops.ones((2, 8, 8, 3))).shape
    (2, 6, 6, 4)
    """

    rank = 2
    strides: tuple = (1, 1)
    dilation_rate: tuple = (1, 1)


class Conv3D(_Conv):
    """Convolution over volumes (``keras.layers.Conv3D``).

    >>> Conv3D(2, 2, strides=2)(ops.ones((1, 4, 4, 4, 3))).shape
    (1, 2, 2, 2, 2)
    """

    rank = 3
    strides: tuple = (1, 1, 1)
    dilation_rate: tuple = (1, 1, 1)


# ---- transposed
class _ConvTranspose(BaseConv):
    filters: int
    kernel_size: tuple
    strides: tuple = 1
    padding: str = "valid"
    output_padding: tuple = None
    data_format: DataFormat = None
    dilation_rate: tuple = 1
    activation: ActivationFunction = None
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"
    kernel_regularizer: Regularizer = None
    bias_regularizer: Regularizer = None
    activity_regularizer: Regularizer = None
    kernel_constraint: Constraint = None
    bias_constraint: Constraint = None

    def check(self):
        super().check()
        if self.output_padding is not None:
            self.output_padding = standardize_tuple(self.output_padding, self.rank, "output_padding", allow_zero=True)
            for stride, extra in zip(self.strides, self.output_padding, strict=True):
                if extra >= stride:
                    raise ValueError(
                        f"`output_padding` must be strictly less than `strides`. Received: strides={self.strides}, "
                        f"output_padding={self.output_padding}."
                    )

    def _make_kernels(self, channels):
        self.kernel = self._weight("kernel", (*self.kernel_size, self.filters, channels), "kernel")

    def call(self, inputs):
        y = ops.conv_transpose(
            inputs, self.kernel, list(self.strides), self.padding, self.output_padding, self.data_format, self.dilation_rate
        )
        return self._finish(y)


class Conv1DTranspose(_ConvTranspose):
    """The transpose of a convolution over steps: it grows what that one shrinks (``keras.layers.Conv1DTranspose``).

    >>> Conv1DTranspose(4, 3, strides=2)(ops.ones((2, 5, 3))).shape
    (2, 11, 4)
    """

    rank = 1


class Conv2DTranspose(_ConvTranspose):
    """The transpose of a convolution over images (``keras.layers.Conv2DTranspose``).

    >>> Conv2DTranspose(4, 3, strides=2, padding="same")(ops.ones((2, 5, 5, 3))).shape
    (2, 10, 10, 4)
    """

    rank = 2
    strides: tuple = (1, 1)
    dilation_rate: tuple = (1, 1)


class Conv3DTranspose(_ConvTranspose):
    """The transpose of a convolution over volumes (``keras.layers.Conv3DTranspose``).

    >>> Conv3DTranspose(2, 2, strides=2)(ops.ones((1, 3, 3, 3, 2))).shape
    (1, 6, 6, 6, 2)
    """

    rank = 3
    strides: tuple = (1, 1, 1)
    dilation_rate: tuple = (1, 1, 1)

    @classmethod
    def _order_fields(cls, own):
        fields = super()._order_fields(own)
        names = list(fields)
        names.remove("output_padding")
        names.insert(names.index("data_format") + 1, "output_padding")  # Keras's order here
        return {name: fields[name] for name in names}


# ---- depthwise and separable
class _DepthwiseConv(BaseConv):
    kernel_size: tuple
    strides: tuple = 1
    padding: str = "valid"
    depth_multiplier: int = 1
    data_format: DataFormat = None
    dilation_rate: tuple = 1
    activation: ActivationFunction = None
    use_bias: bool = True
    depthwise_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"
    depthwise_regularizer: Regularizer = None
    bias_regularizer: Regularizer = None
    activity_regularizer: Regularizer = None
    depthwise_constraint: Constraint = None
    bias_constraint: Constraint = None

    def check(self):
        super().check()
        _check_multiplier(self.depth_multiplier)

    def _make_kernels(self, channels):
        self.kernel = self._weight("depthwise", (*self.kernel_size, channels, self.depth_multiplier), "kernel")

    def call(self, inputs):
        y = ops.depthwise_conv(inputs, self.kernel, self.strides, self.padding, self.data_format, self.dilation_rate)
        return self._finish(y)


def _check_multiplier(depth_multiplier):
    if depth_multiplier is not None and depth_multiplier <= 0:
        raise ValueError(
            "Invalid value for argument `depth_multiplier`. Expected a strictly positive value. "
            f"Received depth_multiplier={depth_multiplier}."
        )


class DepthwiseConv1D(_DepthwiseConv):
    """Convolution over steps of each channel by itself (``keras.layers.DepthwiseConv1D``).

    >>> DepthwiseConv1D(3, depth_multiplier=2)(ops.ones((2, 8, 3))).shape
    (2, 6, 6)
    """

    rank = 1


class DepthwiseConv2D(_DepthwiseConv):
    """Convolution over images of each channel by itself (``keras.layers.DepthwiseConv2D``).

    >>> DepthwiseConv2D(3, padding="same")(ops.ones((2, 8, 8, 3))).shape
    (2, 8, 8, 3)
    """

    rank = 2
    strides: tuple = (1, 1)
    dilation_rate: tuple = (1, 1)


class _SeparableConv(BaseConv):
    filters: int
    kernel_size: tuple
    strides: tuple = 1
    padding: str = "valid"
    data_format: DataFormat = None
    dilation_rate: tuple = 1
    depth_multiplier: int = 1
    activation: ActivationFunction = None
    use_bias: bool = True
    depthwise_initializer: Initializer = "glorot_uniform"
    pointwise_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"
    depthwise_regularizer: Regularizer = None
    pointwise_regularizer: Regularizer = None
    bias_regularizer: Regularizer = None
    activity_regularizer: Regularizer = None
    depthwise_constraint: Constraint = None
    pointwise_constraint: Constraint = None
    bias_constraint: Constraint = None

    def check(self):
        super().check()
        _check_multiplier(self.depth_multiplier)

    def _make_kernels(self, channels):
        self.depthwise_kernel = self._weight("depthwise", (*self.kernel_size, channels, self.depth_multiplier), "depthwise_kernel")
        shape = (*(1,) * self.rank, self.depth_multiplier * channels, self.filters)
        self.pointwise_kernel = self._weight("pointwise", shape, "pointwise_kernel")

    def call(self, inputs):
        y = ops.separable_conv(
            inputs, self.depthwise_kernel, self.pointwise_kernel, self.strides, self.padding, self.data_format, self.dilation_rate
        )
        return self._finish(y)


class SeparableConv1D(_SeparableConv):
    """Depthwise over steps, then a product over channels (``keras.layers.SeparableConv1D``; F. Chollet 2017).

    >>> SeparableConv1D(4, 3)(ops.ones((2, 8, 3))).shape
    (2, 6, 4)
    """

    rank = 1


class SeparableConv2D(_SeparableConv):
    """Depthwise over images, then a product over channels (``keras.layers.SeparableConv2D``; F. Chollet 2017).

    >>> SeparableConv2D(4, 3)(ops.ones((2, 8, 8, 3))).shape
    (2, 6, 6, 4)
    """

    rank = 2
    strides: tuple = (1, 1)
    dilation_rate: tuple = (1, 1)


Convolution1D, Convolution2D, Convolution3D = Conv1D, Conv2D, Conv3D
Convolution1DTranspose, Convolution2DTranspose, Convolution3DTranspose = Conv1DTranspose, Conv2DTranspose, Conv3DTranspose
SeparableConvolution1D, SeparableConvolution2D = SeparableConv1D, SeparableConv2D
