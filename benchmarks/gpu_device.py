"""What a GPU can do, and how near the longest parts of a training step come to that.

    python benchmarks/gpu_device.py rates [--precise] [--cpu]
    python benchmarks/gpu_device.py parts [--figures mlp:1 mlp:8] [--cpu]

``rates``: bytes a second, read and written, of a copy on the device, and the rates of a large product (``--precise``: of float32 in full
precision; else in TF32, and of bfloat16). ``parts``: the step's calls of one kind and shape together, the longest first, with the bytes
that they must read and write and their arithmetic. Prints a line of JSON for each figure (``workload:times of its batch``). Kernels are
timed by the device's clock, many in a row; calls of the host by the host's, so that these carry what it takes to start them.
"""

import argparse
import inspect
import json
import os
import time

import numpy as np
from timing import library, tell_each
from workloads import WORKLOADS, fit

FIGURES = [f"{name}:{times}" for times in (1, 8) for name in WORKLOADS]
MOST = 5  # parts of a step that are told


# ---- what the device does
def rates(arguments):
    module = np if arguments.cpu else library("cupy")
    size, nbytes = (256, 1 << 22) if arguments.cpu else (8192, 1 << 30)
    block = np.random.default_rng(0).standard_normal((size // 4, size // 4), dtype="float32")  # products of zeros would be faster
    a, b = module.tile(module.asarray(block), (4, 4)), module.tile(module.asarray(block.T.copy()), (4, 4))
    found = {"size": size, "matrix": {}}
    kinds = ("float32",) if arguments.precise else ("tf32", "bfloat16", "float16")
    for kind in kinds:
        try:
            x, y = (m if "32" in kind else m.astype(_dtype(kind)) for m in (a, b))
            out = module.matmul(x, y)
            found["matrix"][kind] = 2e-12 * size**3 / seconds(module, lambda x=x, y=y, out=out: module.matmul(x, y, out=out))
        except Exception as error:  # a dtype that this CuPy can't multiply
            found.setdefault("left_out", []).append(f"product of {kind}: {type(error).__name__}: {error}"[:200])
    if not arguments.precise:
        source, target = (module.full(nbytes // 4, value, "float32") for value in (1.5, 2.5))
        found["copy_gb_s"] = 2e-9 * nbytes / seconds(module, lambda: module.copyto(target, source))
    return found


def _dtype(kind):
    return library("ml_dtypes").bfloat16 if kind == "bfloat16" else np.dtype(kind)


def seconds(module, f, repeats=10, rounds=3):
    """The shortest time of ``f``, of some rounds of repeats."""
    f()
    return min(_round(module, f, repeats) for _ in range(rounds)) / repeats


def _round(module, f, repeats):
    if module is np:
        start = time.perf_counter()
        for _ in range(repeats):
            f()
        return time.perf_counter() - start
    start, end = module.cuda.Event(), module.cuda.Event()
    start.record()
    for _ in range(repeats):
        f()
    end.record()
    end.synchronize()
    return 1e-3 * module.cuda.get_elapsed_time(start, end)


# ---- what a step's parts do
def planned(keras, workload, batch):
    """A workload's training step as a recorded function, its plan, which has not run yet, and a batch for both as tensors."""
    model, x, y, batch = WORKLOADS[workload](keras, samples=batch, batch=batch)
    model.run_eagerly = True  # one step makes the slots of the optimizer and the metrics
    fit(model, x, y, batch, 1)
    data = keras.ops.convert_to_tensor(x[:batch]), keras.ops.convert_to_tensor(y[:batch])
    step = keras.function(lambda x, y: model.train_step((x, y)))
    return step, step._planned(data)[0], data


def flops(trace, call):
    """The arithmetic of a call, or of all calls of a group."""
    breakdown = library("breakdown")
    members = getattr(call.op, "calls", None)
    return sum(breakdown.flops(call.op, one) for one in members) if members else breakdown.flops(trace, call)


def parts(workload, times, arguments):
    keras = library("kerasish")
    keras.config.set_backend("numpy" if arguments.cpu else "cupy")
    keras.utils.set_random_seed(0)
    batch = times * inspect.signature(WORKLOADS[workload]).parameters["batch"].default
    step, plan, data = planned(keras, workload, batch)
    profile, kinds = step.profile(*data, repeats=2 if arguments.cpu else 5), {}
    for (call, nbytes, _), row in zip(plan.described(), profile.rows, strict=True):
        sums = kinds.setdefault((row.name, row.shape, row.compiled), [0, 0.0, 0, 0])
        for i, more in enumerate((1, row.ms, nbytes, flops(plan.trace, call))):
            sums[i] += more
    names = "name", "shape", "compiled", "calls", "ms", "nbytes", "flops"
    rows = [dict(zip(names, (*kind, *sums), strict=True)) for kind, sums in kinds.items()]
    return {
        "workload": workload, "times": times, "batch": batch, "step_ms": profile.whole_ms, "flops": sum(row["flops"] for row in rows),
        "all_ms": sum(row["ms"] for row in rows), "parts": sorted(rows, key=lambda row: -row["ms"])[:MOST],
    }  # fmt: skip


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["rates", "parts"])
    parser.add_argument("--figures", nargs="+", default=FIGURES, choices=FIGURES, metavar="WORKLOAD:TIMES")
    parser.add_argument("--precise", action="store_true", help="float32 in full precision")
    parser.add_argument("--cpu", action="store_true", help="no GPU: to see that this script works")
    parser.add_argument("--skip", type=int, default=0, help="so many of the figures")
    arguments = parser.parse_args(argv)
    os.environ.update(dict.fromkeys(("CUPY_TF32", "KERASISH_TF32"), "0" if arguments.precise else "1"))
    if arguments.what == "rates":
        print(json.dumps({"item": 0, **rates(arguments)}), flush=True)
        return

    def work(figure, line):
        workload, times = figure.split(":")
        line |= {"workload": workload, "times": int(times)}
        line |= parts(workload, int(times), arguments)

    tell_each(arguments.figures, arguments.skip, work, arguments.cpu)


if __name__ == "__main__":
    main()
