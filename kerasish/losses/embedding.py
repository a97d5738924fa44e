"""Loss for embeddings: examples of one class belong together, others apart."""

from kerasish import ops
from kerasish.losses.loss import FunctionLoss


def circle(y_true, y_pred, ref_labels=None, ref_embeddings=None, remove_diagonal=True, gamma=80, margin=0.4):
    """Circle loss of unit vectors ``y_pred`` (N, D) with classes ``y_true`` (N,) (``keras.losses.circle``; Sun et al. 2020).

    Each is compared with ``ref_embeddings``, by default with the batch, where ``remove_diagonal`` leaves out itself.
    Examples without loss are masked, so that means are over the others.

    >>> circle([0, 0, 1], [[1.0, 0.0], [1.0, 0.0], [0.8, 0.6]], gamma=1.0).numpy().astype(float).round(4).tolist()
    [0.8659, 0.8659, 0.0]
    """
    embeddings, labels = ops.convert_to_tensor(y_pred), ops.reshape(ops.cast(y_true, "int32"), (-1,))
    references = embeddings if ref_embeddings is None else ops.convert_to_tensor(ref_embeddings)
    reference_labels = labels if ref_labels is None else ops.reshape(ops.cast(ref_labels, "int32"), (-1,))
    distances = ops.maximum(1.0 - ops.matmul(embeddings, ops.transpose(references)), 0.0)
    same = _table(ops.equal, labels, reference_labels)
    positive = same
    if remove_diagonal:
        positive = ops.logical_and(same, _table(ops.not_equal, *(ops.cumsum(ops.ones_like(x)) for x in (labels, reference_labels))))
    near = -gamma * ops.maximum(margin + distances, 0.0) * (margin - distances)
    far = gamma * ops.maximum(1.0 + margin - distances, 0.0) * (1.0 - margin - distances)
    loss = ops.softplus(_logsumexp_where(positive, near) + _logsumexp_where(ops.logical_not(same), far))
    loss._keras_mask = ops.greater(loss, 0)
    return loss


def _table(compare, x1, x2):
    """Each of one vector with each of the other."""
    return compare(ops.expand_dims(x1, 1), ops.expand_dims(x2, 0))


def _logsumexp_where(chosen, x):
    """Of each row's chosen items; minus infinity where there are none."""
    return ops.logsumexp(ops.where(chosen, x, float("-inf")), axis=1)


class Circle(FunctionLoss):
    """:func:`circle` as a loss (``keras.losses.Circle``): ``gamma`` scales, ``margin`` sets how close is close enough.

    >>> float(Circle()([0, 1], [[1.0, 0.0], [0.0, 1.0]]))
    0.0
    """

    fn = staticmethod(circle)
    gamma: float = 80.0
    margin: float = 0.4
    remove_diagonal: bool = True
    name: str | None = "circle"
