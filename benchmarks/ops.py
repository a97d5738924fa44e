"""Times single ops on sizes that people use, against PyTorch (eager) and JAX (jit), in turn and over several rounds.

    python benchmarks/ops.py --run kerasish=PYTHON --run torch=PYTHON --run jax=PYTHON
                             [--only REGEX] [--rounds 3] [--seconds 0.1] [--json FILE]

kerasish has two columns: each op run at once, and replayed inside ``keras.function``. The last two columns are their times over
the best other's, medians over the rounds. Microseconds; float32 but for indices. "-": the library has no such op, or was not run.
"""

import argparse
import collections
import json
import re
import sys
import typing

import numpy as np
from timing import add_runs, in_turn, library, median_ms, middle, runs


class Row(typing.NamedTuple):
    """Expressions of x, y, z in the names of ``kerasish.ops``, ``torch`` and ``jax.numpy``, and what the inputs are."""

    ours: str
    inputs: tuple
    torch: str
    jax: str
    torch_inputs: tuple


def floats(*shape):
    return shape, None


def indices(high, *shape):
    return shape, high


def row(ours, *inputs, torch=None, jax=None, torch_inputs=None):
    """The other libraries' expressions only where they differ."""
    return Row(ours, inputs, torch or ours, jax or ours, torch_inputs or inputs)


def image(batch, size, channels):
    """An image for Keras and the same for PyTorch."""
    return floats(batch, size, size, channels), floats(batch, channels, size, size)


def convolution(batch, size, channels, filters, kernel):
    x, x_first = image(batch, size, channels)
    return row(
        "conv(x, y, padding='same')", x, floats(kernel, kernel, channels, filters),
        torch="F.conv2d(x, y, padding='same')", torch_inputs=(x_first, floats(filters, channels, kernel, kernel)),
        jax="lax.conv_general_dilated(x, y, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC'))",
    )  # fmt: skip


def attention(batch, length, heads, size):
    shapes = (floats(batch, length, heads, size),) * 3
    return row(
        "dot_product_attention(x, y, z)", *shapes, jax="nn.dot_product_attention(x, y, z)",
        torch="F.scaled_dot_product_attention(x, y, z)", torch_inputs=(floats(batch, heads, length, size),) * 3,
    )  # fmt: skip


SQUARE, WIDE, POOLED = floats(1000, 1000), floats(128, 1000), image(128, 24, 32)
ROWS = [
    *[row(text, floats(n), floats(n)) for n in (1000, 1_000_000) for text in ("x + y", "maximum(x, y)", "where(x > 0, x, y)")],
    row("x + y", SQUARE, floats(1000)),
    *[row(text, floats(n)) for n in (1000, 1_000_000) for text in ("exp(x)", "tanh(x)", "sqrt(abs(x))", "x * x * x")],
    row("gelu(x)", SQUARE, torch="F.gelu(x, approximate='tanh')", jax="nn.gelu(x)"),
    row("relu(x)", SQUARE, jax="nn.relu(x)"),
    *[row(text, SQUARE) for text in ("sum(x)", "sum(x, axis=0)", "mean(x, axis=-1)", "argmax(x, axis=-1)", "cumsum(x, axis=-1)")],
    row("max(x, axis=-1)", SQUARE, torch="amax(x, axis=-1)"),
    row("var(x, axis=-1)", SQUARE, torch="var(x, axis=-1, correction=0)"),
    row("softmax(x, axis=-1)", WIDE, torch="softmax(x, -1)", jax="nn.softmax(x, -1)"),
    row("layer_normalization(x)", SQUARE, torch="F.layer_norm(x, x.shape[-1:])", jax="nn.standardize(x, -1)"),
    *[row("matmul(x, y)", floats(n, n), floats(n, n)) for n in (64, 512, 2048)],
    row("matmul(x, y)", floats(128, 784), floats(784, 512)),
    row("matmul(x, y)", floats(64, 128, 64), floats(64, 64, 128)),
    row("einsum('bqhd,bkhd->bhqk', x, y)", floats(8, 128, 4, 32), floats(8, 128, 4, 32)),
    row("einsum('bi,bij,bj->b', x, y, z)", floats(256, 64), floats(256, 64, 64), floats(256, 64)),
    convolution(32, 28, 1, 32, 3),
    convolution(32, 32, 64, 64, 3),
    convolution(8, 56, 64, 256, 1),
    row("max_pool(x, 2)", POOLED[0], torch="F.max_pool2d(x, 2)", torch_inputs=POOLED[1:],
        jax="lax.reduce_window(x, -inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), 'VALID')"),
    row("average_pool(x, 2)", POOLED[0], torch="F.avg_pool2d(x, 2)", torch_inputs=POOLED[1:],
        jax="lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), 'VALID') / 4"),
    attention(32, 200, 2, 32),
    *[row(text, SQUARE) for text in ("sort(x, axis=-1)", "argsort(x, axis=-1)")],
    row("top_k(x, 10)", WIDE, torch="topk(x, 10)", jax="lax.top_k(x, 10)"),
    row("take(x, y, axis=0)", floats(20000, 128), indices(20000, 32, 100), torch="F.embedding(y, x)"),
    row("take_along_axis(x, y, axis=-1)", SQUARE, indices(1000, 1000, 10), torch="take_along_dim(x, y, -1)"),
    row("scatter_update(x, y, z)", floats(20000, 128), indices(20000, 3200, 1), floats(3200, 128),
        torch="x.index_put((y[:, 0],), z)", jax="x.at[y[:, 0]].set(z)"),
    row("segment_sum(x, y, 1000)", floats(3200, 128), indices(1000, 3200),
        torch="zeros(1000, 128).index_add(0, y, x)", jax="ops.segment_sum(x, y, 1000)"),
    row("one_hot(x, 1000)", indices(1000, 4096), torch="F.one_hot(x, 1000).float()", jax="nn.one_hot(x, 1000)"),
    row("concatenate([x, y], axis=-1)", SQUARE, SQUARE, torch="cat([x, y], -1)"),
    row("reshape(transpose(x, (0, 2, 1, 3)), (32, 2, 6400))", floats(32, 200, 2, 32),
        torch="reshape(permute(x, (0, 2, 1, 3)), (32, 2, 6400))"),
    row("rfft(x)", floats(128, 1024), torch="fft.rfft(x)", jax="fft.rfft(x)"),
]  # fmt: skip


