"""What people see while something runs: messages, and the progress bar. In a terminal or a notebook the bar is one line that
is drawn again and again; anywhere else (files, pipes, CI) there is one plain line at the end."""

import logging
import math
import os
import shutil
import sys
import textwrap
import time

import kerasish.config as config

_log = logging.getLogger("kerasish")


def print_msg(message, line_break=True):
    """Print to the terminal, or, where interactive logging is off, send to the logger ``kerasish``."""
    message = str(message)
    if not config.is_interactive_logging_enabled():
        _log.info(message.strip("\n"))
        return
    if line_break:
        message += "\n"
    try:
        sys.stdout.write(message)
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(message.replace("━", "=").encode(encoding, errors="ignore").decode(encoding))
    sys.stdout.flush()


def is_dynamic():
    """Whether a line can be drawn again in its place: in a terminal and in a notebook, not in a file or a log."""
    if not config.is_interactive_logging_enabled():
        return False
    stdout_is_terminal = getattr(sys.stdout, "isatty", lambda: False)()
    return (stdout_is_terminal and os.environ.get("TERM") != "dumb") or type(sys.stdout).__module__.startswith("ipykernel")


class Progbar:
    """Progress through ``target`` steps (None: unknown), with metrics (``keras.utils.Progbar``).

    ``verbose``: 0 nothing, 1 a bar, 2 one line at the end. Values are averaged over steps, except those named in
    ``stateful_metrics``, or, where ``stateless_metrics`` is given, all but those named in it. ``interval``: least seconds between
    two drawings. ``width``: most columns of the bar.

    >>> bar = Progbar(2, verbose=2)
    >>> bar.update(1, [("loss", 0.5)]); bar.update(2, [("loss", 0.25)])
    2/2 - 0s - ... - loss: 0.2500
    """

    def __init__(self, target, width=20, verbose=1, interval=0.05, stateful_metrics=None, stateless_metrics=None,
                 unit_name="step"):  # fmt: skip
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ValueError(
                "Only one of `stateful_metrics` and `stateless_metrics` can be provided: the one names what is shown as it is, "
                "the other what is averaged."
            )
        self.target, self.width, self.verbose, self.interval, self.unit_name = target, width, verbose, interval, unit_name
        self.stateful_metrics = set(stateful_metrics or ()) if stateless_metrics is None else None
        self.stateless_metrics = None if stateless_metrics is None else set(stateless_metrics)
        self.title = ""  # what a line that stands alone begins with
        self._write = None  # what draws the line, while there is one
        self._seen = 0
        self._totals = {}  # name -> (sum, count)
        self._start = time.perf_counter()
        self._last_drawn, self._first_step_done = -math.inf, None

    def update(self, current, values=None, finalize=None):
        """Say that ``current`` steps are done; ``values``: pairs (name, value of the last step). ``finalize``: whether this
        is the last update, by default when the target is reached."""
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        for name, value in values or ():
            self._take(name, value, current, finalize)
        self._seen = current
        now = time.perf_counter()
        if current == 1:
            self._first_step_done = now
        if self.verbose == 1 and is_dynamic():
            if finalize or now - self._last_drawn >= self.interval:
                self._draw(current, now, finalize)
        elif finalize and self.verbose:
            print_msg(self._plain_line(current, now))

    def add(self, n, values=None):
        """Say that ``n`` more steps are done."""
        self.update(self._seen + n, values)

    def due(self):
        """Whether an update now would draw something; else its values need not be worked out."""
        return self.verbose == 1 and is_dynamic() and time.perf_counter() - self._last_drawn >= self.interval

    def close(self):
        """Leave the line as it is and begin a new one; needed where progress was broken off."""
        if self._write is not None:
            self._write = None
            print_msg("")

    def _take(self, name, value, current, finalize):
        averaged = name not in self.stateful_metrics if self.stateful_metrics is not None else name in self.stateless_metrics
        if not averaged or (finalize and self.target is not None):
            self._totals[name] = (value, 1)
            return
        steps = max(current - self._seen, 1)
        total, count = self._totals.get(name, (0.0, 0))
        self._totals[name] = (total + value * steps, count + steps)

    # ---- what is written
    def _draw(self, current, now, finalize):
        from tqdm.std import Bar, tqdm

        self._last_drawn = now
        if self._write is None:
            self._write = tqdm.status_printer(sys.stdout)
        count, share, width, info = self._fitting(current, now, finalize, shutil.get_terminal_size().columns - 1)
        bar = format(Bar(share, charset=_strokes()), str(width)) if width else ""
        self._write(count + bar + info)
        if finalize:
            self.close()

    def _fitting(self, current, now, finalize, columns):
        """What stands before the bar, the share done, the bar's width (0: no bar) and what stands after it, in one line."""
        count = f"{self._count(current)} "
        share = min(current / self.target, 1.0) if self.target else 0.0
        step = self._time_per_step(current, now)
        seconds = step * (self.target - current) if self.target and not finalize else now - self._start
        times = f"{_duration(seconds)} {_per_step(step, self.unit_name)}"
        metrics = self._metrics()
        info = times + "".join(f" - {name}: {value}" for name, value in metrics.items())
        free = columns - len(count) - len(info)
        if self.target and free > 5:
            return count, share, min(self.width, free - 1), f" {info}"
        if free < 0:
            info = " ".join([times, *(f"{name}\0{value}" for name, value in _with_validation(metrics).items())])
            if finalize:  # nothing may be lost of what stays: it goes on in further lines, broken between metrics
                info = textwrap.fill(info, columns, initial_indent=count, subsequent_indent="    ")[len(count) :]
            elif len(info) > columns - len(count):
                info = f"{info[: columns - len(count) - 1]}…"
        return count, share, 0, info.replace("\0", " ")

    def _plain_line(self, current, now):
        times = [f"{now - self._start:.0f}s", _per_step(self._time_per_step(current, now), self.unit_name)]
        metrics = [f"{name}: {value}" for name, value in self._metrics().items()]
        return " - ".join([*([self.title] if self.title else []), self._count(current).strip(), *times, *metrics])

    def _count(self, current):
        if not self.target:
            return f"{current:7d}/Unknown"
        return f"{current:{len(str(self.target))}d}/{self.target}"

    def _metrics(self):
        return {name: _number(total, count) for name, (total, count) in self._totals.items()}

    def _time_per_step(self, current, now):
        """Seconds; the first step, which also builds and warms up, does not count where there are others."""
        if self._first_step_done is not None and current > 1:
            return (now - self._first_step_done) / (current - 1)
        return (now - self._start) / current if current else 0.0


def _with_validation(metrics):
    """``loss`` and ``val_loss`` as one entry."""
    out = {}
    for name, value in metrics.items():
        base = name.removeprefix("val_")
        if base != name and base in out:
            out[base] += f"\0(val\0{value})"
        else:
            out[name] = value
    return out


def _number(total, count):
    try:
        value = float(total) / max(1, count)
    except (TypeError, ValueError):
        return str(total)
    return f"{value:.4f}" if abs(value) > 1e-3 or value != value else f"{value:.4e}"


def _duration(seconds):
    seconds = int(seconds)
    if seconds > 3600:
        return f"{seconds // 3600}:{seconds % 3600 // 60:02d}:{seconds % 60:02d}"
    return f"{seconds // 60}:{seconds % 60:02d}" if seconds > 60 else f"{seconds}s"


def _per_step(seconds, unit_name):
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s/{unit_name}"
    return f"{seconds * 1e3:.0f}ms/{unit_name}" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us/{unit_name}"


def _strokes():
    """Characters of an empty and a full cell of the bar."""
    try:
        "━".encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return " ="
    return " ━"
