"""What callbacks share that read or set learning rates. An optimizer may hold several, one for each part of the model."""


def optimizers_of(optimizer):
    """Pairs (label, optimizer): one without a label, or the labelled ones that the optimizer is made of."""
    parts = getattr(optimizer, "optimizers", None)
    return [("", optimizer)] if parts is None else [(part.name, part) for part in parts]


def learning_rate_of(optimizer):
    """The learning rate now, as a Python number."""
    return float(optimizer.learning_rate)


def learning_rate_logs(optimizer):
    """The learning rates as logs: ``learning_rate``, or ``learning_rate_<name>`` for each of several."""
    return {f"learning_rate_{label}" if label else "learning_rate": learning_rate_of(o) for label, o in optimizers_of(optimizer)}
