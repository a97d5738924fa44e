"""Callback: what ``fit``, ``evaluate`` and ``predict`` tell of their progress."""

from kerasish.backend.autodiff.symbolic import default


class Callback:
    """Base of callbacks (``keras.callbacks.Callback``): override the methods for the moments that matter.

    ``model`` is the model at work, ``params`` a dict with ``verbose``, ``epochs`` and ``steps``. ``logs`` are the metrics so far
    as Python numbers, None or empty where there are none yet. A callback may set ``model.stop_training``. What must outlive a crash
    (docs/resume.md) is named in ``state_attributes``, or given by ``get_state`` and taken by ``set_state``.

    >>> class Count(Callback):
    ...     epochs = 0
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         self.epochs += 1
    >>> count = Count()
    >>> count.on_epoch_end(0); count.epochs
    1
    """

    params = None
    _model = None
    state_attributes = ()  # names of what :class:`BackupAndRestore` keeps of this callback: numbers, strings, arrays, lists, dicts

    def __init__(self):
        pass

    @property
    def model(self):
        """The model at work."""
        return self._model

    def set_params(self, params):
        """Called with the dict of settings before anything else."""
        self.params = params

    def set_model(self, model):
        """Called with the model before anything else."""
        self._model = model

    def get_state(self):
        """What a training that is taken up again must know: by default the attributes that ``state_attributes`` names."""
        return {name: getattr(self, name) for name in self.state_attributes}

    def set_state(self, state):
        """Take what ``get_state`` gave, after ``on_train_begin`` (and ``on_epoch_begin`` within an epoch) have been called."""
        for name, value in state.items():
            setattr(self, name, value)

    # ---- fit
    @default
    def on_train_begin(self, logs=None):
        """Called when ``fit`` begins."""

    @default
    def on_train_end(self, logs=None):
        """Called when ``fit`` ends, with the last epoch's logs; not when an error ended it."""

    @default
    def on_epoch_begin(self, epoch, logs=None):
        """Called when an epoch of ``fit`` begins; ``epoch`` counts from 0."""

    @default
    def on_epoch_end(self, epoch, logs=None):
        """Called when an epoch of ``fit`` ends, after validation, whose metrics are named ``val_...`` in ``logs``."""

    @default
    def on_train_batch_begin(self, batch, logs=None):
        """Called before a batch of ``fit``, or before each ``steps_per_execution`` of them."""
        self.on_batch_begin(batch, logs)

    @default
    def on_train_batch_end(self, batch, logs=None):
        """Called after a batch of ``fit``; ``logs`` are the metrics over the epoch so far."""
        self.on_batch_end(batch, logs)

    @default
    def on_batch_begin(self, batch, logs=None):
        """An older name of :meth:`on_train_batch_begin`."""

    @default
    def on_batch_end(self, batch, logs=None):
        """An older name of :meth:`on_train_batch_end`."""

    # ---- evaluate, and validation within fit
    @default
    def on_test_begin(self, logs=None):
        """Called when ``evaluate`` or validation begins."""

    @default
    def on_test_end(self, logs=None):
        """Called when ``evaluate`` or validation ends."""

    @default
    def on_test_batch_begin(self, batch, logs=None):
        """Called before a batch of ``evaluate`` or of validation."""

    @default
    def on_test_batch_end(self, batch, logs=None):
        """Called after a batch of ``evaluate`` or of validation."""

    # ---- predict
    @default
    def on_predict_begin(self, logs=None):
        """Called when ``predict`` begins."""

    @default
    def on_predict_end(self, logs=None):
        """Called when ``predict`` ends."""

    @default
    def on_predict_batch_begin(self, batch, logs=None):
        """Called before a batch of ``predict``."""

    @default
    def on_predict_batch_end(self, batch, logs=None):
        """Called after a batch of ``predict``, with its ``outputs`` in ``logs``."""
