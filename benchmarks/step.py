"""Times training steps of one workload on one library: what the scripts that compare libraries run in each interpreter.

    python benchmarks/step.py NAME WORKLOAD [--seconds 3] [--samples N] [--vary width=32,128,512] [--set depth=2]

Prints, as JSON, a list with an object for each value that is varied (one where none is): ``ms`` of a step of ``fit``,
``first_s`` of the first, ``predict_ms`` for one sample, and ``peak_mb`` of the process until then.
"""

import argparse
import json
import resource
import sys
import time

from timing import library, median_ms
from workloads import WORKLOADS, fit


def keras_like(name, workload, **sizes):
    """``run(n)`` that trains for n steps, and a function that predicts one sample."""
    keras = library(name)
    keras.utils.set_random_seed(0)
    model, x, y, batch = WORKLOADS[workload](keras, **sizes)
    return lambda n: fit(model, x, y, batch, n), lambda: model.predict(x[:1], verbose=0)


def in_torch(name, workload, **sizes):
    torch, torch_workloads = library("torch"), library("torch_workloads")
    model, *rest = torch_workloads.built(workload, **sizes)
    x = rest[2]

    def predict():
        model.eval()
        with torch.no_grad():
            model(x[:1])
        model.train()

    return lambda n: torch_workloads.fit(model, *rest, n), predict


def figures(name, workload, seconds, **sizes):
    """What is printed for one workload of these sizes."""
    run, predict = (in_torch if name == "torch" else keras_like)(name, workload, **sizes)
    start = time.perf_counter()
    run(1)
    first = time.perf_counter() - start
    ms = median_ms(run, seconds)
    predict_ms = median_ms(lambda n: [predict() for _ in range(n)] and n, seconds / 10)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    return {**sizes, "ms": ms, "first_s": first, "predict_ms": predict_ms, "peak_mb": peak}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--samples", type=int)
    parser.add_argument("--set", action="append", default=[], metavar="SIZE=N")
    parser.add_argument("--vary", metavar="SIZE=N,N,...")
    arguments = parser.parse_args(argv)
    sizes = {key: int(value) for key, value in (text.split("=") for text in arguments.set)}
    if arguments.samples:
        sizes["samples"] = arguments.samples
    key, values = arguments.vary.split("=") if arguments.vary else ("", "")
    varied = [{key: int(value)} for value in values.split(",")] if key else [{}]
    print(json.dumps([figures(arguments.name, arguments.workload, arguments.seconds, **sizes, **one) for one in varied]))


if __name__ == "__main__":
    main()
