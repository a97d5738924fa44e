"""Times training steps of the workloads on one library and one GPU, at the usual batch size and a larger one.

    python benchmarks/gpu_steps.py kerasish|torch|torch-compile|jax [--figures mlp:1 mlp:8] [--seconds 1] [--precise] [--cpu]

Prints a line of JSON for each figure (``workload:times of its batch``): library, workload, batch, ``ms`` of a step, ``first_s`` of the
first; or the ``error``. PyTorch and JAX keep the whole data on the GPU. kerasish has two lines: as ``kerasish`` it fits NumPy arrays,
which it copies to the GPU when ``fit`` begins, as ``kerasish-tensors`` it fits tensors that are there already. float32 products may use
TF32 in all libraries, with ``--precise`` in none.
"""

import argparse
import inspect
import json
import os
import time

from timing import library, median_ms
from workloads import WORKLOADS, fit

FIGURES = [f"{name}:{times}" for times in (1, 8) for name in WORKLOADS]
EPOCH = {"tiny": 256, "mlp": 128, "lstm": 128, "transformer": 128, "bigmlp": 64, "cnn": 64, "resnet": 64}  # batches


def kerasish_steps(workload, arguments, sizes):
    keras = library("kerasish")
    keras.config.set_backend("numpy" if arguments.cpu else "cupy")
    keras.utils.set_random_seed(0)
    model, x, y, batch = WORKLOADS[workload](keras, **sizes)
    tensors = [keras.ops.convert_to_tensor(data) for data in (x, y)]
    return {"kerasish": lambda n: fit(model, x, y, batch, n), "kerasish-tensors": lambda n: fit(model, *tensors, batch, n)}


def torch_steps(workload, arguments, sizes):
    torch = library("torch")
    if not (arguments.cpu or torch.cuda.is_available()):
        raise SystemExit("PyTorch finds no GPU here")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = not arguments.precise
    torch.backends.cudnn.benchmark = True  # convolutions by what is fastest at these sizes
    torch_workloads = library("torch_workloads")
    model, loss, optimizer, x, y, batch = torch_workloads.built(workload, **sizes)
    if not arguments.cpu:  # no default device: that would cost time at every call
        model, x, y = model.cuda(), x.cuda(), y.cuda()
    run = model
    if arguments.library == "torch-compile":
        library("torch._dynamo").reset()  # else the second batch size would be compiled for any size
        run = torch.compile(model)

    def steps(n):
        made = torch_workloads.fit(run, loss, optimizer, x, y, batch, n)
        if not arguments.cpu:
            torch.cuda.synchronize()
        return made

    return {arguments.library: steps}


def jax_steps(workload, arguments, sizes):
    if arguments.cpu:
        os.environ["JAX_PLATFORMS"] = "cpu"
    jax = library("jax")
    jax.config.update("jax_default_matmul_precision", "highest" if arguments.precise else "tensorfloat32")
    if not arguments.cpu and jax.default_backend() != "gpu":
        raise SystemExit(f"JAX runs on {jax.default_backend()} here")
    return {"jax": library("jax_workloads").built(workload, **sizes)}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", choices=["kerasish", "torch", "torch-compile", "jax"])
    parser.add_argument("--figures", nargs="+", default=FIGURES, choices=FIGURES, metavar="WORKLOAD:TIMES")
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--precise", action="store_true", help="float32 products in full precision, in all libraries")
    parser.add_argument("--cpu", action="store_true", help="no GPU: to see that this script works")
    parser.add_argument("--skip", type=int, default=0, help="so many of the figures")
    arguments = parser.parse_args(argv)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    os.environ.update(dict.fromkeys(("CUPY_TF32", "KERASISH_TF32"), "0" if arguments.precise else "1"))
    make = {"kerasish": kerasish_steps, "jax": jax_steps}.get(arguments.library, torch_steps)
    for item, figure in list(enumerate(arguments.figures))[arguments.skip :]:
        workload, times = figure.split(":")
        batch = int(times) * inspect.signature(WORKLOADS[workload]).parameters["batch"].default
        line = {"item": item, "library": arguments.library, "workload": workload, "batch": batch, "times": int(times)}
        try:
            line["version"] = getattr(library(arguments.library.partition("-")[0]), "__version__", "")
            samples = batch * (4 if arguments.cpu else EPOCH[workload])
            for name, run in make(workload, arguments, {"samples": samples, "batch": batch}).items():
                line["library"] = name
                start = time.perf_counter()
                run(1)
                first = time.perf_counter() - start
                print(json.dumps({**line, "first_s": first, "ms": median_ms(run, arguments.seconds)}), flush=True)
        except Exception as error:
            print(json.dumps({**line, "error": f"{type(error).__name__}: {error}"[:500]}), flush=True)
            if not arguments.cpu:
                raise SystemExit(3) from None  # the device may be of no more use to this process


if __name__ == "__main__":
    main()
