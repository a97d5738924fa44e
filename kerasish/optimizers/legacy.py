"""Names of Keras 2's optimizers, which say what to use instead (``keras.optimizers.legacy``)."""


class LegacyOptimizerWarning:
    """Raises ImportError: there are no legacy optimizers.

    >>> SGD(0.1)
    Traceback (most recent call last):
    ImportError: `optimizers.legacy` does not exist in Keras 3: use the optimizer of the same name in `optimizers`.
    """

    def __init__(self, *args, **kwargs):
        raise ImportError("`optimizers.legacy` does not exist in Keras 3: use the optimizer of the same name in `optimizers`.")


Adagrad = Adam = Ftrl = RMSprop = SGD = Optimizer = LegacyOptimizerWarning
