"""Arguments that layers of many families share."""

from kerasish import config
from kerasish.saveable import converters


class DataFormat(str):
    """Annotation of a field that holds ``"channels_last"`` or ``"channels_first"``; None means the configured default."""


converters[DataFormat] = (config.standardize_data_format, str)


def standardize_tuple(value, n, name, allow_zero=False):
    """``n`` integers from one integer or ``n`` of them; they must be positive (or zero, where that is allowed)."""
    message = f"`{name}` takes {n} integers, got {value}"
    if isinstance(value, int):
        value = (value,) * n
    try:
        out = tuple(value)
        [int(item) for item in out]
    except (TypeError, ValueError):
        raise ValueError(message) from None
    if len(out) != n:
        raise ValueError(message)
    wrong = {item for item in out if item < (0 if allow_zero else 1)}
    if wrong:
        raise ValueError(f"{message}, including values {wrong} that do not satisfy `value {'>= 0' if allow_zero else '> 0'}`")
    return out


def refuse_quantization(layer):
    """ValueError for a ``quantization_config``: quantization is out of scope."""
    if layer.quantization_config is not None:
        raise ValueError(
            f"{type(layer).__name__}: `quantization_config` must be None, quantization is not supported. "
            f"Received: quantization_config={layer.quantization_config}"
        )
