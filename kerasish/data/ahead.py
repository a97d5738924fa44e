"""Results that are worked out ahead, by threads or processes, and come in order."""

import concurrent.futures
import contextlib
import functools
import itertools
from collections import deque


def in_order(submit, items, ahead):
    """The results of ``submit(item)``, a future, for each item; at most ``ahead`` of them are under way or waiting.

    An error is raised where its result would have come, with its own traceback. What is not wanted any more is cancelled.
    """
    items = iter(items)
    waiting = deque(map(submit, itertools.islice(items, max(1, ahead))))
    try:
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(map(submit, itertools.islice(items, 1)))
            yield result
    finally:
        for future in waiting:
            future.cancel()


def by_threads(function, items, workers, ahead):
    """``function(item)`` of each item in order, worked out in threads, all of which have ended when this generator has."""
    pool = concurrent.futures.ThreadPoolExecutor(workers, "kerasish-data")
    try:
        with contextlib.closing(in_order(functools.partial(pool.submit, function), items, ahead)) as results:
            yield from results
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
