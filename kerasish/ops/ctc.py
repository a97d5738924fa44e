"""Connectionist temporal classification: labels of sequences whose alignment is not known (A. Graves et al. 2006)."""

import math

from kerasish.backend.autodiff.dtypes import result_type
from kerasish.backend.autodiff.op import as_tensor, composite, op
from kerasish.ops.activation import log_softmax
from kerasish.ops.control import scan
from kerasish.ops.core import cast
from kerasish.ops.creation import arange, full
from kerasish.ops.elementwise import choose, equal, greater_equal, less, logaddexp, logical_or, not_equal
from kerasish.ops.indexing import argsort, take_along_axis, where
from kerasish.ops.reduction import argmax, cumsum, max, sum
from kerasish.ops.shaping import concatenate, expand_dims, reshape, squeeze, stack, transpose

__all__ = ["ctc_decode", "ctc_loss"]

_NEVER = -1e5  # log of a probability that counts as 0, and stays finite in sums and gradients


@composite(module="ops.nn", class_name="CTCLoss", inputs=["target", "output", "target_length", "output_length"])
def ctc_loss(target, output, target_length, output_length, mask_index=0):
    """Negative log-probability of each label sequence, summed over all its alignments (``keras.ops.ctc_loss``).

    ``target`` (batch, labels) class numbers, ``output`` (batch, time, classes) logits, lengths (batch,); ``mask_index`` is the
    blank. Gives (batch,). The forward algorithm, on labels with a blank before, between and after them.

    >>> round(float(ctc_loss([[1]], [[[0.0, 0.0], [0.0, 0.0]]], [1], [2])[0]), 4)  # -log(3/4): blank-1, 1-blank, 1-1
    0.2877
    """
    target, output = as_tensor(target, "int32"), as_tensor(output)
    target_length, output_length = as_tensor(target_length, "int32"), as_tensor(output_length, "int32")
    if output.dtype in ("float16", "bfloat16"):
        output = cast(output, "float32")
    batch, labels = target.shape
    steps = output.shape[1]
    blank = full((batch, labels, 1), mask_index, "int32")
    path = concatenate([reshape(concatenate([blank, expand_dims(target, -1)], axis=-1), (batch, 2 * labels)), blank[:, :1, 0]], axis=1)
    places = take_along_axis(log_softmax(output), expand_dims(path, 1) + full((1, steps, 1), 0, "int32"), axis=2)
    # from one label to the next without a blank, unless they are the same label
    jump = not_equal(path[:, 2:], path[:, :-2])
    start = concatenate([full((batch, 1), 0.0, output.dtype), full((batch, 2 * labels), _NEVER, output.dtype)], axis=1)
    never = full((batch, 2), _NEVER, output.dtype)

    def step(alpha, x):
        emitted, t = x
        moved = logaddexp(alpha, concatenate([never[:, :1], alpha[:, :-1]], axis=1))
        jumped = concatenate([never, where(jump, alpha[:, :-2], _NEVER)], axis=1)
        new = logaddexp(moved, jumped) + emitted
        return where(expand_dims(less(t, output_length), 1), new, alpha), None

    alpha, _ = scan(step, start, (transpose(places, (1, 0, 2)), arange(steps, dtype="int32")))
    last = expand_dims(2 * target_length, 1)
    ends = stack([take_along_axis(alpha, last, axis=1), take_along_axis(alpha, where(less(last, 1), 0, last - 1), axis=1)], axis=0)
    on_label = where(less(last, 1), full((1, 1), _NEVER, output.dtype), ends[1])
    return -squeeze(logaddexp(ends[0], on_label), 1)


