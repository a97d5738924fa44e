"""Results that are worked out ahead, by threads or processes, and come in order."""

import concurrent.futures
import contextlib
import functools
import itertools
from collections import deque


def in_order(submit, items, ahead, begun=()):
    """The results of ``begun``, futures, and of ``submit(item)`` for each item; ``ahead`` of these are under way or waiting.

    An error is raised where its result would have come, with its own traceback. What is not wanted any more is cancelled.
    """
    items = iter(items)
    waiting = deque((*begun, *map(submit, itertools.islice(items, max(1, ahead)))))
    try:
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(map(submit, itertools.islice(items, 1)))
            yield result
    finally:
        for future in waiting:
            future.cancel()


def by_threads(function, items, workers, ahead, first_alone=False):
    """``function(item)`` of each item in order, worked out in threads, all of which have ended when this generator has.

    ``first_alone``: the first call is made before there are threads, so that what it builds is built once.
    """
    items, begun = iter(items), []
    for item in itertools.islice(items, 1 if first_alone else 0):
        begun.append(concurrent.futures.Future())
        begun[0].set_result(function(item))
    pool = concurrent.futures.ThreadPoolExecutor(workers, "kerasish-data")
    try:
        with contextlib.closing(in_order(functools.partial(pool.submit, function), items, ahead, begun)) as results:
            yield from results
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
