"""Random bits, and what is made of them: the same numbers as the ops' NumPy kernels draw.

Philox4x64-10 makes 32 bytes of a counter and a key by ten rounds of two products of 64 times 64 bits. The processor's scalar
multiplication gives all 128 bits of a product at once, one in each cycle, and blocks don't depend on each other, so it is kept
busy. Vectors would be no faster: they have no such product, and put it together from four of 32 bits and a dozen additions.

Bits go to scratch memory, and a second kernel makes numbers of them, without fusing a product and a sum into one
rounding, as NumPy would not either.
"""

import numpy as np
from llvmlite import ir

from kerasish.backend.kernels.candidates import Buffer, candidate
from kerasish.backend.kernels.copy import filled, pointer_to, views_of
from kerasish.backend.kernels.emit import SIZE, Value, f32, f64, i8, i32, i64, lanes

_MULTIPLIERS = 0xD2E7470EE14C6C93, 0xCA5A826395121157
_WEYL = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
_BLOCK = 32  # bytes that one counter gives
_i128 = ir.IntType(128)


# ---- bits
def emit_bits(k):
    """Arguments: key (two uint32), where to, number of blocks, blocks for each task. The first counter is 1, as in NumPy."""
    key, y, count, each = k.arg(0, i32), k.integers(1), k.arg(2, i64), k.arg(3, i64)
    keys = [key[i].to(i64, signed=False) for i in range(2)]
    with k.range(k.task * each, k.minimum(k.task * each + each, count)) as i:
        for w, word in enumerate(_philox(k, i + 1, keys)):
            y[i * 4 + w] = word


