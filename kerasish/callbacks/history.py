"""History: what ``fit`` returns."""

from kerasish.callbacks.callback import Callback


class History(Callback):
    """Keeps every epoch's logs (``keras.callbacks.History``): ``history`` maps a name to a list, ``epoch`` lists the epochs.

    >>> history = History()
    >>> history.on_train_begin(); history.on_epoch_end(0, {"loss": 0.5})
    >>> history.epoch, history.history
    ([0], {'loss': [0.5]})
    """

    state_attributes = ("epoch", "history")

    def __init__(self):
        super().__init__()
        self.history = {}
        self.epoch = []

    def on_train_begin(self, logs=None):
        self.epoch = []

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
        if self.model is not None:
            self.model.history = self
