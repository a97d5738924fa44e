"""Sound in WAV files as arrays."""

import math
import struct

import numpy as np

_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_UNKNOWN_SIZE = 0xFFFFFFFF  # of a file that was written as it came


def read_wav(path):
    """``(sound, rate)`` of a WAV file: float32 (samples, channels) from -1 to 1, and samples per second.

    Samples are integers of 8, 16, 24 or 32 bits, or floats. ValueError for other files and for damaged ones.
    """
    with open(path, "rb") as file:
        data = file.read()
    try:
        chunks = _chunks(data)
        kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunks[b"fmt "])
        if kind == _EXTENSIBLE:
            (kind,) = struct.unpack_from("<H", chunks[b"fmt "], 24)
        return _samples(chunks[b"data"], kind, bits).reshape(-1, channels), rate
    except (KeyError, ValueError, struct.error) as error:
        raise ValueError(f"{path} is no WAV file with uncompressed sound, or is damaged: {error}") from error


def _chunks(data):
    """The parts of a RIFF file by name."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError(f"it begins with {data[:12]!r}")
    chunks, place = {}, 12
    while place + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, place)
        place += 8
        if place + size > len(data) and size != _UNKNOWN_SIZE:
            raise ValueError(f"it breaks off after {len(data) - place:,} of the {size:,} bytes of {name!r}")
        chunks.setdefault(name, data[place : place + size])
        place += size + size % 2
    return chunks


def _samples(data, kind, bits):
    if kind == _FLOAT and bits in (32, 64):
        return np.frombuffer(data, f"<f{bits // 8}").astype("float32")
    if kind != _PCM or bits not in (8, 16, 24, 32):
        raise ValueError(f"its samples have {bits} bits, in the format {kind}")
    if bits == 8:  # the only unsigned ones
        samples = np.frombuffer(data, "u1").astype("float32") - 128
    elif bits == 24:
        wide = np.zeros((len(data) // 3, 4), "u1")
        wide[:, 1:] = np.frombuffer(data, "u1").reshape(-1, 3)
        samples, bits = wide.view("<i4")[:, 0], 32
    else:
        samples = np.frombuffer(data, f"<i{bits // 8}")
    return (samples / np.float32(2 ** (bits - 1))).astype("float32")


def resample(sound, rate, wanted):
    """Sound (samples, channels) at another number of samples per second, without what the new rate can't hold.

    SciPy's polyphase filter does it (the extra ``audio``).
    """
    if rate == wanted:
        return sound
    try:
        from scipy.signal import resample_poly
    except ImportError as error:
        raise ImportError('To use the argument `sampling_rate`, SciPy is needed: pip install "kerasish[audio]"') from error
    common = math.gcd(rate, wanted)
    return resample_poly(sound, wanted // common, rate // common, axis=0).astype("float32")


def fit_length(sound, length):
    """Cut to, or filled up with zeros to, ``length`` samples."""
    sound = sound[:length]
    return np.pad(sound, ((0, length - len(sound)), (0, 0)))
