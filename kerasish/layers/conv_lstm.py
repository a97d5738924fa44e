"""Recurrent layers whose products are convolutions: an LSTM over sequences of images, or of what has one or three axes."""

from kerasish import ops
from kerasish.activations import Activation as ActivationFunction
from kerasish.backend.autodiff.shapes import join_layout, split_layout, window_counts
from kerasish.constraints import Constraint
from kerasish.initializers import Initializer
from kerasish.layers.arguments import DataFormat
from kerasish.layers.conv import check_windows
from kerasish.layers.input_spec import InputSpec
from kerasish.layers.layer import Layer
from kerasish.layers.rnn import CellLayer, LongShortTermCell, product
from kerasish.regularizers import Regularizer


class _ConvLSTMFields(Layer):
    filters: int
    kernel_size: tuple
    strides: tuple = 1
    padding: str = "valid"
    data_format: DataFormat = None
    dilation_rate: tuple = 1
    activation: ActivationFunction = "tanh"
    recurrent_activation: ActivationFunction = "sigmoid"
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    recurrent_initializer: Initializer = "orthogonal"
    bias_initializer: Initializer = "zeros"
    unit_forget_bias: bool = True
    kernel_regularizer: Regularizer = None
    recurrent_regularizer: Regularizer = None
    bias_regularizer: Regularizer = None
    kernel_constraint: Constraint = None
    recurrent_constraint: Constraint = None
    bias_constraint: Constraint = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    seed: int = None


class ConvLSTMCell(_ConvLSTMFields, LongShortTermCell):
    """An LSTM's step on images of ``rank`` axes (X. Shi et al. 2015); Keras has it in its layers only, so it is not exported.

    Inputs are convolved with ``strides``, ``padding`` and ``dilation_rate``; states, of the size that comes out, at the same size.
    Dropout draws a mask for each gate.

    >>> cell = ConvLSTMCell(2, filters=4, kernel_size=3)
    >>> cell.build((None, 8, 8, 3))
    >>> cell(ops.ones((1, 8, 8, 3)), cell.get_initial_state(1))[0].shape
    (1, 6, 6, 4)
    """

    keras_module = "keras.src.layers.rnn.conv_lstm"
    rank: int
    _units = property(lambda self: self.filters)
    _state_shape = None

    def _init_base(self, **kwargs):
        super()._init_base(implementation=1, **kwargs)

    def check(self):
        if self.rank not in (1, 2, 3):
            raise ValueError(f"ConvLSTMCell: `rank` must be 1, 2 or 3. Received: rank={self.rank}")
        check_windows(self, ("valid", "same"))
        super().check()
        self._window = self.kernel_size
        self._axis = -1 if self.data_format == "channels_last" else -1 - self.rank

    def build(self, input_shape):
        if None in input_shape[1:]:
            raise ValueError(
                f"{type(self).__name__}: all sizes of a step must be known, but for that of the batch. Received: input_shape={input_shape}"
            )
        super().build(input_shape)
        _, spatial, _ = split_layout(input_shape, self.data_format)
        counts = window_counts(spatial, self.kernel_size, self.strides, self.padding, self.dilation_rate)
        self._state_shape = tuple(join_layout(None, counts, self.filters, self.data_format)[1:])

    def get_initial_state(self, batch_size=None):
        """Zeros for both states, of the size that the convolved inputs have: the cell must be built."""
        if self._state_shape is None:
            raise ValueError(f"{type(self).__name__}: the size of the states is known when the cell is built.")
        return [ops.zeros((batch_size, *self._state_shape), dtype=self.compute_dtype) for _ in range(self._states)]

    def _input_bias(self):
        return self.bias if self.bias is None or self._axis == -1 else ops.reshape(self.bias, (-1, *[1] * self.rank))

    def _of_inputs(self, masks):
        def convolved(x, kernel):
            before, step = x.shape[: -1 - self.rank], x.shape[-1 - self.rank :]  # steps are a part of the batch here
            x = ops.reshape(x, (-1, *step))
            y = ops.conv(x, kernel, self.strides, self.padding, self.data_format, self.dilation_rate)
            return ops.reshape(y, (*before, *y.shape[1:]))

        return product(self.kernel, masks, convolved, self._axis)

    def _of_state(self, masks):
        def convolved(h, kernel):
            return ops.conv(h, kernel, padding="same", data_format=self.data_format)

        return product(self.recurrent_kernel, masks, convolved, self._axis)


class _ConvLSTM(_ConvLSTMFields, CellLayer):
    rank = None
    _cell = ConvLSTMCell
    activity_regularizer: Regularizer = None
    return_sequences: bool = False
    return_state: bool = False
    go_backwards: bool = False
    stateful: bool = False

    def check(self, **of_cell):
        super().check(rank=self.rank, **of_cell)
        self.input_spec = InputSpec(ndim=self.rank + 3)

    def build(self, sequences_shape, initial_state_shape=None):
        super().build(sequences_shape, initial_state_shape)
        self.input_spec = InputSpec(shape=(None, None, *sequences_shape[2:]))


class ConvLSTM1D(_ConvLSTM):
    """A sequence of rows ``(batch, steps, size, channels)`` through a convolutional LSTM (``keras.layers.ConvLSTM1D``).

    Output ``(batch, new_size, filters)``, or one for each step with ``return_sequences``; "channels_first" has the channels
    after the steps. Keyword arguments are those of :class:`RNN` too. ValueError where the size of a step is not known.

    >>> ConvLSTM1D(4, 3)(ops.ones((2, 5, 8, 3))).shape
    (2, 6, 4)
    """

    rank = 1


class ConvLSTM2D(_ConvLSTM):
    """A sequence of images ``(batch, steps, height, width, channels)`` through a convolutional LSTM (X. Shi et al. 2015;
    ``keras.layers.ConvLSTM2D``). As :class:`ConvLSTM1D` otherwise.

    >>> ConvLSTM2D(4, 3, padding="same", return_sequences=True)(ops.ones((1, 5, 8, 8, 3))).shape
    (1, 5, 8, 8, 4)
    """

    rank = 2


class ConvLSTM3D(_ConvLSTM):
    """A sequence of volumes through a convolutional LSTM (``keras.layers.ConvLSTM3D``). As :class:`ConvLSTM1D` otherwise.

    >>> ConvLSTM3D(2, 2, strides=2)(ops.ones((1, 3, 4, 4, 4, 2))).shape
    (1, 2, 2, 2, 2)
    """

    rank = 3