def label(row):
    return f"{row.ours}  {' '.join('x'.join(map(str, shape)) for shape, _ in row.inputs)}"


# ---- in each interpreter
def made(inputs):
    rng = np.random.default_rng(0)
    drawn = (rng.standard_normal(shape) if high is None else rng.integers(0, high, shape) for shape, high in inputs)
    return [x.astype("float32" if x.dtype == "float64" else "int32") for x in drawn]


def function_of(expression, count, names):
    return eval(f"lambda {', '.join('xyz'[:count])}: {expression}", names)


def of_kerasish(name):
    """Columns of functions that make what is timed of a row."""
    keras = library(name)

    def prepared(row):
        return function_of(row.ours, len(row.inputs), vars(keras.ops)), [keras.ops.array(x) for x in made(row.inputs)]

    def eager(row):
        f, inputs = prepared(row)
        return lambda: f(*inputs)

    def function(row):
        f, inputs = prepared(row)
        recorded = keras.function(f)
        return lambda: recorded(*inputs)

    return {f"{name} eager": eager, f"{name} function": function}


def of_torch(name):
    torch = library(name)
    names = {**vars(torch), "F": torch.nn.functional}

    def eager(row):
        inputs = [torch.from_numpy(x) for x in made(row.torch_inputs)]
        inputs = [x if x.is_floating_point() else x.long() for x in inputs]
        f = function_of(row.torch, len(inputs), names)
        return lambda: f(*inputs)

    return {name: eager}


def of_jax(name):
    jax = library(name)
    names = {**vars(jax.numpy), "nn": jax.nn, "lax": jax.lax, "ops": jax.ops}

    def jitted(row):
        inputs = [jax.numpy.asarray(x) for x in made(row.inputs)]
        f = jax.jit(function_of(row.jax, len(inputs), names))
        return lambda: jax.block_until_ready(f(*inputs))

    return {name: jitted}


def measured(name, rows, seconds):
    """``{column: {label: microseconds}}``; None where an op isn't there."""
    columns = {"torch": of_torch, "jax": of_jax}.get(name, of_kerasish)(name)
    return {column: {label(row): _microseconds(make, row, seconds) for row in rows} for column, make in columns.items()}


def _microseconds(make, row, seconds):
    try:
        f = make(row)
        return 1e3 * median_ms(lambda n: [f() for _ in range(n)] and n, seconds)
    except (NameError, AttributeError) as error:
        print(f"{label(row)}: {error}", file=sys.stderr)
        return None


# ---- the table
def ratio(rounds, column, others, key):
    """The column's time over the best of the others': the median over the rounds."""
    ratios = []
    for round in rounds:
        best = [round[other][key] for other in others if round[other][key] is not None]
        if best and round[column][key] is not None:
            ratios.append(round[column][key] / min(best))
    return middle(ratios)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_runs(parser, seconds=0.1)
    parser.add_argument("--only", default="", metavar="REGEX", help="rows that match")
    parser.add_argument("--json", help="write all figures to this file")
    arguments = parser.parse_args(argv)
    results = in_turn(runs(arguments), "ops.py", arguments.seconds, arguments.only, rounds=arguments.rounds)
    rounds = [dict(collections.ChainMap(*together[::-1])) for together in zip(*filter(None, results.values()), strict=False)]
    columns = list(rounds[0])
    own = [column for column in columns if column.startswith("kerasish")]
    others = [column for column in columns if column not in own]
    cell = lambda value, width, digits: f"{value:{width}.{digits}f}" if value is not None else "-".rjust(width)
    print(" " * 78 + "".join(f"{column:>20}" for column in columns) + "".join(f"{column.split()[1] + ' / best':>18}" for column in own))
    for key in rounds[0][columns[0]]:
        times = [cell(middle([round[column][key] for round in rounds]), 20, 1) for column in columns]
        print(key.ljust(78), *times, *[cell(ratio(rounds, column, others, key), 18, 2) for column in own], sep="")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    if len(sys.argv) == 4 and not sys.argv[1].startswith("-"):  # NAME SECONDS REGEX: one library, in its own interpreter
        name, seconds, only = sys.argv[1:]
        print(json.dumps(measured(name, [row for row in ROWS if re.search(only, label(row))], float(seconds))))
    else:
        main()
