"""Images resized along an axis: a product with a matrix of weights, by whoever multiplies matrices."""

import math

from kerasish.backend.kernels.cuda import cublaslt, products
from kerasish.backend.kernels.cuda.launch import Request, candidate


@candidate("_resampled")
def resampled(request):
    """``weights.T @ x`` along the axis, for all that lies before it."""
    x, w, out, axis = request.dense(0), request.inputs[1], request.outputs[0], request.attrs["axis"]
    (m, n), lead, rest = w.shape, math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
    if rest > 1:
        sides = [w.view((n, m), w.strides[::-1]), x.view((lead, m, rest))], [out.view((lead, n, rest))]
    else:
        sides = [x.view((lead, m)), w], [out.view((lead, n))]
    for multiplied in (cublaslt.matmul, products.matmul):
        inner = Request(request.op, {}, *sides, libraries=request.libraries)
        launches = multiplied(inner)
        if launches is not None:
            return [*inner.before, *launches]
    return None
