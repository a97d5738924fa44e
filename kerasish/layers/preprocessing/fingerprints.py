"""The two hashes of strings that Keras's layers use, FarmHash64 and SipHash-2-4, for many strings at once.

Strings of one length go through the arithmetic together, as arrays of uint64, which wrap around as these hashes want it.
"""

import math

import numpy as np

_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F  # FarmHash's own primes
_CAT = 0xC6A4A7935BD1E995  # the factor of Murmur, with which TensorFlow joins hashes
CROSS_KEY = 0xDECAFCAFFE  # what TensorFlow starts the hash of a cross of features with


def farmhash64(strings):
    """FarmHash's 64-bit fingerprint of each of a list of ``bytes``, as uint64 (Google FarmHash, ``farmhash::Fingerprint64``).

    >>> [hex(int(x)) for x in farmhash64([b"", b"hello"])]
    ['0x9ae16a3b2f90404f', '0xb48be5a931380ce8']
    """
    return _by_length(strings, _farmhash)


def siphash64(strings, key):
    """SipHash-2-4 of each of a list of ``bytes`` under a key of two integers, as uint64 (Aumasson and Bernstein, 2012).

    >>> hex(int(siphash64([bytes(range(15))], (0x0706050403020100, 0x0F0E0D0C0B0A0908))[0]))
    '0xa129ca6149be45e5'
    """
    return _by_length(strings, lambda data: _siphash(data, *(_u64(int(k)) for k in key)))


def join_hashes(first, second):
    """One hash of two, as TensorFlow's ``FingerprintCat64`` makes it. Both are uint64 arrays.

    >>> join_hashes(np.uint64([1]), np.uint64([2])).dtype.name
    'uint64'
    """
    factor = _u64(_CAT)
    result = (first ^ factor ^ (_mix(second * factor) * factor)) * factor
    return _mix(_mix(result) * factor)


def _by_length(strings, hash_of):
    lengths = np.array([len(s) for s in strings], dtype="int64")
    out = np.empty(len(strings), dtype="uint64")
    for n in np.unique(lengths):
        (where,) = np.nonzero(lengths == n)
        data = np.frombuffer(b"".join(strings[i] for i in where), dtype="uint8").reshape(len(where), n)
        out[where] = hash_of(data)
    return out


def _u64(value):
    return np.uint64(value % 2**64)


def _word(data, at, size=8):
    """The little-endian number in ``size`` bytes from ``at`` on of each row."""
    return np.ascontiguousarray(data[:, at : at + size]).view(f"<u{size}")[:, 0].astype("uint64")


def _rotate(x, bits):
    """Bits moved to the right, and in again from the left."""
    return (x >> np.uint64(bits)) | (x << np.uint64(64 - bits))


def _mix(x):
    return x ^ (x >> np.uint64(47))


# ---- FarmHash
def _join(u, v, factor):
    a = _mix((u ^ v) * factor)
    return _mix((v ^ a) * factor) * factor


def _farmhash(data):
    n = data.shape[1]
    for limit, hash_of in ((0, _farm_0), (3, _farm_3), (7, _farm_7), (16, _farm_16), (32, _farm_32), (64, _farm_64)):
        if n <= limit:
            return hash_of(data, n, _u64(_K2 + 2 * n))
    return _farm_long(data, n)


def _farm_0(data, n, factor):
    return np.full(len(data), _u64(_K2))


def _farm_3(data, n, factor):
    first, middle, last = (data[:, i].astype("uint64") for i in (0, n >> 1, n - 1))
    y, z = first + (middle << np.uint64(8)), np.uint64(n) + (last << np.uint64(2))
    return _mix(y * _u64(_K2) ^ z * _u64(_K0)) * _u64(_K2)


def _farm_7(data, n, factor):
    return _join(np.uint64(n) + (_word(data, 0, 4) << np.uint64(3)), _word(data, n - 4, 4), factor)


def _farm_16(data, n, factor):
    a, b = _word(data, 0) + _u64(_K2), _word(data, n - 8)
    return _join(_rotate(b, 37) * factor + a, (_rotate(a, 25) + b) * factor, factor)


