"""TerminateOnNaN: no more training once the loss is no number."""

import math

from kerasish.callbacks.callback import Callback
from kerasish.console import print_msg


class TerminateOnNaN(Callback):
    """End the training when the loss is NaN or infinite (``keras.callbacks.TerminateOnNaN``).

    ``raise_error`` raises RuntimeError, so that no callback's ``on_train_end`` runs (and a backup stays as it was).

    >>> TerminateOnNaN(raise_error=True).on_batch_end(3, {"loss": float("nan")})
    Traceback (most recent call last):
        ...
    RuntimeError: NaN or Inf loss encountered at batch 3: nan. Training stops.
    """

    def __init__(self, raise_error=False):
        super().__init__()
        self.raise_error = raise_error

    def on_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(loss):
            return
        if self.raise_error:
            raise RuntimeError(f"NaN or Inf loss encountered at batch {batch}: {loss}. Training stops.")
        print_msg(f"Batch {batch}: Invalid loss, terminating training")
        self.model.stop_training = True
