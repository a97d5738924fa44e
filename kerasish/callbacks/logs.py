"""What callbacks are told of the metrics."""

from kerasish.backend.autodiff.tensor import Tensor


def pythonify_logs(logs):
    """Logs in the order of their names, nested ones flattened, and numbers as Python's: this reads values from the device."""
    out = {}
    for name, value in sorted((logs or {}).items()):
        if isinstance(value, dict):
            out.update(pythonify_logs(value))
            continue
        try:
            out[name] = float(value)
        except (TypeError, ValueError):  # no number, or several
            out[name] = value.numpy() if isinstance(value, Tensor) else value
    return out
