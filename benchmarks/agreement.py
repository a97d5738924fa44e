"""Whether replayed steps give what eager ones give: trains twice from the same seed and compares all variables.

    [KERASISH_COMPILE=0] python benchmarks/agreement.py [WORKLOAD ...] [--steps 100]

Variables are the model's, the optimizer's and the metrics'. Without compiled kernels both must agree bit for bit, and the exit
status is 1 where they don't. With them the table tells the largest difference, relative to the largest element of a variable,
after one step and after all: rounding in another order is to be expected, and grows as training goes on. Left out of that are the
biases of attention's keys: the softmax doesn't depend on them, so that their gradients are nothing but rounding.
"""

import argparse
import re
import sys

import numpy as np
from workloads import WORKLOADS, fit

import kerasish as keras
from kerasish.backend.kernels import native

SAMPLES = 2048
KEY_BIAS = re.compile("key.bias")


def trained(workload, steps, eagerly, **sizes):
    """Every variable's value after one step and after all steps, by path."""
    keras.utils.set_random_seed(0)
    model, x, y, batch = WORKLOADS[workload](keras, **sizes)
    model.run_eagerly = eagerly
    made, snapshots = 0, []
    for stop in (1, steps):
        while made < stop:
            made += fit(model, x, y, batch, stop - made, shuffle=False)
        variables = dict.fromkeys([*model.variables, *model.optimizer.variables, *model.metrics_variables])
        snapshots.append([(v.path, v.numpy()) for v in variables])
    return snapshots


def difference(a, b):
    """The largest difference, relative to the largest element; infinite where one of both is no number."""
    if a.tobytes() == b.tobytes():
        return 0.0
    a, b = np.asarray(a, "float64"), np.asarray(b, "float64")
    relative = np.abs(a - b).max() / np.abs(a).max() if a.any() else np.inf
    return float(relative) if np.isfinite(relative) else np.inf


def compared(workload, steps, **sizes):
    """How many variables there are and how many have the same bits after all steps; the worst difference and its variable, twice."""
    pairs = list(zip(trained(workload, steps, True, **sizes), trained(workload, steps, False, **sizes), strict=True))
    worst = [max((difference(a, b), path) for (path, a), (_, b) in zip(*pair, strict=True) if not KEY_BIAS.search(path)) for pair in pairs]
    same = sum(a.tobytes() == b.tobytes() for (_, a), (_, b) in zip(*pairs[-1], strict=True))
    return len(pairs[-1][0]), same, worst


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", default=list(WORKLOADS), metavar="WORKLOAD")
    parser.add_argument("--steps", type=int, default=100)
    arguments = parser.parse_args(argv)
    exactly = not native.available()
    print("Without compiled kernels: the same bits" if exactly else "With compiled kernels: the largest relative difference")
    print(f"{'workload':12}{'variables':>10}{'same bits':>10}{'after 1':>12}{f'after {arguments.steps}':>12}  largest after 1 in")
    differ = False
    for workload in arguments.workloads:
        count, same, worst = compared(workload, arguments.steps, samples=SAMPLES)
        differ = differ or same < count
        figures = "".join(f"{size:12.1e}" for size, _ in worst)
        print(f"{workload:12}{count:10}{same:10}{figures}  {worst[0][1] if worst[0][0] else '-'}", flush=True)
    return int(exactly and differ)


if __name__ == "__main__":
    sys.exit(main())
