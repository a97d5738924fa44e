"""When it is time to save: each so many batches."""


class EveryBatches:
    """Counts batches, of which several may go by at once; ``total``: of all epochs, ``last``: number of the last one in its epoch.

    >>> every = EveryBatches(3)
    >>> [every.due(batch) for batch in (0, 1, 2, 0, 3)]
    [False, False, True, False, True]
    """

    def __init__(self, count):
        self.count = count
        self.since, self.total, self.last = 0, 0, None

    def due(self, batch):
        """Whether ``count`` batches have gone by since it was time before."""
        more = batch + 1 if self.last is None or batch <= self.last else batch - self.last
        self.since, self.total, self.last = self.since + more, self.total + more, batch
        if self.since < self.count:
            return False
        self.since = 0
        return True

    def get_state(self):
        """How far it has counted."""
        return {"since": self.since, "total": self.total, "last": self.last}

    def set_state(self, state):
        """Count on from there."""
        self.since, self.total, self.last = state["since"], state["total"], state["last"]
