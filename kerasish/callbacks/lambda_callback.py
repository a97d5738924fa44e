"""LambdaCallback: a callback made of functions."""

from kerasish.callbacks.callback import Callback


class LambdaCallback(Callback):
    """Calls the given functions at their moments (``keras.callbacks.LambdaCallback``).

    They take what the :class:`Callback` methods of their names take: ``epoch, logs``, ``batch, logs`` or ``logs``. ``kwargs``
    may name any other of these methods (ValueError for an ``on_...`` that is none), or anything to be kept as an attribute.

    >>> seen = []
    >>> LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch)).on_epoch_end(4, {})
    >>> seen
    [4]
    """

    def __init__(self, on_epoch_begin=None, on_epoch_end=None, on_train_begin=None, on_train_end=None,
                 on_train_batch_begin=None, on_train_batch_end=None, **kwargs):  # fmt: skip
        super().__init__()
        functions = {
            "on_epoch_begin": on_epoch_begin, "on_epoch_end": on_epoch_end, "on_train_begin": on_train_begin,
            "on_train_end": on_train_end, "on_train_batch_begin": on_train_batch_begin, "on_train_batch_end": on_train_batch_end,
        }  # fmt: skip
        for name, value in {**functions, **kwargs}.items():
            if callable(value) and name.startswith("on_") and not hasattr(Callback, name):
                raise ValueError(f"LambdaCallback: `{name}` is not a method of Callback, so nothing would call it.")
            if value is not None:
                setattr(self, name, value)
