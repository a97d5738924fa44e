"""Whether training leaks: the process's memory over many steps, in one fit after another.

    python benchmarks/memory.py [tiny=50000 cnn=1000 ...]

Each argument is a workload and its number of steps. Prints the resident size after 5% of the steps and at the end; the exit
status is 1 where it grew by more than 1% in between.
"""

import argparse
import gc
import os
import resource
import sys

from workloads import WORKLOADS, fit

import kerasish as keras

FITS, ALLOWED = 20, 1.01
DEFAULT = ["tiny=50000", "cnn=1000"]


def resident():
    """Bytes of this process in memory; the most there ever were where the system tells nothing else."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def sizes(workload, steps, **options):
    """Resident size after each of twenty fits, which make so many steps together."""
    model, x, y, batch = WORKLOADS[workload](keras, **options)
    for _ in range(FITS):
        fit(model, x, y, batch, max(1, steps // FITS))
        gc.collect()  # what only waits for the collector is no leak
        yield resident()


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", default=DEFAULT, metavar="WORKLOAD=STEPS")
    grown = False
    for text in parser.parse_args(argv).workloads:
        workload, steps = text.split("=")
        first, *_, last = sizes(workload, int(steps))
        grown = grown or last > ALLOWED * first
        change = f"{first / 1e6:9.1f} MB after 5%, {last / 1e6:9.1f} MB at the end ({last / first - 1:+.2%})"
        print(f"{workload:12} {int(steps):8} steps: {change}", flush=True)
    return int(grown)


if __name__ == "__main__":
    sys.exit(main())
