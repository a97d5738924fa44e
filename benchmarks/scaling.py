"""How the time of a training step grows: with the batch, the width and the depth of an MLP, the batch of a convolutional
network, and the length of what an LSTM and an attention block read.

    python benchmarks/scaling.py --run kerasish=PYTHON --run torch=PYTHON --run keras-jax=PYTHON --run keras-tensorflow=PYTHON
                                 [--sweeps "LSTM, length"] [--rounds 3] [--seconds 1] [--short] [--plot docs/images/scaling.png]

Writes the medians over the rounds as JSON beside the picture. ``--short`` takes only the two smallest sizes of each sweep. The
interpreter that runs this needs matplotlib.
"""

import argparse
import json
import pathlib

from timing import ROOT, add_runs, in_turn, middle, runs

# title: workload, other sizes, what is varied, its values
SWEEPS = {
    "MLP, batch": ("mlp", {}, "batch", [8, 32, 128, 512, 2048]),
    "MLP, width": ("mlp", {}, "width", [32, 128, 512, 2048]),
    "MLP, depth": ("mlp", {"width": 256}, "depth", [1, 2, 4, 8, 16]),
    "convolutional network, batch": ("cnn", {}, "batch", [8, 32, 128, 512]),
    "LSTM, length": ("lstm", {}, "length", [16, 32, 64, 128, 256]),
    "attention, length": ("transformer", {}, "length", [32, 64, 128, 256, 512]),
}


def swept(interpreters, workload, sizes, key, values, seconds, rounds):
    """``{name: [ms for each value]}``."""
    others = [part for size, value in sizes.items() for part in ("--set", f"{size}={value}")]
    vary = f"{key}={','.join(map(str, values))}"
    results = in_turn(interpreters, "step.py", workload, "--seconds", seconds, "--vary", vary, *others, rounds=rounds)
    return {name: [middle([one["ms"] for one in same]) for same in zip(*found, strict=True)] for name, found in results.items()}


def plot(table, path):
    """Small multiples, one for each sweep, with a line for each library."""
    from matplotlib.figure import Figure

    columns = min(3, len(table))
    rows = -(-len(table) // columns)
    figure = Figure(figsize=(4 * columns, 3.2 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flat
    for axes, (title, sweep) in zip(grid, table.items(), strict=False):
        for i, (name, times) in enumerate(sweep["ms"].items()):
            if times:
                axes.loglog(sweep["values"], times, "o-", color=f"C{i}", label=name, linewidth=2.5 if i == 0 else 1.2, markersize=4)
        axes.set(title=title, xlabel=sweep["key"], ylabel="ms a step")
        axes.set_xticks(sweep["values"], sweep["values"])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    for axes in list(grid)[len(table) :]:
        axes.remove()
    figure.axes[0].legend(fontsize=8)
    figure.savefig(path, dpi=120)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_runs(parser, seconds=1.0)
    parser.add_argument("--sweeps", nargs="+", default=list(SWEEPS), choices=SWEEPS)
    parser.add_argument("--short", action="store_true", help="only the two smallest sizes")
    parser.add_argument("--plot", type=pathlib.Path, default=ROOT / "docs" / "images" / "scaling.png")
    arguments = parser.parse_args(argv)
    table = {}
    for title in arguments.sweeps:
        workload, sizes, key, values = SWEEPS[title]
        values = values[:2] if arguments.short else values
        ms = swept(runs(arguments), workload, sizes, key, values, arguments.seconds, arguments.rounds)
        table[title] = {"workload": workload, **sizes, "key": key, "values": values, "ms": ms}
        print(title, *[f"{name:18}" + "".join(f"{t:10.3f}" for t in times) for name, times in ms.items()], sep="\n", flush=True)
    arguments.plot.parent.mkdir(parents=True, exist_ok=True)
    arguments.plot.with_suffix(".json").write_text(json.dumps(table, indent=1) + "\n")
    plot(table, arguments.plot)


if __name__ == "__main__":
    main()
