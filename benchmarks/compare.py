"""Step times of the workloads on several libraries, in turn and over several rounds, with the first library's ratio to the best other.

    python benchmarks/compare.py --run kerasish=PYTHON --run torch=PYTHON --run keras-jax=PYTHON [--workloads mlp cnn]
                                 [--rounds 3] [--seconds 3] [--json FILE]

Times are medians over the rounds, and so is the ratio, which is taken within each round.
"""

import argparse
import json

from timing import add_runs, in_turn, middle, runs
from workloads import WORKLOADS

DETAILS = {"first_s": "first step s", "predict_ms": "predict of one sample ms", "peak_mb": "peak MB"}


def ratio(results):
    """The first library's time over the best other's: the median over the rounds in which all have one."""
    first, *others = [[round[0]["ms"] for round in rounds] for rounds in results.values() if rounds]
    return middle([mine / min(theirs) for mine, *theirs in zip(first, *others, strict=False)]) if others else None


def medians(rounds):
    return {key: middle([round[0][key] for round in rounds]) for key in ("ms", *DETAILS)}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_runs(parser)
    parser.add_argument("--workloads", nargs="+", default=list(WORKLOADS), choices=WORKLOADS)
    parser.add_argument("--json", help="write all figures to this file")
    arguments = parser.parse_args(argv)
    interpreters = runs(arguments)
    table, details = {}, []
    print("ms a step".ljust(14) + "".join(f"{name:>18}" for name in interpreters) + f"{next(iter(interpreters)) + ' / best':>20}")
    for workload in arguments.workloads:
        results = table[workload] = in_turn(interpreters, "step.py", workload, "--seconds", arguments.seconds, rounds=arguments.rounds)
        of = {name: medians(rounds) for name, rounds in results.items() if rounds}
        cells = [f"{of[name]['ms']:18.3f}" if name in of else f"{'failed':>18}" for name in interpreters]
        over = ratio(results) if len(of) == len(interpreters) else None
        print(workload.ljust(14) + "".join(cells) + (f"{over:20.2f}" if over else f"{'-':>20}"), flush=True)
        details += [f"{workload + ' ' + name:34}" + "".join(f"{figures[key]:26.2f}" for key in DETAILS) for name, figures in of.items()]
    print("\n" + " " * 34 + "".join(f"{title:>26}" for title in DETAILS.values()), *details, sep="\n")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(table, file, indent=1)


if __name__ == "__main__":
    main()
