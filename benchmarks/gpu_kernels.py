"""What a plan on a GPU is made of, and whether its kernels give what they should, on the workloads themselves.

    [KERASISH_GRAPHS=0] [KERASISH_COMPILE=0] python benchmarks/gpu_kernels.py losses [WORKLOAD ...] [--cpu]
    python benchmarks/gpu_kernels.py calls [WORKLOAD ...] [--times 8] [--cpu]

``losses``: those of some steps on one batch, how many kernels, library calls and calls of the host a step is, how many graphs were
captured, and what was warned of. ``calls``: each call that has kernels of its own, at its real size, against the op's own kernel on
NumPy with the same inputs; a call that breaks the device is named. float32 products are in full precision unless the environment says
otherwise (``KERASISH_TF32=1``). Prints a line of JSON for each workload. ``--cpu``: the CUDA source
on the processor, as the tests run it.
"""

import argparse
import collections
import contextlib
import inspect
import os
import warnings

import numpy as np
from agreement import difference
from gpu_device import planned
from timing import library, tell_each
from workloads import WORKLOADS

TOLERANCE = 1e-3  # of the largest element
STEPS = 8  # a graph is captured when the same addresses come a second time, and batches take turns in two places


@contextlib.contextmanager
def device(cpu):
    """Block on CuPy, or on what stands for it: for plans with own kernels their source on the processor, for others a strict CuPy."""
    backends = library("kerasish.backend.arrays")
    if not cpu:
        arrays, more = backends.cupy.CupyArrays(), contextlib.nullcontext()
    elif os.environ.get("KERASISH_COMPILE") == "0":
        library("kerasish.backend.kernels.native")._state["available"] = False
        arrays, more = library("tests.conformance.strict").StrictArrays(), contextlib.nullcontext()
    else:
        arrays, more = backends.NumpyArrays(), library("tests.backend.kernels.cuda_plans").on_host()
    before = backends.use(arrays)
    try:
        with more:
            yield
    finally:
        backends.use(before)


def losses(keras, workload, batch):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model, x, y, batch = WORKLOADS[workload](keras, samples=batch, batch=batch)
        found = model.fit(x[:batch], y[:batch], batch_size=batch, epochs=STEPS, shuffle=False, verbose=0).history["loss"]
    plans = library("kerasish.backend.plan.plan")
    plan = max((p for p in list(plans.locked) if isinstance(p, plans.Plan)), key=lambda p: len(p.trace.calls), default=None)
    warned = list(dict.fromkeys(f"{w.category.__name__}: {w.message}"[:400] for w in told))
    return {"losses": [float(loss) for loss in found], "planned": plan is not None, "warnings": warned} | (made_of(plan) if plan else {})


def made_of(plan):
    """What runs in one replay: kernels, library calls and calls of the host by name, and in how many graphs."""
    label, launch = library("kerasish.backend.plan.profile").label, library("kerasish.backend.kernels.cuda.launch")
    described = list(plan.described())
    items = getattr(plan._programs, "_items", [])
    routines = [type(item.launch.routine).__name__ for item in items if isinstance(item.launch, launch.LibraryCall)]
    stretches = [step.graphs for step in plan._steps if hasattr(step, "graphs")]
    return {
        "launches": len(items) - len(routines), "libraries": dict(collections.Counter(routines)),
        "compiled": sum(compiled for *_, compiled in described),
        "host": dict(collections.Counter(label(call) for call, _, compiled in described if not compiled)),
        "stretches": len(stretches), "captured": sum(bool(graphs._graphs) for graphs in stretches),
        "graphs": sum(len(graphs._graphs) for graphs in stretches),
    }  # fmt: skip


