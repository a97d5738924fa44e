"""The contract: what kernels may ask of the array library they are given as ``xp``.

``xp`` has NumPy's names (taken from ``module``) and the few methods below, which NumPy lacks or names otherwise. A new array
library is a subclass that overrides what it does differently or faster, and hands the rest on.
"""

import contextlib

from kerasish.backend.special import erf, erfc, erfinv

_HERE = contextlib.nullcontext()


class Arrays:
    name = None  # as in ``config.backend()``
    module = None  # the namespace that has NumPy's names
    array_types = ()  # what counts as an array of this library
    block = 1 << 28  # bytes that a kernel of several passes works on at a time: many, where there is no cache to stay in

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        value = getattr(self.module, name)
        setattr(self, name, value)  # found once, then as quick as a method of its own
        return value

    # ---- in and out
    def asarray(self, x, dtype=None):
        """An array of this library from anything array-like; copies only if it must."""
        return self.module.asarray(x, dtype=dtype)

    def scalar(self, x, dtype):
        """A Python number as an operand of elementwise kernels: no transfer to a device."""
        return dtype.type(x)

    def to_numpy(self, array):
        """The values as a ``numpy.ndarray``: the only way out of a device."""
        raise NotImplementedError  # every library has its own; there is no default to fall back on

    def memory(self, nbytes):
        """A block of so many bytes, as uint8, that begins at a multiple of 64."""
        return self.module.empty(nbytes, dtype="uint8")

    def device_scope(self, kind, index):
        """Context in which arrays are made on that device; ValueError where this library has no such device."""
        if kind != "cpu" or index:
            raise ValueError(f"There is no device '{kind}:{index}': {self.name} arrays live on the CPU.")
        return contextlib.nullcontext()

    def beside(self, arrays):
        """Context in which kernels run, and arrays are made, on the device of the first of these arrays."""
        return _HERE

    def is_own(self, array):
        """Whether an array's memory is its own, to be written to: no other array's and nobody's data."""
        return array.flags.owndata and array.flags.writeable

    def synchronize(self):
        """Wait until all that was asked for has been computed: for measuring times."""

    def ahead(self, batches):
        """An iterator of batches that may take the next one, to bring it to the device, while one is worked on."""
        return batches

    def keeps(self, nbytes):
        """Whether data of so many bytes is brought to the device once, and batches are taken there."""
        return False

    def rows(self, arrays, numbers):
        """New arrays of the rows with these numbers, an array of this library or a slice."""
        return [x[numbers].copy() if isinstance(numbers, slice) else self.take(x, numbers, axis=0) for x in arrays]

    def parts(self, n, bytes_each):
        """Slices that cut ``n`` things of so many bytes into parts of about ``block`` bytes."""
        step = max(1, self.block // max(bytes_each, 1))
        return [slice(start, min(start + step, n)) for start in range(0, n, step)]

    def run(self, op, values, attrs):
        """What an op's kernel gives for these arrays."""
        return op.kernel(self, *values, **attrs)

    # ---- log(0) is -inf and 0/0 is NaN, without a warning: around every kernel
    def silence(self):
        """Turn off warnings of floating-point errors; returns what ``unsilence`` needs."""

    def unsilence(self, token):
        """Put the warnings back as they were."""

    # ---- what NumPy has under other names, or not at all
    def scatter_add(self, target, index, values):
        """``target[index] += values`` with repeated indices adding up; changes and returns ``target``."""
        raise NotImplementedError

    def scatter_reduce(self, name, target, index, values):
        """As ``scatter_add`` with the function ``name``: "maximum", "minimum" or "multiply"."""
        getattr(self.module, name).at(target, index, values)
        return target

    def random_bits(self, key, size):
        """``size`` uint32 from the counter-based generator Philox4x64-10 with the key ``(key[0], key[1])``."""
        raise NotImplementedError

    def windows(self, x, sizes, axes):
        """A view with the sliding windows of ``sizes`` along ``axes`` appended as new last axes."""
        return self.module.lib.stride_tricks.sliding_window_view(x, sizes, axis=axes)

    def erf(self, x):
        """The error function."""
        return erf(self.module, x)

    def erfc(self, x):
        """``1 - erf(x)``, exact also where that is tiny."""
        return erfc(self.module, x)

    def erfinv(self, x):
        """Inverse of ``erf`` on (-1, 1)."""
        return erfinv(self.module, x)
