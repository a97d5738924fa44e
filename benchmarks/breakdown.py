"""Where the time of a training step goes, and how far that is from what the machine could do.

    python benchmarks/breakdown.py WORKLOAD [--rows] [--plot step.png] [--steps 20]

Prints the plan's calls by kind (``--rows``: each), then two floors:

- the arithmetic of the step's matrix products, convolutions, recurrences and attention, at the rate of one large product of
  this machine's BLAS on all cores, measured in the same run;
- the traffic of memory: the batch and the variables that are read, once, and the variables that are written, once, at the rate
  of copies between arrays of that size in all.
"""

import argparse
import math
import time
from multiprocessing.pool import ThreadPool

import numpy as np
from timing import cores
from workloads import WORKLOADS

import kerasish as keras
from kerasish.backend.autodiff.op import as_tensor
from kerasish.backend.plan import passes
from kerasish.backend.plan.record import record

SAMPLES = 512  # more than any batch


# ---- what a step has to do
def recorded(model, x, y):
    """The model's training step on this batch as a trace, before calls are put together."""
    trace, _ = record(lambda x, y: model.train_step((x, y)), [as_tensor(x), as_tensor(y)])
    return passes.drop_unread(passes.merge_equal(passes.drop_unread(trace)))


def flops(trace, call):
    """Floating-point operations of the products in a call, each multiplication and addition as one."""
    ins, outs = ([trace.specs[i].shape for i in numbers] for numbers in (call.inputs, call.outputs))
    rule = RULES.get(call.op.name)
    return 2 * rule(ins, outs) if rule else 0


def _sequence(places, products):
    """Of a recurrence whose inputs (batch, steps, gates * units) and kernel are at these places: so many products with the kernel."""

    def rule(ins, outs):
        (batch, steps, _), kernel = ins[places[0]], ins[places[1]]
        return products * batch * steps * math.prod(kernel)

    return rule


def _attention(ins, outs):
    query, value, weights = ins[0], ins[2], outs[1]
    return math.prod(weights) * (query[-1] + value[-1])


def _attention_gradient(ins, outs):
    query, value, weights = ins[1], ins[3], ins[6]
    return 2 * math.prod(weights) * (query[-1] + value[-1])


def _long_attention(ins, outs):
    query, key, value = ins[:3]
    return math.prod(query[:3]) * key[1] * (query[-1] + value[-1])


def _long_attention_gradient(ins, outs):
    query, key, value = ins[1:4]
    return math.prod(query[:3]) * key[1] * (3 * query[-1] + 2 * value[-1])


# multiplications by name of the op, from shapes of inputs and outputs; borders of convolutions count as if they were inside
RULES = {
    "matmul": lambda ins, outs: math.prod(outs[0]) * ins[0][-1],
    "conv": lambda ins, outs: math.prod(outs[0]) * math.prod(ins[1][:-1]),
    "_conv_input": lambda ins, outs: math.prod(ins[0]) * math.prod(ins[1][:-1]),
    "_conv_kernel": lambda ins, outs: math.prod(ins[1]) * math.prod(outs[0][:-1]),
    "_lstm": _sequence((0, 1), 1),
    "_lstm_gradient": _sequence((3, 4), 2),
    "_gru": _sequence((0, 1), 1),
    "_gru_gradient": _sequence((2, 3), 2),
    "_attention": _attention,
    "_attention_gradient": _attention_gradient,
    "_long_attention": _long_attention,
    "_long_attention_gradient": _long_attention_gradient,
}


def traffic(trace):
    """Bytes of the arguments and variables that some call reads, and of the variables that are written."""
    read = {i for call in trace.calls for i in call.inputs}
    values = [i for i in (*trace.arguments, *trace.reads.values()) if i in read]
    return sum(trace.specs[i].nbytes for i in (*values, *trace.writes.values()))


# ---- what the machine does
def product_rate(size, repeats=7):
    """Floating-point operations a second in a product of square float32 matrices."""
    a, b, out = (np.ones((size, size), "float32") for _ in range(3))
    return 2 * size**3 / min(_seconds(lambda: np.matmul(a, b, out=out)) for _ in range(repeats))


def copy_rate(nbytes, repeats=7):
    """Bytes a second, read and written, where all cores copy arrays of so many bytes in all, again and again."""
    n = cores()
    times = max(1, (1 << 25) // nbytes)
    arrays = [(np.ones(max(1, nbytes // 2 // n), "uint8"), np.ones(max(1, nbytes // 2 // n), "uint8")) for _ in range(n)]

    def copy(pair):
        for _ in range(times):
            np.copyto(*pair)

    with ThreadPool(n) as pool:
        return times * nbytes / min(_seconds(lambda: pool.map(copy, arrays)) for _ in range(repeats))


def _seconds(f):
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def floors(trace, size):
    """Lines of text with both floors, and the higher one in ms."""
    kinds = {}
    for call in trace.calls:
        if count := flops(trace, call):
            kinds[call.op.name.strip("_")] = kinds.get(call.op.name.strip("_"), 0) + count
    total, rate = sum(kinds.values()), product_rate(size)
    nbytes = traffic(trace)
    copies = copy_rate(nbytes)
    parts = ", ".join(f"{name} {count / 1e9:.4g}" for name, count in sorted(kinds.items(), key=lambda item: -item[1]))
    products, memory = 1e3 * total / rate, 1e3 * nbytes / copies
    lines = [
        f"products  {products:9.3f} ms: {total / 1e9:.4g} GFLOP at {rate / 1e9:.0f} GFLOP/s ({parts})",
        f"memory    {memory:9.3f} ms: {nbytes / 1e6:.4g} MB of variables and batch at {copies / 1e9:.1f} GB/s",
    ]
    return lines, max(products, memory)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--rows", action="store_true", help="each call by itself")
    parser.add_argument("--plot", metavar="FILE", help="a picture of the shares (needs matplotlib)")
    parser.add_argument("--steps", type=int, default=20, help="replays that are timed")
    parser.add_argument("--size", type=int, default=3072, help="of the product that gives the BLAS's rate")
    arguments = parser.parse_args(argv)
    model, x, y, batch = WORKLOADS[arguments.workload](keras, samples=SAMPLES)
    x, y = x[:batch], y[:batch]
    profile = model.profile_step(x, y, steps=arguments.steps)
    print(profile.table(by_name=not arguments.rows))
    lines, floor = floors(recorded(model, x, y), arguments.size)
    print("\nFloors", *lines, f"step      {profile.whole_ms:9.3f} ms: {profile.whole_ms / floor:.2f} times the higher floor", sep="\n")
    if arguments.plot:
        profile.plot(arguments.plot)


if __name__ == "__main__":
    main()
