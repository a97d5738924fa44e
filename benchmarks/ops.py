"""Times single ops on sizes that people use, against PyTorch (eager) and JAX (jit), in turn and over several rounds.

    python benchmarks/ops.py --run kerasish=PYTHON --run torch=PYTHON --run jax=PYTHON
                             [--only REGEX] [--rounds 3] [--seconds 0.05] [--above 3] [--json FILE]

kerasish has two columns: each op run at once, and replayed inside ``keras.function``. The last two columns are their times over
the best other's, medians over the rounds; rows are in the order of the last column, and those whose better column is more than
``--above`` times slower are named at the end. A time is that of the fastest of many calls, since a machine that is shared makes
calls slower and never faster. Microseconds; float32 but for indices. "-": the library has no such op, or was not run. The
rows of ten elements, at the end, say what a call costs whatever it computes. ``op_rows.py`` has the expressions.
"""

import argparse
import collections
import json
import re
import sys
import time

import numpy as np
from op_rows import ROWS, SMALL
from timing import add_runs, in_turn, library, middle, runs


def label(row):
    """The row's name: what is computed, and of which sizes."""
    shapes = " ".join("x".join(map(str, shape)) for shape, _ in row.inputs)
    return f"{'gradient of ' if row.gradient else ''}{row.ours}  {shapes}"


# ---- in each interpreter
def made(inputs):
    """Arrays of the kinds that ``op_rows`` names."""
    rng = np.random.default_rng(0)
    return [_made(rng, shape, kind) for shape, kind in inputs]


def _made(rng, shape, kind):
    if isinstance(kind, int):
        return rng.integers(0, abs(kind), shape).astype("int32")
    if kind == "bool":
        return rng.random(shape) < 0.5
    if kind in ("unit", "increasing"):
        x = rng.uniform(0.05, 0.95, shape).astype("float32")
        return np.sort(x) if kind == "increasing" else x
    x = rng.standard_normal(shape).astype("float32")
    if kind == "positive":
        return x @ np.swapaxes(x, -1, -2) / shape[-1] + np.eye(shape[-1], dtype="float32")
    if kind == "triangular":
        return np.tril(x) + 8 * np.eye(shape[-1], dtype="float32")
    return x + 1j * x[::-1] if kind == "complex" else x


def function_of(expression, count, names):
    """The expression as a function of x, y and z."""
    return eval(f"lambda {', '.join('xyz'[:count])}: {expression}", {"slice_": slice, **names})


def _leaves(y):
    """The tensors in a result."""
    return [leaf for part in y for leaf in _leaves(part)] if isinstance(y, (tuple, list)) else [y]


def _squares(f):
    """Half the sum of the squares of f's first result."""
    return lambda *xs: (lambda y: (y * y).sum() * 0.5)(_leaves(f(*xs))[0])


def _floating(inputs):
    return [i for i, (_, kind) in enumerate(inputs) if not isinstance(kind, int) and kind != "bool"]


def of_kerasish(name):
    """Columns of functions that make what is timed of a row."""
    keras = library(name)
    names = vars(keras.ops)

    def prepared(row):
        f, inputs = function_of(row.ours, len(row.inputs), names), [keras.ops.array(x) for x in made(row.inputs)]
        if row.gradient:
            return keras.grad(_squares(f), argnums=_floating(row.inputs)), inputs
        return f, inputs

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
    names = {**vars(torch), "F": torch.nn.functional, "tensor_": torch.clone}

    def eager(row):
        inputs = [torch.from_numpy(np.ascontiguousarray(x)) for x in made(row.torch_inputs)]
        inputs = [x.long() if isinstance(kind, int) and kind > 0 else x for x, (_, kind) in zip(inputs, row.torch_inputs, strict=True)]
        f = function_of(row.torch, len(inputs), names)
        if not row.gradient:
            return lambda: f(*inputs)
        wanted = [inputs[i].requires_grad_() for i in _floating(row.torch_inputs)]
        return lambda: torch.autograd.grad(_squares(f)(*inputs), wanted)

    return {name: eager}


