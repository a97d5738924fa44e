"""SwapEMAWeights: judge the averages of the weights, train the weights."""

from kerasish.callbacks.callback import Callback


class SwapEMAWeights(Callback):
    """Put the averages that an optimizer with ``use_ema=True`` keeps in the weights' place for evaluation, validation and prediction,
    and the weights back afterwards (``keras.callbacks.SwapEMAWeights``).

    With ``swap_on_epoch`` the averages also stand in the model from an epoch's end to the next one's beginning, so that callbacks
    behind this one, such as a ModelCheckpoint, save them. ValueError where no optimizer keeps averages.

    >>> SwapEMAWeights(swap_on_epoch=True).swap_on_epoch
    True
    """

    state_attributes = ("_ema_weights_in_model",)

    def __init__(self, swap_on_epoch=False):
        super().__init__()
        self.swap_on_epoch = swap_on_epoch
        self._ema_weights_in_model = False

    def _averaged(self):
        """Pairs (weight, its average) of all optimizers that keep averages."""
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        several = getattr(optimizer, "optimizers", None)
        keeping = [part for part in (several or [optimizer]) if getattr(part, "use_ema", False)]
        if not keeping:
            which = "at least one inner optimizer has `use_ema=True`" if several else "`use_ema=True` is set on the optimizer"
            raise ValueError(f"SwapEMAWeights must be used when {which}. Received: {optimizer!r}, which keeps no averages.")
        if not all(part.built for part in keeping):
            raise ValueError("SwapEMAWeights needs averages, and the optimizer has not trained yet: they don't exist.")
        return [pair for part in keeping for pair in part._averaged()]

    def _swap(self, ema):
        """Let the averages (``ema=True``) or the weights stand in the model."""
        if self._ema_weights_in_model == ema:
            return
        for weight, average in self._averaged():
            held = weight.numpy()
            weight.assign(average)
            average.assign(held)
        self._ema_weights_in_model = ema

    def on_epoch_begin(self, epoch, logs=None):
        if self.swap_on_epoch:
            self._swap(ema=False)

    def on_epoch_end(self, epoch, logs=None):
        if not self.swap_on_epoch:
            return
        self._swap(ema=True)
        if epoch == self.params["epochs"] - 1 or self.model.stop_training:
            # `fit` will put what the optimizer holds as averages into the model: let both be the same
            for weight, average in self._averaged():
                average.assign(weight)

    def on_test_begin(self, logs=None):
        self._swap(ema=True)

    def on_test_end(self, logs=None):
        self._swap(ema=False)

    def on_predict_begin(self, logs=None):
        self._swap(ema=True)

    def on_predict_end(self, logs=None):
        self._swap(ema=False)
