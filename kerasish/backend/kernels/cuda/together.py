"""Launches of one source that don't need each other, as one launch: all weights of an optimizer are updated at once.

A launch takes longer to start than a small array takes to be updated, and the updates of all weights have one source. Their arguments
become the rows of a table on the device, behind the number of the first block of each. A block looks up its row (a binary search in what
lies in the first cache) and goes on as if it had been launched alone.
"""

import functools
import re

import numpy as np

from kerasish.backend.kernels.candidates import Buffer, Scratch
from kerasish.backend.kernels.cuda.launch import MOST_BLOCKS, Launch

_HEAD = re.compile(r'extern "C" __global__ void __launch_bounds__\((\d+)\) kernel\((.*)\) \{')
_FIND = """
    i64 low = 0, high = count;
    while (high - low > 1) {
        const i64 middle = (low + high) / 2;
        if (table[middle * %(width)d] <= (i64)blockIdx.x) low = middle; else high = middle;
    }
    const i64 *row = table + low * %(width)d;
    one(%(given)s);
"""


@functools.cache
def _types(source):
    """The types of a source's parameters."""
    return [re.sub(r"__restrict__ *|\w+$", "", p.strip()).strip() for p in _HEAD.search(source).group(2).split(", ")]


@functools.cache
def of_several(source):
    """A source for several launches, from that of one."""
    head = _HEAD.search(source)
    types, threads = _types(source), head.group(1)
    body = source[head.end() :].replace("blockIdx.x", "my_block")
    given = ["blockIdx.x - (u32)row[0]", *(f"({t})row[{i + 1}]" for i, t in enumerate(types))]
    find = _FIND % {"width": len(types) + 1, "given": ", ".join(given)}
    kernel = f'extern "C" __global__ void __launch_bounds__({threads}) kernel(const i64 *__restrict__ table, i64 count) {{{find}}}\n'
    return f"{source[: head.start()]}__device__ __forceinline__ void one(const u32 my_block, {head.group(2)}) {{{body}{kernel}"


def places(launch, place_of):
    """Where a launch reads and writes: tuples (memory, start, end, written); None where it must run alone.

    ``place_of(buffer)``: its memory, and where in it the buffer starts, in bytes; None where that changes with every replay.
    """
    if not isinstance(launch, Launch) or launch.shared or _HEAD.search(launch.source) is None:
        return None
    found = []
    for argument, kind in zip(launch.args, _types(launch.source), strict=True):
        if not isinstance(argument, Buffer):
            continue
        place = None if isinstance(argument.base, Scratch) else place_of(argument)
        if place is None:
            return None
        memory, start = place
        low, end = (start + place * argument.itemsize for place in argument.reach)
        found.append((memory, low, end, not kind.startswith("const")))
    return found


class _Group:
    """Launches that can be one, and what they read and write in each memory: pairs (start, end)."""

    def __init__(self, launch, own):
        self.launches, self.alone, self.used = [launch], own is None, {}
        self.blocks = getattr(launch, "blocks", 0)
        self._use(own or ())

    def _use(self, own):
        for memory, start, end, written in own:
            self.used.setdefault((memory, written), []).append((start, end))

    def took(self, launch, own):
        """Whether the launch has become one of these."""
        first = self.launches[0]
        if self.alone or own is None or (launch.source, launch.threads) != (first.source, first.threads):
            return False
        if self.blocks + launch.blocks > MOST_BLOCKS or any(map(self._hinders, own)):
            return False
        self.launches.append(launch)
        self.blocks += launch.blocks
        self._use(own)
        return True

    def _hinders(self, place):
        memory, start, end, written = place
        others = [*self.used.get((memory, True), ()), *(self.used.get((memory, False), ()) if written else ())]
        return any(start < other_end and other_start < end for other_start, other_end in others)


def gathered(launches, place_of, refused=()):
    """The launches in order as lists, each of which can be one: neighbours of one source, none of which has to wait for another.

    ``refused``: sources that can't be had.
    """
    groups: list = []
    for launch in launches:
        own = places(launch, place_of)
        if own is not None and refused and of_several(launch.source) in refused:
            own = None
        if not groups or not groups[-1].took(launch, own):
            groups.append(_Group(launch, own))
    return [group.launches for group in groups]


class Table:
    """The arguments of launches that are one. ``rows[i]`` are those of launch ``i``; ``stale``: the device does not have them all."""

    def __init__(self, launches):
        first = launches[0]
        self.host = np.zeros((len(launches), 1 + len(first.args)), np.int64)
        self.host[1:, 0] = np.cumsum([launch.blocks for launch in launches[:-1]])
        self.rows, self.stale = list(self.host[:, 1:]), True
        blocks = sum(launch.blocks for launch in launches)
        self.launch = Launch(of_several(first.source), [0, len(launches)], blocks, first.threads)
