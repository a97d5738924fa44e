"""Random bits and what is made of them, in one launch: a thread draws a block of 32 bytes and makes numbers of it at once.

The generator and the use of its bits are those of ``backend/random.py``, so the numbers are the same on every device: whole numbers and
uniform ones to the last bit, others up to the rounding of logarithms and the like. Drawing a block takes some 100 instructions,
which is about what writing its 32 bytes takes.
"""

import math

import numpy as np

from kerasish.backend.arrays.cupy import PHILOX
from kerasish.backend.autodiff.dtypes import numpy_dtype
from kerasish.backend.kernels.cuda.launch import THREADS, Launch, candidate, source
from kerasish.backend.kernels.cuda.prelude import MEMORY, REGISTER, number, rounded

_BLOCK = 32  # bytes that one counter gives
# as in backend/random.py, which stands above all kernels: bits drawn and bits used, a polynomial for erfinv, and where it is cut off
_FORMATS = {"float16": (16, 11), "bfloat16": (16, 8), "float32": (32, 24), "float64": (64, 53)}
_ERFINV = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164,
           0.246640727, 1.50140941)  # fmt: skip
_ERF_OF_TWO_SIGMA = math.erf(math.sqrt(2.0))


def _drawing(parameters, body):
    """A source whose threads have block number ``i``, its words in ``words``."""
    start = f"""const i64 i = (i64)blockIdx.x * {THREADS} + threadIdx.x;
if (i >= blocks) return;
u64 words[4];
philox_block(key[0], key[1], i + 1, words);
"""
    return source(["const u32 *key", "i64 blocks", *parameters], start + body, THREADS, more=PHILOX)


