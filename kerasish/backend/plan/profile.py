"""Where the time of a step goes: each call of a plan by itself, in time, bytes and arithmetic."""

import io
import shutil
import statistics
import time
import typing


class Row(typing.NamedTuple):
    """One call, or all calls of one kind: ``ms`` of one replay, ``nbytes`` read and written, ``compiled`` or the op's own kernel."""

    name: str
    shape: str
    calls: int
    ms: float
    nbytes: int
    compiled: bool


class Profile:
    """The calls of a plan in their order as ``rows``; ``whole_ms`` is the time of a replay that nobody interrupts.

    ``print(profile)`` shows the calls of each kind together, ``profile.plot("step.png")`` draws them (needs matplotlib).
    """

    def __init__(self, rows, whole_ms, nbytes):
        self.rows, self.whole_ms, self.nbytes = rows, whole_ms, nbytes

    def by_name(self):
        """Rows of one kind together, the longest first."""
        kinds: dict = {}
        for row in self.rows:
            kinds.setdefault((row.name, row.compiled), []).append(row)
        rows = [
            Row(name, "", sum(r.calls for r in same), sum(r.ms for r in same), sum(r.nbytes for r in same), compiled)
            for (name, compiled), same in kinds.items()
        ]
        return sorted(rows, key=lambda row: -row.ms)

    def __str__(self):
        return self.table()

    def table(self, by_name=True):
        """The figures as text, by kind or call by call."""
        from rich.console import Console
        from rich.table import Table

        total = sum(row.ms for row in self.rows) or 1.0
        title = f"{self.whole_ms:.3f} ms a step; {total:.3f} ms call by call; {self.nbytes / 1e6:.1f} MB of memory"
        table = Table(title=title)
        for name in ("call", "kernel", "calls", "ms", "share", "MB", "GB/s"):
            is_text = name in ("call", "kernel")
            table.add_column(name, justify="left" if is_text else "right", no_wrap=name != "call", overflow="fold")
        for row in self.by_name() if by_name else self.rows:
            rate = f"{row.nbytes / row.ms / 1e6:.1f}" if row.ms else ""
            table.add_row(f"{row.name} {row.shape}".strip(), "compiled" if row.compiled else "own", str(row.calls), f"{row.ms:.4f}",
                          f"{row.ms / total:.1%}", f"{row.nbytes / 1e6:.2f}", rate)  # fmt: skip
        text = io.StringIO()
        Console(file=text, width=shutil.get_terminal_size().columns).print(table)
        return text.getvalue().rstrip()

    def plot(self, path=None):
        """A picture of the shares, saved where a ``path`` is given; returns the figure. Needs matplotlib (``kerasish[plot]``)."""
        try:
            from matplotlib.figure import Figure
        except ImportError:
            raise ImportError("Profile.plot needs matplotlib: pip install 'kerasish[plot]'.") from None
        rows = self.by_name()[:25][::-1]
        figure = Figure(figsize=(8, 1 + 0.28 * len(rows)), layout="constrained")
        axes = figure.subplots()
        axes.barh(range(len(rows)), [row.ms for row in rows], color=["#1f77b4" if row.compiled else "#ff7f0e" for row in rows])
        axes.set_yticks(range(len(rows)), [f"{row.name[:48]} x{row.calls}" for row in rows], fontsize=8)
        axes.set_xlabel("ms of a step (blue: compiled kernels, orange: the ops' own)")
        axes.set_title(f"{self.whole_ms:.3f} ms a step")
        if path is not None:
            figure.savefig(path, dpi=120)
        return figure


def profile(plan, arguments, repeats=20):
    """Replay a plan again and again, in one go and call by call; medians. It changes variables as replays do."""
    whole, each = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        plan(arguments)
        plan.xp.synchronize()
        whole.append(1e3 * (time.perf_counter() - start))
    for _ in range(repeats):
        times: list = []
        plan(arguments, lambda step, times=times: times.extend(step.timed()))
        each.append(times)
    rows = []
    for (call, nbytes, compiled), times in zip(plan.described(), zip(*each, strict=True), strict=True):
        shape = "x".join(map(str, plan.trace.specs[call.outputs[0]].shape)) if call.outputs else ""
        rows.append(Row(label(call), shape, 1, 1e3 * statistics.median(times), nbytes, compiled))
    return Profile(rows, statistics.median(whole), plan.nbytes)


def label(call):
    """A call's name: its op's, for a group those of its members."""
    members = getattr(call.op, "calls", None)
    return "+".join(dict.fromkeys(member.op.name.strip("_") for member in members)) if members else call.op.name.strip("_")