def _philox(k, counter, keys):
    """The four words of a block."""
    c0, c1, c2, c3 = counter, k.const(0), k.const(0), k.const(0)
    for i in range(10):
        key0, key1 = (key + _signed(i * step) for key, step in zip(keys, _WEYL, strict=True))
        (high0, low0), (high1, low1) = _product(k, c0, _MULTIPLIERS[0]), _product(k, c2, _MULTIPLIERS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ key0, low1, high0 ^ c3 ^ key1, low0
    return c0, c1, c2, c3


def _signed(x):
    x %= 1 << 64
    return x - (x >> 63 << 64)


def _product(k, x, constant):
    """The upper and the lower 64 bits of ``x * constant``."""
    b = k.builder
    product = b.mul(b.zext(x.ir, _i128), ir.Constant(_i128, constant))
    return Value(k, b.trunc(b.lshr(product, ir.Constant(_i128, 64)), i64)), Value(k, b.trunc(product, i64))


def _bits(request, nbytes):
    """Scratch memory with so many random bytes, and the instruction that draws them; None for a key of another dtype."""
    if request.inputs[0].dtype != "uint32":
        return None
    blocks = -(-nbytes // _BLOCK)
    y, each = request.scratch(blocks * _BLOCK), max(256, -(-blocks // (4 * request.threads)))
    return y, request.kernel(emit_bits, [request.dense(0), y, blocks, each], -(-blocks // each))


@candidate("random_bits")
def _random_bits(request):
    y = request.outputs[0]
    drawn = _bits(request, 4 * y.size)
    return drawn and [drawn[1], request.copy(Buffer(drawn[0].base, y.shape, y.dtype), y)]


def _cut(request, size, nbytes):
    """Elements for each task, and tasks, for elements of so many bytes."""
    each = max((1 << 16) // nbytes, -(-size // (4 * request.threads)))
    return each, -(-size // each)


# ---- uniform numbers
def emit_uniform(k, element, scaled, shifted):
    """Floats of the top bits. Arguments: bits, y, how many, how many a task, then the bits of floats: the width of the interval,
    its lower end, the last number in it."""
    t, word, digits = (f32, i32, 24) if element == "float32" else (f64, i64, 53)
    words, y, count, each = pointer_to(k, 0, word), k.arg(1, t), k.arg(2, i64), k.arg(3, i64)
    width, low, last = (k.arg(i, i64).to(word).bits(t) for i in range(4, 7))
    n = k.lanes * 4 // SIZE[t]

    def body(i, v):
        x = (v.load(words, i) >> SIZE[t] * 8 - digits).to(t) * 2.0**-digits
        if scaled:
            x = _rounded(k.builder.fmul, x, width)
        if shifted:
            x = _rounded(k.builder.fadd, x, low)
            x = k.select(x > last, last, x)
            x = k.select(x < low, low, x)
        v.store(x, y, i)

    k.each_vector(k.task * each, k.minimum(k.task * each + each, count), body, n, unroll=4)


def _rounded(operation, x, number):
    """A product or a sum that is rounded by itself, not fused with another one."""
    return Value(x.k, operation(x.ir, number.splat(lanes(x.type)).ir))


@candidate("_uniform")
def _uniform(request):
    y, low, high = request.outputs[0], request.attrs["low"], request.attrs["high"]
    if y.dtype not in ("float32", "float64"):
        return None
    drawn = _bits(request, y.size * y.itemsize)
    if drawn is None or not y.size:
        return drawn and []
    each, tasks = _cut(request, y.size, y.itemsize)
    end, number = np.array(high, y.dtype), np.dtype(y.dtype).type
    floats = [number(high - low), number(low), np.nextafter(end, number(-np.inf))]
    args = [drawn[0], y, y.size, each, *(int(np.array(x).view(f"int{8 * y.itemsize}")) for x in floats)]
    options = {"element": y.dtype, "scaled": high - low != 1, "shifted": bool(low or high < 0)}
    return [drawn[1], request.kernel(emit_uniform, args, tasks, **options)]


# ---- dropout
def emit_keep(k, ties):
    """Whether a byte is at least the threshold; one that is equal to it goes by 32 more bits, where ``ties``. Arguments: bits, y,
    how many, how many a task, threshold, and for ties how many numbers of 32 bits stand before the bytes, and what they must reach.
    """
    y, count, each, threshold, spare, rest = k.arg(1, i8), *(k.arg(i, i64) for i in range(2, 7))
    more, coarse, n = k.arg(0, i32), k.arg(0, i8) + spare * 4, k.lanes * 4
    start = k.task * each
    stop = k.minimum(start + each, count)
    border = (threshold ^ 128).to(i8).splat(n)

    def decide(place):
        y[place] = (more[place % spare].to(i64, signed=False) >= rest).to(i8)

    def body(i, v):
        x = v.load(coarse, i) ^ -128  # so that signed comparison does
        v.store((x >= border).to(i8), y, i)
        if ties:
            same = x.equals(border)
            k.each_bit(same if v.mask is None else same & v.mask, lambda lane: decide(i + lane))

    k.each_vector(start, stop, body, n)


@candidate("keep_mask")
def _keep_mask(request):
    y, rate = request.outputs[0], request.attrs["rate"]
    if rate >= 1:
        return [filled(request, y)]
    threshold, rest = divmod(min(round(rate * 2**40), 2**40 - 1), 2**32)
    spare = -(-y.size // 256) if rest else 0
    drawn = _bits(request, 4 * spare + y.size)
    if drawn is None or not y.size:
        return drawn and []
    each, tasks = _cut(request, y.size, 1)
    args = [drawn[0], y, y.size, each, threshold, spare, rest]
    return [drawn[1], request.kernel(emit_keep, args, tasks, ties=bool(rest))]


def emit_masked_scale(k, element):
    """``x * scale`` where the mask is true, else 0. Arguments: x, mask, y, how many, how many a task, bits of the scale."""
    t, word = (f32, i32) if element == "float32" else (f64, i64)
    x, mask, y, count, each = k.arg(0, t), k.arg(1, i8), k.arg(2, t), k.arg(3, i64), k.arg(4, i64)
    scale, n = k.arg(5, i64).to(word).bits(t), k.lanes * 4 // SIZE[t]

    def body(i, v):
        v.store(k.select(v.load(mask, i).differs(0), v.load(x, i), k.vector(0, t, n)) * scale, y, i)

    k.each_vector(k.task * each, k.minimum(k.task * each + each, count), body, n, unroll=4)


@candidate("masked_scale")
def _masked_scale(request):
    x, mask, y = *request.inputs, request.outputs[0]
    if x.dtype not in ("float32", "float64") or not y.size:
        return None
    if mask.shape != x.shape:
        mask = views_of(lambda xp, m, shape: xp.broadcast_to(m, shape), mask, {"shape": x.shape})[0]
    mask = mask if mask.dense else request.copied(mask)
    each, tasks = _cut(request, y.size, y.itemsize)
    scale = int(np.array(request.attrs["scale"], y.dtype).view(f"int{8 * y.itemsize}"))
    return [request.kernel(emit_masked_scale, [request.dense(0), mask, y, y.size, each, scale], tasks, element=y.dtype)]