# ---- call by call
def calls(keras, workload, batch):
    _, plan, data = planned(keras, workload, batch)
    if plan is None:
        raise RuntimeError("the step can't be recorded")
    label, parts_of = library("kerasish.backend.plan.profile").label, library("kerasish.backend.plan.trace").parts_of
    host, found = library("kerasish.backend.arrays").NumpyArrays(), {"checked": 0, "unread": 0, "worst": 0.0, "call": None, "wrong": []}

    def compare(call, before):
        after = [_read(plan, n) for n in call.outputs]
        if any(x is None for x in (*before, *after)):
            found["unread"] += 1
            return
        with np.errstate(all="ignore"):
            expected = parts_of(call.op.kernel(host, *before, **call.attrs))
            size = max((apart(np.asarray(a), b, before) for a, b in zip(expected, after, strict=True)), default=0.0)
            if not size <= TOLERANCE:  # some elements may be left as the memory was, which is no result
                zeros, ones = (parts_of(call.op.kernel(filled(value), *before, **call.attrs)) for value in (0, 1))
                known = [(np.asarray(a) == b) | (a != a) for a, b in zip(zeros, ones, strict=True)]
                pairs = zip(expected, after, known, strict=True)
                size = max((apart(np.where(k, a, 0), np.where(k, b, 0), before) for a, b, k in pairs), default=0.0)
        name = f"{label(call)} of {', '.join('x'.join(map(str, x.shape)) for x in before)}"
        found["checked"] += 1
        if size > found["worst"]:
            found.update(worst=size, call=name)
        if not size <= TOLERANCE:
            found["wrong"].append(f"{name}: {size:.1e}")

    def run(step):
        if not hasattr(step, "compiled"):
            return step()

        def times(items, count):
            """Instead of timing a stretch: its items one after the other, and each call compared when its last item has run."""
            last, inputs = {number: k for k, item in enumerate(items) for number in item.calls}, {}
            for k, item in enumerate(items):
                own = sorted(set(item.calls))
                inputs.update({n: [_read(plan, i) for i in step.calls[n].inputs] for n in own if n not in inputs})
                try:
                    plan._programs.launch([item])
                    plan.xp.synchronize()
                except Exception as error:
                    names = ", ".join(f"{label(step.calls[n])} of {[plan.trace.specs[i].shape for i in step.calls[n].inputs]}" for n in own)
                    raise RuntimeError(f"{names}: {type(error).__name__}: {error}") from error
                for n in own:
                    if last[n] == k:
                        compare(step.calls[n], inputs.pop(n))
            return [0.0] * count

        plan._programs._times = times
        return step.timed()

    plan([x.value for x in data], run)
    return found


def filled(value):
    """NumPy's arrays, but what is left empty is filled with a number."""
    host = library("kerasish.backend.arrays").NumpyArrays()
    host.empty = lambda shape, dtype=float, **options: np.full(shape, value, dtype, **options)
    host.empty_like = lambda x, **options: np.full_like(x, value, **options)
    return host


def apart(expected, found, inputs):
    """The difference, relative to the largest element; none where it is only what rounding leaves of a sum that cancels out."""
    size = difference(expected, found)
    summed = max((np.abs(x).sum(dtype="float64") for x in inputs if x.dtype.kind == "f"), default=0.0) / max(1, expected.size)
    if size > TOLERANCE and np.abs(expected.astype("float64") - found).max() <= 1e-6 * summed:
        return 0.0
    return size


def _read(plan, number):
    """A value on the host; None where it can't be read by its place."""
    buffer = library("kerasish.backend.kernels.native").place_of(plan, number)
    array = None if buffer is None else plan.values[buffer.base]
    if array is None or not array.flags.c_contiguous or array.dtype.itemsize != buffer.itemsize:
        return None
    flat = plan.xp.to_numpy(array).reshape(-1)
    strides = [s * buffer.itemsize for s in buffer.strides]
    return np.lib.stride_tricks.as_strided(flat[buffer.offset :], buffer.shape, strides).astype(plan.trace.specs[number].numpy_dtype)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["losses", "calls"])
    parser.add_argument("workloads", nargs="*", default=list(WORKLOADS), metavar="WORKLOAD")
    parser.add_argument("--times", type=int, default=1, help="the usual batch size times this")
    parser.add_argument("--cpu", action="store_true", help="no GPU: to see that this script works")
    parser.add_argument("--skip", type=int, default=0, help="so many of the workloads")
    arguments = parser.parse_args(argv)
    for name in ("KERASISH_TF32", "CUPY_TF32"):
        os.environ.setdefault(name, "0")
    keras = library("kerasish")

    def work(workload, line):
        line["workload"] = workload
        keras.utils.set_random_seed(0)
        with device(arguments.cpu):
            batch = arguments.times * inspect.signature(WORKLOADS[workload]).parameters["batch"].default
            line |= {"losses": losses, "calls": calls}[arguments.what](keras, workload, batch)

    tell_each(arguments.workloads, arguments.skip, work, arguments.cpu)


if __name__ == "__main__":
    main()
