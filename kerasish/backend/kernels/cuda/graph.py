"""CUDA graphs: which parts of a plan can be captured, and when a part is captured or replayed. No device is needed to decide that.

Own kernels allocate nothing and wait for nothing, so a stretch of them is captured as it is. All else is a host call between two
stretches: products (CuPy's cuBLAS refuses to be captured), CuPy's own kernels (their memory comes from a pool that doesn't know of
graphs), whatever reads a value. A graph holds addresses; those that change between replays are its *key*. A batch that is loaded
into one of two buffers gives two keys, so some graphs are kept for each stretch; a key that comes for the first time runs uncaptured,
which also loads its kernels (no kernel can be loaded during a capture).
"""

import collections
import typing

FEWEST, MOST_GRAPHS = 3, 8  # launches that are worth a graph, graphs kept for a stretch


class Segment(typing.NamedTuple):
    """Steps of a plan that are run together: as a graph where they are ``captured``, one by one where they are not."""

    captured: bool
    steps: list


def segments(steps):
    """The steps of a plan in order as segments: neighbours that can be captured are one, whatever else stands by itself."""
    found = []
    for step in steps:
        captured = bool(getattr(step, "compiled", False))
        if captured and found and found[-1].captured:
            found[-1].steps.append(step)
        else:
            found.append(Segment(captured, [step]))
    return found


class Graphs:
    """The graphs of one stretch of launches. ``capture()`` makes a graph of it, ``run()`` launches it uncaptured.

    ``on_failure(error)`` is told once when it can't be captured; it runs uncaptured from then on.
    """

    def __init__(self, run, capture, on_failure, launches):
        self.run, self.capture, self.on_failure = run, capture, on_failure
        self.able, self._graphs, self._seen = launches >= FEWEST, collections.OrderedDict(), collections.OrderedDict()

    def __call__(self, key):
        """Run the stretch with the addresses that ``key`` says."""
        if not self.able:
            return self.run()
        graph = self._graphs.get(key)
        if graph is None:
            if key not in self._seen:
                self._remember(self._seen, key, True)
                return self.run()
            graph = self._captured()
            if graph is None:
                return self.run()
            del self._seen[key]
        self._remember(self._graphs, key, graph)
        return graph.launch()

    def _captured(self):
        try:
            return self.capture()
        except Exception as error:  # whatever the driver says: the launches still do
            self.able = False
            self._graphs.clear()
            self.on_failure(error)
            return None

    @staticmethod
    def _remember(kept, key, value):
        kept[key] = value
        kept.move_to_end(key)
        if len(kept) > MOST_GRAPHS:
            kept.popitem(last=False)