def of_jax(name):
    jax = library(name)
    for more in ("scipy", "scipy.linalg", "scipy.ndimage", "scipy.signal"):
        library(f"jax.{more}")
    names = {**vars(jax.numpy), "nn": jax.nn, "lax": jax.lax, "ops": jax.ops, "image": jax.image, "scipy": jax.scipy}

    def jitted(row):
        inputs = [jax.numpy.asarray(x) for x in made(row.inputs)]
        f = function_of(row.jax, len(inputs), names)
        f = jax.jit(jax.grad(_squares(f), argnums=_floating(row.inputs)) if row.gradient else f)
        return lambda: jax.block_until_ready(f(*inputs))

    return {name: jitted}


def measured(name, rows, seconds):
    """``{column: {label: microseconds}}``; None where an op isn't there."""
    columns = {"torch": of_torch, "jax": of_jax}.get(name, of_kerasish)(name)
    return {column: {label(row): _microseconds(make, row, seconds) for row in rows} for column, make in columns.items()}


def _microseconds(make, row, seconds):
    try:
        f = make(row)
        f()
    except Exception as error:  # whatever a library says of what it does not have
        if "no_such_op" not in str(error):
            print(f"{label(row)}: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
        return None
    return 1e6 * fastest(f, seconds)


def fastest(f, seconds):
    """Seconds of the fastest of at least five calls, and as many as there is time for, after the first ones."""
    best, left, end = float("inf"), 7, time.perf_counter() + seconds
    while left > 0 or time.perf_counter() < end:
        start = time.perf_counter()
        f()
        took = time.perf_counter() - start
        best, left = min(best, took), left - (5 if took > 1 else 1)
    return best


# ---- the table
def ratio(rounds, column, others, key):
    """The column's time over the best of the others': the median over the rounds."""
    ratios = []
    for together in rounds:
        best = [together[other][key] for other in others if together[other][key] is not None]
        if best and together[column][key] is not None:
            ratios.append(together[column][key] / min(best))
    return middle(ratios)


def _cell(value, width, digits):
    return f"{value:{width}.{digits}f}" if value is not None else "-".rjust(width)


def table(rounds, above):
    """The lines of the table: the worst first, rows that nobody else has after them, small ones last."""
    columns = list(rounds[0])
    own = [column for column in columns if column.startswith("kerasish")]
    others = [column for column in columns if column not in own]
    small = {label(row) for row in SMALL}
    ratios = {key: [ratio(rounds, column, others, key) for column in own] for key in rounds[0][columns[0]]}
    order = sorted(ratios, key=lambda key: (key in small, -(ratios[key][-1] or 0)))
    yield " " * 84 + "".join(f"{column:>20}" for column in columns) + "".join(f"{column.split()[1] + ' / best':>18}" for column in own)
    for key in order:
        times = [_cell(middle([together[column][key] for together in rounds]), 20, 1) for column in columns]
        yield key[:82].ljust(84) + "".join(times) + "".join(_cell(value, 18, 2) for value in ratios[key])
    compared = [key for key in order if key not in small and None not in ratios[key]]
    slow = [f"{key.strip()} {min(ratios[key]):.1f}" for key in compared if min(ratios[key]) > above]
    yield f"\n{len(compared)} rows compared. More than {above} times slower than the best other, eagerly and in a function:"
    yield "; ".join(slow) or "none"
    for i, column in enumerate(own):
        found = [ratios[key][i] for key in compared]
        yield f"{column}: {sum(x > above for x in found)} rows above {above}, median {_cell(middle(found), 0, 2)}"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_runs(parser, seconds=0.05)
    parser.add_argument("--only", default="", metavar="REGEX", help="rows that match")
    parser.add_argument("--above", type=float, default=3, help="name rows that are so many times slower")
    parser.add_argument("--json", help="write all figures to this file")
    arguments = parser.parse_args(argv)
    results = in_turn(runs(arguments), "ops.py", arguments.seconds, arguments.only, rounds=arguments.rounds)
    rounds = [dict(collections.ChainMap(*together[::-1])) for together in zip(*filter(None, results.values()), strict=False)]
    print(*table(rounds, arguments.above), sep="\n")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    if len(sys.argv) == 4 and not sys.argv[1].startswith("-"):  # NAME SECONDS REGEX: one library, in its own interpreter
        name, seconds, only = sys.argv[1:]
        print(json.dumps(measured(name, [row for row in (*ROWS, *SMALL) if re.search(only, label(row))], float(seconds))))
    else:
        main()
