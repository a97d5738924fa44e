"""What callbacks share that watch a number for improvement."""

import warnings

from kerasish import ops
from kerasish.callbacks.callback import Callback


class MonitorCallback(Callback):
    """Base of callbacks that compare ``logs[monitor]`` with the best so far (Keras's class of this name).

    ``mode``: "min" where less is better, "max" where more is, "auto" to ask the metric of that name. ``baseline`` is the first
    best; a change below ``min_delta`` counts as none.

    >>> callback = MonitorCallback("loss", mode="min", baseline=0.5, min_delta=0.1)
    >>> callback._set_monitor_op()
    >>> callback._is_improvement(0.45, callback.best), callback._is_improvement(0.3, callback.best)
    (False, True)
    """

    def __init__(self, monitor="val_loss", mode="auto", baseline=None, min_delta=0):
        super().__init__()
        if mode not in ("auto", "min", "max"):
            warnings.warn(f"{type(self).__name__} mode '{mode}' is unknown, fallback to auto mode.", stacklevel=3)
            mode = "auto"
        self.monitor, self.mode, self.best, self.min_delta = monitor, mode, baseline, abs(min_delta)
        self.monitor_op = None  # set at the first comparison, when the model's metrics are there

    def _set_monitor_op(self):
        name = self.monitor.removeprefix("val_")
        direction = {"min": "down", "max": "up"}.get(self.mode) or self._metric_directions().get(name)
        if direction is None:
            raise ValueError(
                f"{type(self).__name__} cannot tell whether a high or a low {self.monitor} is better. Pass `mode='max'` or "
                "`mode='min'`."
            )
        self.monitor_op = ops.greater if direction == "up" else ops.less

    def _metric_directions(self):
        """Name -> "up" or "down", for the metrics that know."""
        metrics = []
        for metric in getattr(self.model, "metrics", ()):
            metrics.extend(getattr(metric, "metrics", None) or [metric])
        known = {m.name: m._direction for m in metrics if getattr(m, "_direction", None)}
        return {"loss": "down", **known}

    def _is_improvement(self, value, reference):
        if reference is None:
            return True
        margin = self.min_delta if self.monitor_op is ops.greater else -self.min_delta
        return bool(self.monitor_op(value - margin, reference))