def _draw(request, text, args, nbytes):
    if request.inputs[0].dtype != "uint32":
        return None
    blocks = -(-nbytes // _BLOCK)
    return [request.each(text, [request.dense(0), blocks, *args], blocks)] if nbytes else []


@candidate("random_bits")
def random_bits(request):
    """Bits as they come."""
    y = request.outputs[0]
    body = "for (int j = 0; j < 8; ++j) if (i * 8 + j < count) y[i * 8 + j] = (u32)(words[j / 2] >> j % 2 * 32);"
    text = _drawing(["u32 *y", "i64 count"], body)
    return _draw(request, text, [y, y.size], 4 * y.size)


_UNIFORM = r"""
for (int j = 0; j < %(each)d; ++j) {
    const i64 e = i * %(each)d + j;
    if (e >= count) break;
    const u64 word = words[j / %(in_word)d] >> j %% %(in_word)d * %(bits)d;
    %(type)s x = (%(type)s)(%(word)s)((%(word)s)word >> %(shift)d) * (%(type)s)%(step)s;
    if (scaled) x = %(multiply)s;
    if (shifted) {
        x = %(add)s;
        x = x > last ? last : x;
        x = x < first ? first : x;
    }
    put(y + e, (%(register)s)x);
}"""


@candidate("_uniform")
def uniform(request):
    """Floats of the top bits; product and sum are rounded each by itself, as NumPy does."""
    y, low, high = request.outputs[0], request.attrs["low"], request.attrs["high"]
    if y.dtype not in _FORMATS or y.dtype not in REGISTER:
        return None
    (bits, digits), exact = _FORMATS[y.dtype], numpy_dtype(y.dtype)
    wide = "float64" if y.dtype in ("float64", "bfloat16") else "float32"  # NumPy multiplies bfloat16 with a number in float64
    t, register, letter = MEMORY[wide], REGISTER[y.dtype], "d" if wide == "float64" else "f"
    names = {"type": t, "register": register, "word": f"u{bits}", "bits": bits % 64, "in_word": 64 // bits, "each": 256 // bits,
             "shift": bits - digits, "step": (2.0**-digits).hex(), "multiply": rounded(f"({register})__{letter}mul_rn(x, width)", y.dtype),
             "add": rounded(f"({register})__{letter}add_rn(x, low)", y.dtype)}  # fmt: skip
    made, given = ("__longlong_as_double(bits)", "int64") if t == "double" else ("__int_as_float((int)bits)", "int32")
    numbers = ("width", "low", "first", "last")
    body = "".join(f"const {t} {name} = from_bits({name}_bits);\n" for name in numbers) + _UNIFORM % names
    copy = f"__device__ inline {t} from_bits(i64 bits) {{ return {made}; }}\n"
    parameters = [f"{MEMORY[y.dtype]} *y", "i64 count", "i64 scaled", "i64 shifted", *(f"i64 {name}_bits" for name in numbers)]
    text = _drawing(parameters, body).replace('extern "C"', copy + 'extern "C"')
    given_as = exact if y.dtype != "bfloat16" else wide
    last = np.nextafter(np.array(high, exact), np.array(-np.inf, exact))
    floats = np.array(high - low, given_as), np.array(low, given_as), np.array(low, exact), last
    bits_of = [int(x.astype(wide).view(given)) for x in floats]
    return _draw(request, text, [y, y.size, int(high - low != 1), int(bool(low or high < 0)), *bits_of], y.size * y.itemsize)


_KEEP = r"""
const i64 first = i * 32 - spare * 4;
for (int group = 0; group < 8; ++group) {
    const i64 e = first + group * 4;
    if (e < 0 || e >= count) continue;
    const u32 bytes = (u32)(words[group / 2] >> group % 2 * 32);
    u32 kept = 0;
    for (int j = 0; j < 4; ++j) {
        const u32 byte = bytes >> j * 8 & 255;
        bool keep = byte >= threshold;
        if (rest && byte == threshold && e + j < count) {  // a tie: 32 bits more decide
            const i64 place = (e + j) % spare;
            u64 more[4];
            philox_block(key[0], key[1], place / 8 + 1, more);
            keep = (i64)(u32)(more[place % 8 / 2] >> place % 2 * 32) >= rest;
        }
        kept |= (u32)keep << j * 8;
    }
    if (e + 4 <= count) *(u32 *)(y + e) = kept;
    else for (int j = 0; e + j < count; ++j) y[e + j] = (u8)(kept >> j * 8);
}"""


@candidate("keep_mask")
def keep_mask(request):
    """The mask of dropout."""
    y, rate = request.outputs[0], request.attrs["rate"]
    if rate >= 1 or y.offset % 4:
        return None
    threshold, rest = divmod(min(round(rate * 2**40), 2**40 - 1), 2**32)
    spare = -(-y.size // 256) if rest else 0
    text = _drawing(["u8 *y", "i64 count", "i64 threshold", "i64 rest", "i64 spare"], _KEEP)
    return _draw(request, text, [y, y.size, threshold, rest, spare], (4 * spare + y.size) * bool(y.size))


# ---- normal numbers
_UNIT = r"""
// number e of a sequence of uniform ones, when block e / %(each)d is there
__device__ inline %(type)s unit(const u64 *words, int e) {
    const u64 word = words[e / %(in_word)d] >> e %% %(in_word)d * %(bits)d;
    return (%(type)s)((%(word)s)word >> %(shift)d) * (%(type)s)%(step)s;
}
"""
_NORMAL = r"""
const i64 half = (total + 1) / 2;
u64 other[4];
i64 have = -1;
for (int j = 0; j < %(each)d; ++j) {
    const i64 e = i * %(each)d + j, there = half + e;
    if (e >= half) break;
    if (there / %(each)d != have) {
        have = there / %(each)d;
        philox_block(key[0], key[1], have + 1, other);
    }
    const %(type)s radius = %(sqrt)s(%(log)s(1 - unit(words, j)) * -2);
    const %(type)s angle = unit(other, (int)(there %% %(each)d)) * %(turn)s;
    const %(type)s first = %(cos)s(angle) * radius, second = %(sin)s(angle) * radius;
    put(y + e, %(scaled)s(first));
    if (there < total) put(y + there, %(scaled)s(second));
}"""
_TRUNCATED = {"float": r"""
for (int j = 0; j < 8; ++j) {
    const i64 e = i * 8 + j;
    if (e >= total) break;
    const float x = (float)((int)(u32)(words[j / 2] >> j % 2 * 32) >> 7) * FACTOR;
    const float w = -2.5f - logf(__fadd_rn(1.0f, -__fmul_rn(x, x)));
    float z = w * FIRST;
    const float middle[] = {MIDDLE};
    #pragma unroll
    for (int k = 0; k < COUNT; ++k) z = __fmul_rn(__fadd_rn(z, middle[k]), w);
    z = __fmul_rn(__fmul_rn(__fadd_rn(z, LAST), x), ROOT);
    put(y + e, SCALED(z < -2 ? -2.0f : z > 2 ? 2.0f : z));
}""", "double": r"""
for (int j = 0; j < 4; ++j) {
    const i64 e = i * 4 + j;
    if (e >= total) break;
    const double z = erfinv((2 * unit(words, j) - 1) * FACTOR) * ROOT;
    put(y + e, SCALED(z < -2 ? -2.0 : z > 2 ? 2.0 : z));
}"""}  # fmt: skip


def _kind(dtype):
    """How floats are made of words: the type, bits drawn, the width of a shift and so on, and functions."""
    t = "double" if dtype == "float64" else "float"
    bits, digits = (64, 53) if t == "double" else (32, 24)
    names = {"type": t, "word": "u64" if t == "double" else "u32", "bits": bits % 64, "in_word": 64 // bits, "each": 256 // bits,
             "shift": bits - digits, "step": (2.0**-digits).hex(), "turn": number(2 * math.pi, f"float{bits}")}  # fmt: skip
    return {**names, **{name: name if t == "double" else name + "f" for name in ("sqrt", "log", "cos", "sin")}}


def _scaled(attrs, dtype):
    """C of a function that scales and shifts, each rounded by itself."""
    t, wide = ("double", "float64") if dtype == "float64" else ("float", "float32")
    operation = "d" if t == "double" else "f"
    x = "x" if attrs["stddev"] == 1 else f"__{operation}mul_rn(x, deviation)"
    x = f"__{operation}add_rn({x}, mean)" if attrs["mean"] else x
    given = "".join(f"const {t} {name} = {number(attrs[key], wide)}; " for name, key in (("deviation", "stddev"), ("mean", "mean")))
    return f"__device__ inline {t} scaled({t} x) {{ {given}return {x}; }}\n"


def _normal(request, body, blocks, more):
    y = request.outputs[0]
    if y.dtype not in ("float16", "bfloat16", "float32", "float64") or request.inputs[0].dtype != "uint32":
        return None
    if not y.size:
        return []
    more = _scaled(request.attrs, y.dtype) + more
    text = _drawing([f"{MEMORY[y.dtype]} *y", "i64 total"], body).replace('extern "C"', more + 'extern "C"')
    return [request.each(text, [request.dense(0), blocks, y, y.size], blocks)]


@candidate("_standard_normal")
def normal(request):
    """Box and Muller: a thread has the first numbers of some pairs in one block and draws the second ones, which lie half the way on."""
    names, y = _kind(request.outputs[0].dtype), request.outputs[0]
    return _normal(request, _NORMAL % {**names, "scaled": "scaled"}, -(-((y.size + 1) // 2) // names["each"]), _UNIT % names)


@candidate("_standard_truncated_normal")
def truncated_normal(request):
    """The inverse of the distribution function."""
    names, y = _kind(request.outputs[0].dtype), request.outputs[0]
    wide = "float64" if names["type"] == "double" else "float32"
    factor = _ERF_OF_TWO_SIGMA if wide == "float64" else _ERF_OF_TWO_SIGMA * 2.0**-24
    first, *middle, last = (number(c, wide) for c in _ERFINV)
    given = {"FACTOR": number(factor, wide), "FIRST": first, "LAST": last, "COUNT": len(middle), "MIDDLE": ", ".join(middle),
             "ROOT": number(math.sqrt(2), wide), "SCALED": "scaled"}  # fmt: skip
    body = _TRUNCATED[names["type"]]
    for name, value in given.items():
        body = body.replace(name, str(value))
    return _normal(request, body, -(-y.size // names["each"]), _UNIT % names)


# ---- whole numbers
@candidate("_randint")
def whole_numbers(request):
    """The upper half of a product of 64 random bits and the number of choices."""
    y, bounds = request.outputs[0], request.inputs[1:]
    if y.dtype not in ("int32", "int64", "uint8", "uint32") or any(b.dtype != "int64" or b.size not in (1, y.size) for b in bounds):
        return None
    body = """
for (int j = 0; j < 4; ++j) {
    const i64 e = i * 4 + j;
    if (e >= count) break;
    const i64 from = low[e * low_step], to = high[e * high_step];
    y[e] = (%s)(from + (i64)__umul64hi(words[j], to > from ? (u64)(to - from) : 0));
}"""
    m = MEMORY[y.dtype]
    text = _drawing(["const i64 *low", "const i64 *high", f"{m} *y", "i64 count", "i64 low_step", "i64 high_step"], body % m)
    steps = [int(b.size > 1) for b in bounds]
    return _draw(request, text, [request.dense(1), request.dense(2), y, y.size, *steps], 8 * y.size)


_CATEGORICAL = """
const i64 sample = (i64)blockIdx.x * %(samples)d + threadIdx.x / 32;
const bool there = sample < count;
const i64 first = (there ? sample : 0) * classes, row = (there ? sample : 0) / each;
Best<double> best = {-infinity(), 0x7fffffff};
for (i64 block = first / 8 + threadIdx.x %% 32; block * 8 < first + classes; block += 32) {
    u64 words[4];
    philox_block(key[0], key[1], block + 1, words);
    for (int j = 0; j < 8; ++j) {
        const i64 c = block * 8 + j - first;
        if (c < 0 || c >= classes) continue;
        const double uniform = ((double)(u32)(words[j / 2] >> j %% 2 * 32) + 0.5) * 0x1p-32;
        const Best<double> one = {-log(-log(uniform)) + (double)get(logits[row * classes + c]), (int)c};
        best = better<ArgMax>(one, best);
    }
}
const int place = best_across<ArgMax, 32, %(threads)d>(best);
if (there && threadIdx.x %% 32 == 0) y[sample] = (%(type)s)place;
"""


@candidate("_categorical")
def categorical(request):
    """Gumbel's trick: a warp for each sample."""
    (key, logits), y = request.inputs, request.outputs[0]
    known = y.dtype in ("int32", "int64") and "float" in logits.dtype and logits.dtype in REGISTER and key.dtype == "uint32"
    if not known or not logits.size:
        return None
    if not y.size:
        return []
    parameters = ["const u32 *key", f"const {MEMORY[logits.dtype]} *logits", f"{MEMORY[y.dtype]} *y",
                  *(f"i64 {name}" for name in ("count", "each", "classes"))]  # fmt: skip
    samples = THREADS // 32
    text = source(parameters, _CATEGORICAL % {"samples": samples, "threads": THREADS, "type": MEMORY[y.dtype]}, THREADS, more=PHILOX)
    args = [request.dense(0), request.dense(1), y, y.size, y.shape[1], logits.shape[1]]
    return [Launch(text, args, -(-y.size // samples), THREADS)]
