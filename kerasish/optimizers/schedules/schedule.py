"""The base of learning rate schedules."""

from kerasish.saveable import Saveable, deserialize_keras_object, serialize_keras_object


class LearningRateSchedule(Saveable):
    """A learning rate that depends on the step (``keras.optimizers.schedules.LearningRateSchedule``).

    Subclasses define ``__call__(step)``, with the number of steps done as an int tensor, and are given to an optimizer as its
    ``learning_rate``. NotImplementedError where they have neither fields nor a ``get_config`` and are to be saved.

    >>> class Halving(LearningRateSchedule):
    ...     def __call__(self, step):
    ...         return 0.1 / (step + 1)
    >>> round(Halving()(1), 4)
    0.05
    """

    keras_module = "keras.optimizers.schedules"

    def __call__(self, step):
        raise NotImplementedError(f"Learning rate schedule '{type(self).__name__}' must override `__call__(self, step)`.")

    def get_config(self):
        if not self.fields:
            raise NotImplementedError(f"'{type(self).__name__}' needs a `get_config()` to be serialized.")
        return super().get_config()


def serialize(learning_rate_schedule):
    """JSON-ready config of a schedule (``keras.optimizers.schedules.serialize``).

    >>> from kerasish.optimizers.schedules import ExponentialDecay
    >>> serialize(ExponentialDecay(0.1, 100, 0.9))["class_name"]
    'ExponentialDecay'
    """
    return serialize_keras_object(learning_rate_schedule)


def deserialize(config, custom_objects=None):
    """The schedule that a config describes (``keras.optimizers.schedules.deserialize``).

    >>> deserialize({"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.1, "decay_steps": 10}}).decay_steps
    10
    """
    return deserialize_keras_object(config, custom_objects=custom_objects)
