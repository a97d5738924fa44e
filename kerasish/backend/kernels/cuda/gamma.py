"""Gamma and beta numbers, redrawn until they are accepted: by one block, so that nobody has to tell the host how many are left.

The draws are those of ``backend/random.py``: each round has keys of its own, and numbers for as many as are left, which stay in order.
One block takes about a tenth of a millisecond for a few thousand numbers; more of them are left to the op's own kernel.
"""

from kerasish.backend.arrays.cupy import PHILOX
from kerasish.backend.kernels.cuda import axes
from kerasish.backend.kernels.cuda.launch import Launch, candidate, source
from kerasish.backend.kernels.cuda.prelude import MEMORY
from kerasish.backend.kernels.cuda.radix import SCAN

_MOST, _THREADS = 1 << 12, 256  # numbers, and what SCAN goes over
_LOG_GAMMA = """
struct Key { u32 low, high; };
__device__ inline Key part_of(Key key, int i) {  // the i-th of some keys made of one
    u64 words[4];
    philox_block(key.low, key.high, 1, words);
    Key made = {(u32)words[i], (u32)(words[i] >> 32)};
    return made;
}
__device__ inline double unit(Key key, i64 e) {
    u64 words[4];
    philox_block(key.low, key.high, e / 4 + 1, words);
    return (double)(words[e % 4] >> 11) * 0x1p-53;
}
__device__ inline double open_unit(Key key, i64 e) {
    u64 words[4];
    philox_block(key.low, key.high, e / 8 + 1, words);
    return ((double)(u32)(words[e % 8 / 2] >> e % 2 * 32) + 0.5) * 0x1p-32;
}
__device__ inline double normal(Key key, i64 e, i64 count) {
    const i64 half = (count + 1) / 2, pair = e < half ? e : e - half;
    const double radius = sqrt(log(1 - unit(key, pair)) * -2), angle = unit(key, half + pair) * 0x1.921fb54442d18p+2;
    return (e < half ? cos(angle) : sin(angle)) * radius;
}
__device__ inline void log_gamma(Key key, const double *alpha, i64 step, i64 n, double *y, int *pending) {
    const int t = threadIdx.x;
    __shared__ u32 last;
    const Key boost_key = part_of(key, 1);
    key = part_of(key, 0);
    i64 left = n;
    for (i64 i = t; i < n; i += 256) pending[i] = (int)i;
    __syncthreads();
    while (left) {
        const Key normal_key = part_of(key, 1), uniform_key = part_of(key, 2);
        key = part_of(key, 0);
        i64 kept = 0;
        for (i64 first = 0; first < left; first += 256) {
            const i64 p = first + t;
            const int i = p < left ? pending[p] : 0;
            bool again = false;
            if (p < left) {
                const double given = alpha[i * step], a = given > 0 && given < infinity() ? given : 1;
                const double d = (a < 1 ? a + 1 : a) - 1.0 / 3, x = normal(normal_key, p, left), root = 1 + 1 / sqrt(9 * d) * x;
                const double v = root * root * root, log_v = v > 0 ? log(v) : 0;
                again = !(v > 0 && log(open_unit(uniform_key, p)) < 0.5 * x * x + d * (1 - v + log_v));
                if (!again) {
                    const double boost = a < 1 ? log(open_unit(boost_key, i)) / a : 0;
                    y[i] = given > 0 && given < infinity() ? log(d) + log_v + boost : (double)__int_as_float(0x7fc00000);
                }
            }
            const u32 upto = running(again);
            if (again) pending[kept + upto - 1] = i;
            if (t == 255) last = upto;
            __syncthreads();
            kept += last;
            __syncthreads();
        }
        left = kept;
    }
}
"""
_GAMMA = """
const Key seed = {key[0], key[1]};
log_gamma(seed, alpha0, step0, count, left0, pending);
for (i64 i = threadIdx.x; i < count; i += 256) put(y + i, (T)(alpha0[i * step0] == 0 ? 0.0 : exp(left0[i])));
"""
_BETA = """
const Key seed = {key[0], key[1]};
log_gamma(part_of(seed, 0), alpha0, step0, count, left0, pending);
__syncthreads();
log_gamma(part_of(seed, 1), alpha1, step1, count, left1, pending);
for (i64 i = threadIdx.x; i < count; i += 256) {
    const double top = larger(left0[i], left1[i]), x = exp(left0[i] - top), z = exp(left1[i] - top);
    put(y + i, (T)(x / (x + z)));
}
"""


def _draw(request, body):
    """The launch of the one block."""
    y, given = request.outputs[0], request.inputs[1:]
    if y.dtype not in ("float16", "bfloat16", "float32", "float64") or y.size > _MOST or request.inputs[0].dtype != "uint32":
        return None
    if any(alpha.dtype != "float64" for alpha in given):
        return None
    if not y.size:
        return []
    alphas = [alpha if alpha.size == 1 else request.copied(alpha.view(y.shape, axes.spread(alpha, y.shape))) for alpha in given]
    left = [request.scratch(y.size * 8, dtype="uint8") for _ in given]
    wide = "double" if y.dtype == "float64" else "float"
    more = (f"{t}{j}" for t in ("const double *alpha", "double *left", "i64 step") for j in range(len(given)))
    parameters = ["const u32 *key", f"{MEMORY[y.dtype]} *y", "i64 count", "int *pending", *more]
    text = source(parameters, f"typedef {wide} T;\n{body}", _THREADS, more=PHILOX + SCAN + _LOG_GAMMA)
    args = [request.dense(0), y, y.size, request.scratch(y.size * 4), *alphas, *left, *(int(alpha.size > 1) for alpha in alphas)]
    return [Launch(text, args, 1, _THREADS)]


@candidate("_gamma_draw")
def gamma(request):
    """Gamma numbers."""
    return _draw(request, _GAMMA)


@candidate("_beta_draw")
def beta(request):
    """Of two gamma numbers, the part that is the first."""
    return _draw(request, _BETA)
