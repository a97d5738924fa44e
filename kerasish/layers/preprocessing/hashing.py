"""Categories without a vocabulary: each value, or each pair of values, is hashed into one of some bins."""

import math

import numpy as np

from kerasish import config
from kerasish.backend.autodiff.op import as_tensor
from kerasish.backend.autodiff.tensor import Tensor
from kerasish.layers.preprocessing.encoding import check_output_mode, encode
from kerasish.layers.preprocessing.fingerprints import CROSS_KEY, farmhash64, join_hashes, siphash64
from kerasish.layers.preprocessing.strings import HostLayer, read, to_bytes
from kerasish.saveable import ForBase


def standardize_salt(salt, who):
    """A salt as Keras keeps it: None, or a list of two integers."""
    if salt is None:
        return None
    if isinstance(salt, (tuple, list)) and len(salt) == 2:
        return list(salt)
    if isinstance(salt, int):
        return [salt, salt]
    raise ValueError(f"The `salt` of `{who}` is an integer or a tuple of 2 integers, not {salt}.")


def hash_bins(values, num_bins, salt=None):
    """The bin, from 0 to ``num_bins - 1``, of each value of an array of strings or numbers: FarmHash64, with a salt SipHash.

    >>> hash_bins(np.array(["A", "B", "C"]), 3).tolist()
    [1, 0, 1]
    """
    different, where = np.unique(values, return_inverse=True)
    strings = to_bytes(different)
    hashes = farmhash64(strings) if salt is None else siphash64(strings, salt)
    return (hashes % np.uint64(num_bins)).astype("int64")[where].reshape(values.shape)


class Hashing(HostLayer):
    """Strings or integers as one of ``num_bins`` numbers, the same on all machines (``keras.layers.Hashing``).

    ``mask_value`` is always bin 0, which then holds nothing else. ``salt`` (one integer, or two) chooses another hash, for which
    nobody can make up collisions who does not know it. ``output_mode``: "int", "one_hot", "multi_hot" or "count".

    >>> Hashing(num_bins=3)([["A"], ["B"], ["C"], ["D"], ["E"]]).tolist()
    [[1], [0], [1], [1], [2]]
    """

    num_bins: int
    mask_value: object = None
    salt: object = None
    output_mode: str = "int"
    sparse: bool = False

    def _init_base(self, dtype=None, **kwargs):
        super()._init_base(dtype=dtype, **kwargs)
        self._default_dtype = dtype is None

    def check(self):
        super().check()
        if self._default_dtype:
            self.dtype_policy = "int64" if self.output_mode == "int" else config.floatx()
        if self.num_bins is None or self.num_bins <= 0:
            raise ValueError(f"The `num_bins` for `Hashing` cannot be `None` or non-positive, got {self.num_bins}.")
        check_output_mode(self)
        if self.output_mode == "int" and self.dtype_policy.name not in ("int32", "int64"):
            raise ValueError(f'When `output_mode="int"`, `dtype` should be an integer type, not {self.dtype_policy.name}')
        self.salt = standardize_salt(self.salt, "Hashing")
        self.strong_hash = self.salt is not None

    def call(self, inputs):
        indices = as_tensor(self._bins(read(inputs))) if self._known(inputs) else Tensor(None, inputs.shape, "int64")
        return encode(indices, self.output_mode, self.num_bins, self.dtype)

    def _bins(self, values):
        if self.mask_value is None or self.num_bins == 1:
            return hash_bins(values, self.num_bins, self.salt)
        return np.where(values == self.mask_value, 0, hash_bins(values, self.num_bins - 1, self.salt) + 1)


class HashedCrossing(HostLayer):
    """Two or more categories together as one of ``num_bins`` numbers (``keras.layers.HashedCrossing``).

    Inputs: a list of strings or integers of one shape, (), (batch,) or (batch, 1). ``output_mode``: "int" or "one_hot".

    >>> HashedCrossing(num_bins=5)((np.array(["A", "B", "A", "B", "A"]), np.array([101, 101, 101, 102, 102]))).tolist()
    [1, 4, 1, 1, 3]
    """

    num_bins: int
    output_mode: str = "int"
    sparse: bool = False
    name: ForBase = None
    dtype: ForBase = None

    def _init_base(self, dtype=None, **kwargs):
        super()._init_base(dtype=dtype, **kwargs)
        self._default_dtype = dtype is None

    def check(self):
        super().check()
        check_output_mode(self, ("int", "one_hot"))
        if self._default_dtype and self.output_mode == "int":
            self.dtype_policy = "int64"

    def call(self, inputs):
        if not isinstance(inputs, (list, tuple)) or len(inputs) < 2:
            raise ValueError(f"Crossing needs at least two inputs: it should be called on a list or tuple, got {inputs}")
        inputs = [x if isinstance(x, Tensor) else read(x) for x in inputs]
        shape = tuple(inputs[0].shape)
        if len(shape) > 2 or (len(shape) == 2 and shape[1] != 1):
            raise ValueError(
                "All `HashedCrossing` inputs should have shape `()`, `(batch,)` or `(batch, 1)`, got "
                f"{[tuple(x.shape) for x in inputs]}"
            )
        if any(tuple(x.shape) != shape for x in inputs):
            raise ValueError(f"`HashedCrossing` inputs should have equal shapes, got {[tuple(x.shape) for x in inputs]}")
        indices = as_tensor(self._bins([read(x) for x in inputs])) if self._known(*inputs) else Tensor(None, shape, "int64")
        return encode(indices, self.output_mode, self.num_bins, self.compute_dtype)

    def _bins(self, columns):
        joined = np.full(math.prod(columns[0].shape), np.uint64(CROSS_KEY))
        for values in columns:
            if values.dtype.kind not in "Uiu":
                raise ValueError(f"Crossed inputs should have an integer or string dtype, got {values.dtype}")
            own = farmhash64(to_bytes(values)) if values.dtype.kind == "U" else values.ravel().astype("int64").view("uint64")
            joined = join_hashes(joined, own)
        return (joined % np.uint64(self.num_bins)).astype("int64").reshape(columns[0].shape)

    def get_config(self):
        return {name: getattr(self, name) for name in ("num_bins", "output_mode", "sparse", "name", "dtype")}