# ---- decoding
@composite(module="ops.nn", class_name="CTCDecode", inputs=["inputs", "sequence_lengths"])
def ctc_decode(inputs, sequence_lengths, strategy="greedy", beam_width=100, top_paths=1, merge_repeated=True, mask_index=0):
    """The likeliest label sequences of logits ``(batch, time, classes)``, and how likely they are (``keras.ops.ctc_decode``).

    Gives labels ``(paths, batch, time)``, int32 with -1 behind the last, and scores ``(batch, paths)``. ``strategy`` "greedy" takes
    the best class of each step, one path, whose score is the negative sum of their logits; ``merge_repeated``: a class that stays
    counts once. "beam_search" follows the ``beam_width`` likeliest sequences, always merges, and scores the ``top_paths`` best by
    the logarithm of their probability. ``mask_index`` is the blank, the last class for None.

    >>> logits = [[[0.0, 2.0, 1.0], [0.0, 2.0, 1.0], [3.0, 1.0, 1.0], [0.0, 1.0, 2.0]]]
    >>> ctc_decode(logits, [4])[0].tolist()
    [[[1, 2, -1, -1]]]
    """
    inputs, lengths = as_tensor(inputs), as_tensor(sequence_lengths, "int32")
    inputs = cast(inputs, result_type(inputs.dtype, "float32"))
    blank = inputs.shape[-1] - 1 if mask_index is None else mask_index
    if strategy == "greedy":
        return _best_of_each_step(inputs, lengths, merge_repeated, blank)
    if strategy == "beam_search":
        return tuple(_beam_search(log_softmax(inputs), lengths, beam_width=beam_width, top_paths=top_paths, blank=blank))
    raise ValueError(f"Invalid strategy {strategy}. Supported values are 'greedy' and 'beam_search'.")


def _best_of_each_step(inputs, lengths, merge_repeated, blank):
    labels, scores = argmax(inputs, -1), max(inputs, -1)
    beyond = greater_equal(cumsum(labels * 0 + 1, 1) - 1, expand_dims(lengths, 1))
    labels, scores = choose(beyond, blank, labels), choose(beyond, 0.0, scores)
    silent = equal(labels, blank)
    if merge_repeated:
        stays = concatenate([not_equal(labels[:, :1], labels[:, :1]), equal(labels[:, 1:], labels[:, :-1])], axis=1)
        silent = logical_or(silent, stays)
    order = argsort(cast(silent, "int32"), -1)  # what is heard first, in the order in which it was
    labels = take_along_axis(choose(silent, -1, labels), order, -1)
    return expand_dims(labels, 0), -sum(scores, 1, keepdims=True)


def _beam_shapes(shape, lengths, beam_width, top_paths, blank):
    return [(top_paths, *shape[:2]), (shape[0], top_paths)]


@op(_beam_shapes, [None, None], lambda dtypes, attrs: ((None, None), ["int32", dtypes[0]]), module="ops.nn", class_name="BeamSearch")
def _beam_search(xp, inputs, lengths, beam_width, top_paths, blank):
    """A search is full of branches: it runs on Python's numbers."""
    batch, steps, classes = inputs.shape
    labels, scores = [], []
    for rows, length in zip(xp.to_numpy(inputs).tolist(), xp.to_numpy(lengths).tolist(), strict=True):
        found = _prefixes(rows[: length if length > 1 else 1], beam_width, blank)
        best = sorted(found, key=lambda path: (found[path], _tie(path, classes)), reverse=True)[:top_paths]
        missing = top_paths - len(best)
        labels.append([[*path, *[-1] * (steps - len(path))] for path in best] + [[-1] * steps] * missing)
        scores.append([found[path] for path in best] + [-math.inf] * missing)
    labels = xp.asarray(labels, dtype=xp.int32).reshape(batch, top_paths, steps)
    return xp.swapaxes(labels, 0, 1), xp.asarray(scores, dtype=inputs.dtype).reshape(batch, top_paths)


def _tie(path, classes):
    """Of equally likely sequences the one with the lower classes comes first."""
    return [classes - c for c in path]


def _either(a, b):
    """Logarithm of the sum of two probabilities."""
    high, low = (a, b) if a > b else (b, a)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def _prefixes(rows, width, blank):
    """Log-probabilities of label sequences after all rows; after each row the likeliest ones are kept (A. Graves 2012)."""
    never, beams = -math.inf, {(): (-math.inf, 0.0)}  # sequence -> log-probabilities that it ends in its last label, in a blank
    for row in rows:
        new: dict = {}

        def give(path, on_label, on_blank, new=new):
            a, b = new.get(path, (never, never))
            new[path] = _either(a, on_label), _either(b, on_blank)

        for path, (on_label, on_blank) in beams.items():
            either = _either(on_label, on_blank)
            give(path, never, either + row[blank])
            for c, p in enumerate(row):
                if c == blank:
                    continue
                if path and c == path[-1]:  # the same label again: one that lasts, or after a blank a new one
                    give(path, on_label + p, never)
                give((*path, c), (on_blank if path and c == path[-1] else either) + p, never)
        beams = dict(sorted(new.items(), key=lambda item: (_either(*item[1]), _tie(item[0], len(row))), reverse=True)[:width])
    totals = {path: _either(*scores) for path, scores in beams.items()}
    return {path: total for path, total in totals.items() if total != never}
