"""Training from files larger than memory: its speed against the same data in memory, and the memory that it needs.

    python benchmarks/streaming.py [mlp cnn ...] [--folder /big/disk]

Makes three files of images: HDF5 and a NumPy memory map, both with noise that is really stored, and HDF5 of 20 GB whose chunks
were never written, which takes no disk. Trains each workload some steps in turn on arrays in memory and on each file, shuffled,
and prints the files' speed in % of that in memory, as the median of the rounds: by the clock, and by the processor time of the
whole process, which other processes disturb less. Then, in a process of its own, trains for a whole epoch on the 20 GB
(``--epoch-steps`` for a part of it) and prints the most memory that the process ever had.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np
from workloads import WORKLOADS

import kerasish as keras

FILES = ("stored.h5", "stored.npy", "large.h5")
CHUNK = 64  # rows


def make(workload, path, rows):
    """A file of so many rows like the workload's inputs, with labels; of the large one only the labels are written."""
    _, x, y, _ = WORKLOADS[workload](keras, samples=4096)
    if path.suffix == ".npy":
        fill(np.lib.format.open_memmap(path, "w+", x.dtype, (rows, *x.shape[1:])), x)
        fill(np.lib.format.open_memmap(path.with_suffix(".labels.npy"), "w+", y.dtype, (rows, *y.shape[1:])), y)
        return
    with h5py.File(path, "w") as file:
        for name, array in (("x", x), ("y", y)):
            chunk = min(rows, CHUNK if name == "x" else 100 * CHUNK)
            stored = file.create_dataset(name, (rows, *array.shape[1:]), array.dtype, chunks=(chunk, *array.shape[1:]), fillvalue=0.5)
            if path.stem != "large" or name == "y":
                fill(stored, array)


def fill(stored, array):
    for start in range(0, len(stored), len(array)):
        stored[start : start + len(array)] = array[: len(stored) - start]


def opened(path):
    """Inputs and labels of a file, not read."""
    if path.suffix == ".npy":
        return np.load(path, mmap_mode="r"), np.load(path.with_suffix(".labels.npy"), mmap_mode="r")
    file = h5py.File(path)
    return file["x"], file["y"]


def seconds(model, x, y, batch, steps):
    """The time of a fit with so many steps: by the clock, and of the processor."""
    start = time.perf_counter(), time.process_time()
    model.fit(x, y, batch_size=batch, steps_per_epoch=steps, verbose=0)
    return time.perf_counter() - start[0], time.process_time() - start[1]


def speeds(workload, paths, steps, rounds):
    """Speeds on each file relative to those on arrays in memory, and milliseconds of a step in memory: medians."""
    model, x, y, batch = WORKLOADS[workload](keras, samples=steps * batch_of(workload))
    data = {"memory": (x, y), **{path.name: opened(path) for path in paths}}
    times = {name: [] for name in data}
    for turn in range(rounds + 1):
        for name, (inputs, labels) in data.items():
            taken = seconds(model, inputs, labels, batch, steps)
            if turn:  # the first one warms up
                times[name].append(taken)
    base = np.array(times.pop("memory"))
    relative = {name: np.median(base / taken, axis=0) for name, taken in times.items()}
    return relative, 1e3 * np.median(base[:, 0]) / steps


def peak(workload, path, steps):
    """One epoch on a file: its steps and seconds, and the most megabytes that this process ever had in memory."""
    model, _, _, batch = WORKLOADS[workload](keras, samples=batch_of(workload))
    x, y = opened(path)
    steps = steps or -(-len(x) // batch)
    before = peak_mb()
    return {"before_mb": before, "steps": steps, "seconds": seconds(model, x, y, batch, steps)[0], "peak_mb": peak_mb()}


def batch_of(workload):
    return WORKLOADS[workload](keras, samples=1)[-1]


def peak_mb():
    try:  # Linux counts what the parent had when this process was forked in what `getrusage` says
        status = pathlib.Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", default=["mlp", "cnn"])
    parser.add_argument("--folder", help="where files are made, and deleted afterwards; by default the system's for temporary files")
    parser.add_argument("--stored-mb", type=int, default=1500)
    parser.add_argument("--large-mb", type=int, default=20_000)
    parser.add_argument("--steps", type=int, default=400, help="of each fit that is timed")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--epoch-steps", type=int, help="of the epoch whose memory is measured, by default all")
    parser.add_argument("--peak", metavar="FILE", help=argparse.SUPPRESS)  # in a process of its own
    arguments = parser.parse_args(argv)
    if arguments.peak:
        print(json.dumps(peak(arguments.workloads[0], pathlib.Path(arguments.peak), arguments.epoch_steps)))
        return
    for workload in arguments.workloads:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            row_bytes = WORKLOADS[workload](keras, samples=1)[1].nbytes
            paths = [pathlib.Path(folder) / name for name in FILES]
            for path in paths:
                make(workload, path, 1_000_000 * (arguments.large_mb if path.stem == "large" else arguments.stored_mb) // row_bytes)
            relative, ms = speeds(workload, paths, arguments.steps, arguments.rounds)
            shown = ", ".join(f"{name} {100 * clock:.0f}% ({100 * processor:.0f}%)" for name, (clock, processor) in relative.items())
            print(f"{workload}: {ms:.2f} ms a step in memory; speed by the clock (by processor time): {shown}", flush=True)
            part = [] if arguments.epoch_steps is None else ["--epoch-steps", str(arguments.epoch_steps)]
            command = [sys.executable, __file__, workload, "--peak", str(paths[-1]), *part]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
            print(
                f"{workload}: {found['steps']} steps on {arguments.large_mb / 1000:g} GB in {found['seconds']:.0f} s, at most "
                f"{found['peak_mb']:.0f} MB of memory, {found['before_mb']:.0f} MB of them before the first step",
                flush=True,
            )


if __name__ == "__main__":
    main()
