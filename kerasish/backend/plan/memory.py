"""Memory of a plan: where in one block each value lies, so that values which are never needed at the same time share bytes."""

_ALIGNMENT = 64


def lay_out(lifetimes):
    """Offsets for values, and the size of the block that holds them all.

    ``lifetimes``: value -> (number of bytes, first step, last step). Greedy by size: the largest first, each at the lowest
    place where it meets no value that lives at the same time (Y. Pisarchyk and J. Lee 2020, arXiv 2001.03288).
    """
    placed, offsets, total = [], {}, 0
    for value, (nbytes, first, last) in sorted(lifetimes.items(), key=lambda item: (-item[1][0], item[1][1], item[0])):
        nbytes = -(-max(nbytes, 1) // _ALIGNMENT) * _ALIGNMENT
        offset = 0
        for start, end, begins, ends in placed:  # by their start
            if begins <= last and first <= ends:
                if offset + nbytes <= start:
                    break
                offset = max(offset, end)
        offsets[value] = offset
        total = max(total, offset + nbytes)
        _insert(placed, (offset, offset + nbytes, first, last))
    return offsets, total


def _insert(placed, entry):
    at = next((i for i, other in enumerate(placed) if other[0] > entry[0]), len(placed))
    placed.insert(at, entry)
