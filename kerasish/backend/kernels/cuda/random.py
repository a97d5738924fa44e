"""Random bits and what is made of them, in one launch: a thread draws a block of 32 bytes and makes numbers of it at once.

The generator and the use of its bits are those of ``backend/random.py``, so the numbers are the same on every device.
"""

import numpy as np

from kerasish.backend.arrays.cupy import PHILOX
from kerasish.backend.kernels.cuda.launch import THREADS, candidate, source
from kerasish.backend.kernels.cuda.prelude import MEMORY

_BLOCK = 32  # bytes that one counter gives


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
    if (scaled) x = %(multiply)s(x, width);
    if (shifted) {
        x = %(add)s(x, low);
        x = x > last ? last : x;
        x = x < low ? low : x;
    }
    y[e] = x;
}"""


@candidate("_uniform")
def uniform(request):
    """Floats of the top bits; product and sum are rounded each by itself, as NumPy does."""
    y, low, high = request.outputs[0], request.attrs["low"], request.attrs["high"]
    if y.dtype not in ("float32", "float64"):
        return None
    single, number = y.dtype == "float32", np.dtype(y.dtype).type
    bits, digits = (32, 24) if single else (64, 53)
    names = {"type": MEMORY[y.dtype], "word": "u32" if single else "u64", "bits": bits % 64, "in_word": 64 // bits, "each": 256 // bits,
             "shift": bits - digits, "step": (2.0**-digits).hex(), "multiply": "__fmul_rn" if single else "__dmul_rn",
             "add": "__fadd_rn" if single else "__dadd_rn"}  # fmt: skip
    code = "int" if single else "i64"
    given = "".join(f"{names['type']} {name}; from_bits(&{name}, {name}_bits);\n" for name in ("width", "low", "last"))
    copy = f"__device__ inline void from_bits({names['type']} *x, i64 bits) {{ {code} b = ({code})bits; *({code} *)x = b; }}\n"
    parameters = [f"{names['type']} *y", "i64 count", "i64 scaled", "i64 shifted", "i64 width_bits", "i64 low_bits", "i64 last_bits"]
    body = given + _UNIFORM % names
    start = _drawing(parameters, body).replace('extern "C"', copy + 'extern "C"')
    floats = [number(high - low), number(low), np.nextafter(np.array(high, y.dtype), number(-np.inf))]
    args = [y, y.size, int(high - low != 1), int(bool(low or high < 0)), *(int(np.array(x).view(f"int{bits}")) for x in floats)]
    return _draw(request, start, args, y.size * y.itemsize)


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