def _ends(data, n, factor, first_factor):
    """What strings of 17 to 64 bytes begin with: the first and the last 16 bytes, in two sums."""
    a, b = _word(data, 0) * _u64(first_factor), _word(data, 8)
    c, d = _word(data, n - 8) * factor, _word(data, n - 16) * _u64(_K2)
    return _rotate(a + b, 43) + _rotate(c, 30) + d, a + _rotate(b + _u64(_K2), 18) + c


def _farm_32(data, n, factor):
    return _join(*_ends(data, n, factor, _K1), factor)


def _farm_64(data, n, factor):
    y, z = _ends(data, n, factor, _K2)
    z = _join(y, z, factor)
    a = _word(data, 0) * _u64(_K2)
    e, f = _word(data, 16) * factor, _word(data, 24)
    g, h = (y + _word(data, n - 32)) * factor, (z + _word(data, n - 24)) * factor
    return _join(_rotate(e + f, 43) + _rotate(g, 30) + h, e + _rotate(f + a, 18) + g, factor)


def _farm_long(data, n):
    """More than 64 bytes: 64 at a time, and the last 64 once more with another factor."""
    seed = 81
    y = np.full(len(data), _u64(seed * _K1 + 113))
    z = _mix(y * _u64(_K2) + np.uint64(113)) * _u64(_K2)
    x = _word(data, 0) + _u64(seed * _K2)
    v = w = (np.zeros_like(x), np.zeros_like(x))
    for at in range(0, (n - 1) // 64 * 64, 64):
        x, y, z, v, w = _farm_block(data, at, x, y, z, v, w, _u64(_K1), np.uint64(1))
    factor = _u64(_K1) + ((z & np.uint64(0xFF)) << np.uint64(1))
    w = (w[0] + np.uint64((n - 1) & 63), w[1])
    v = (v[0] + w[0], v[1])
    w = (w[0] + v[0], w[1])
    x, y, z, v, w = _farm_block(data, n - 64, x, y, z, v, w, factor, np.uint64(9))
    return _join(_join(v[0], w[0], factor) + _mix(y) * _u64(_K0) + z, _join(v[1], w[1], factor) + x, factor)


def _farm_block(data, at, x, y, z, v, w, factor, weight):
    x = _rotate(x + y + v[0] + _word(data, at + 8), 37) * factor ^ w[1] * weight
    y = _rotate(y + v[1] + _word(data, at + 48), 42) * factor + v[0] * weight + _word(data, at + 40)
    z = _rotate(z + w[0], 33) * factor
    v = _farm_32_bytes(data, at, v[1] * factor, x + w[0])
    w = _farm_32_bytes(data, at + 32, z + w[1], y + _word(data, at + 16))
    return z, y, x, v, w


def _farm_32_bytes(data, at, a, b):
    words = [_word(data, at + 8 * i) for i in range(4)]
    a = a + words[0]
    b = _rotate(b + a + words[3], 21)
    total = a + words[1] + words[2]
    return total + words[3], b + _rotate(total, 44) + a


# ---- SipHash
def _siphash(data, k0, k1):
    n = data.shape[1]
    padded = np.zeros((len(data), 8 * math.ceil((n + 1) / 8)), dtype="uint8")
    padded[:, :n], padded[:, -1] = data, n & 0xFF
    start = np.zeros(len(data), dtype="uint64")
    v = [start ^ k ^ _u64(c) for k, c in zip((k0, k1) * 2, (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573),
                                             strict=True)]  # fmt: skip
    for at in range(0, padded.shape[1], 8):
        word = _word(padded, at)
        v[3] = v[3] ^ word
        v = _sip_round(*_sip_round(*v))
        v[0] = v[0] ^ word
    v[2] = v[2] ^ np.uint64(0xFF)
    for _ in range(4):
        v = _sip_round(*v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def _sip_round(a, b, c, d):
    a, c = a + b, c + d
    b, d = _left(b, 13) ^ a, _left(d, 16) ^ c
    a, c = _left(a, 32) + d, c + b
    b, d = _left(b, 17) ^ c, _left(d, 21) ^ a
    return [a, b, _left(c, 32), d]


def _left(x, bits):
    return _rotate(x, 64 - bits)
