"""Connectionist temporal classification: labels of sequences whose alignment is not known (A. Graves et al. 2006)."""

from kerasish.backend.autodiff.op import as_tensor, composite
from kerasish.ops.activation import log_softmax
from kerasish.ops.control import scan
from kerasish.ops.core import cast
from kerasish.ops.creation import arange, full
from kerasish.ops.elementwise import less, logaddexp, logical_and, not_equal
from kerasish.ops.indexing import take_along_axis, where
from kerasish.ops.shaping import concatenate, expand_dims, reshape, squeeze, stack, transpose

__all__ = ["ctc_loss"]

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
    jump = logical_and(not_equal(path[:, 2:], mask_index), not_equal(path[:, 2:], path[:, :-2]))
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
