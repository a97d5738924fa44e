"""Mean and variance over any axes, for normalizations: one pass over memory, which is what bounds it.

All numbers are taken as distances from the first one. A thread finds the mean of a few in registers and their squares around it, and
puts that together with what it has (T. Chan, G. Golub and R. LeVeque 1979): sums are added, and so are squares, with that of the means'
difference. So do threads of a block, and blocks. The difference of two large sums, which would lose digits, is never taken.
"""

from kerasish.backend.autodiff.shapes import normalize_axes
from kerasish.backend.kernels.cuda.launch import candidate
from kerasish.backend.kernels.cuda.reduce import reduction

_FLOATS = {"float32": 4, "float64": 8, "float16": 4, "bfloat16": 4}
MOMENTS = """
struct Accumulator {
    T pivot, n, sum, squares;  // sums of distances from the pivot
    __device__ void start(T first = 0) { pivot = first - first == 0 ? first : 0; n = sum = squares = 0; }
    __device__ void add(const T *v, int m, i64, i64) {
        Accumulator b;
        b.pivot = pivot; b.n = m; b.sum = b.squares = 0;
        #pragma unroll
        for (int j = 0; j < EACH; ++j) if (j < m) b.sum += v[j] - pivot;
        const T center = b.sum / b.n;
        #pragma unroll
        for (int j = 0; j < EACH; ++j) if (j < m) b.squares += (v[j] - pivot - center) * (v[j] - pivot - center);
        merge(b);
    }
    __device__ void merge(const Accumulator &b) {
        if (b.n == 0) return;
        if (n == 0) { *this = b; return; }
        const T apart = b.sum / b.n - sum / n;
        squares += b.squares + apart * apart * (n * b.n / (n + b.n));
        sum += b.sum;
        n += b.n;
    }
};
"""
MEAN_SQUARE = """
struct Accumulator {
    T squares;
    __device__ void start(T = 0) { squares = 0; }
    __device__ void add(const T *v, int m, i64, i64) {
        #pragma unroll
        for (int j = 0; j < EACH; ++j) if (j < m) squares += v[j] * v[j];
    }
    __device__ void merge(const Accumulator &b) { squares += b.squares; }
};
"""
_LIMIT = "smaller(larger({}, -65504.0f), 65504.0f)"  # what float32 can hold may be too large for half precision


@candidate("_moments")
def moments(request):
    """Mean and variance."""
    x, gone = request.inputs[0], set(normalize_axes(request.attrs["axes"], len(request.inputs[0].shape)))
    if x.dtype not in _FLOATS or not x.size or any(y.dtype != x.dtype for y in request.outputs):
        return None
    limited = _LIMIT if x.dtype in ("float16", "bfloat16") else "{}"
    values = (limited.format(value) for value in ("acc.pivot + acc.sum / (T)count", "acc.squares / (T)count"))
    finish = "".join(f"put(y{j} + to, {value});" for j, value in enumerate(values))
    return reduction(request, x, gone, request.outputs).launches(MOMENTS, 4 * _FLOATS[x.dtype], finish)
