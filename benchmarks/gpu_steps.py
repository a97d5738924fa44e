"""Times training steps of the workloads on one library and one GPU, at the usual batch size and a larger one.

    python benchmarks/gpu_steps.py kerasish|torch|torch-compile|jax [--workloads mlp tiny] [--seconds 1] [--times 1 8] [--tf32] [--cpu]

Prints a line of JSON for each figure: library, workload, batch, ``ms`` of a step, ``first_s`` of the first; or the ``error``. PyTorch
and JAX keep the whole data on the GPU; kerasish's batches come from the host, as ``fit`` is given them.
"""

import argparse
import inspect
import json
import os
import time

from timing import library, median_ms
from workloads import WORKLOADS, fit

EPOCH = 32  # batches of an epoch


def kerasish_steps(workload, arguments, sizes):
    keras = library("kerasish")
    keras.config.set_backend("numpy" if arguments.cpu else "cupy")
    keras.utils.set_random_seed(0)
    model, x, y, batch = WORKLOADS[workload](keras, **sizes)
    return lambda n: fit(model, x, y, batch, n)


def torch_steps(workload, arguments, sizes):
    torch = library("torch")
    if not arguments.cpu:
        torch.set_default_device("cuda")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = arguments.tf32
    torch_workloads = library("torch_workloads")
    model, loss, optimizer, x, y, batch = torch_workloads.built(workload, **sizes)
    x, y = (x, y) if arguments.cpu else (x.cuda(), y.cuda())
    run = torch.compile(model) if arguments.library == "torch-compile" else model

    def steps(n):
        made = torch_workloads.fit(run, loss, optimizer, x, y, batch, n)
        if not arguments.cpu:
            torch.cuda.synchronize()
        return made

    return steps


def jax_steps(workload, arguments, sizes):
    if arguments.cpu:
        os.environ["JAX_PLATFORMS"] = "cpu"
    jax = library("jax")
    jax.config.update("jax_default_matmul_precision", "tensorfloat32" if arguments.tf32 else "highest")
    if not arguments.cpu and jax.default_backend() != "gpu":
        raise RuntimeError(f"JAX runs on {jax.default_backend()} here")
    return library("jax_workloads").built(workload, **sizes)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", choices=["kerasish", "torch", "torch-compile", "jax"])
    parser.add_argument("--workloads", nargs="+", default=list(WORKLOADS), choices=WORKLOADS)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--times", type=int, nargs="+", default=[1, 8], help="the usual batch size times these")
    parser.add_argument("--tf32", action="store_true", help="products of float32 in TF32, in all libraries")
    parser.add_argument("--cpu", action="store_true", help="no GPU: to see that this script works")
    arguments = parser.parse_args(argv)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if arguments.tf32:
        os.environ["CUPY_TF32"] = "1"
    make = {"kerasish": kerasish_steps, "jax": jax_steps}.get(arguments.library, torch_steps)
    for times in arguments.times:
        for workload in arguments.workloads:
            batch = times * inspect.signature(WORKLOADS[workload]).parameters["batch"].default
            figures = {"library": arguments.library, "workload": workload, "batch": batch, "times": times}
            try:
                run = make(workload, arguments, {"samples": EPOCH * batch, "batch": batch})
                start = time.perf_counter()
                run(1)
                figures["first_s"] = time.perf_counter() - start
                figures["ms"] = median_ms(run, arguments.seconds)
            except Exception as error:
                figures["error"] = f"{type(error).__name__}: {error}"[:500]
            print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
