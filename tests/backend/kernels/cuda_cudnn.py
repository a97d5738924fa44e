"""What stands for cuDNN in tests: its convolutions by the ops' own NumPy kernels, on memory of the processor. Import it to have it."""

import ctypes

import numpy as np

from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.autodiff.dtypes import numpy_dtype
from kerasish.backend.kernels.cuda.cudnn import Convolution
from kerasish.ops.conv import _conv_input, _conv_kernel, conv
from tests.backend.kernels import cuda_host as host

_XP = NumpyArrays()


def computed(convolution, address_of):
    """Compute a convolution. ``address_of``: where x, w and y lie."""
    it, dtype = convolution, np.dtype(numpy_dtype(convolution.dtype))
    arrays = {}
    for name, address in address_of.items():
        sizes, steps = it.sizes(name), it.steps(name)
        assert address % 16 == 0 and sorted(steps)[0] == 1
        memory = np.frombuffer((ctypes.c_char * (int(np.prod(sizes)) * dtype.itemsize)).from_address(address), dtype)
        array = np.lib.stride_tricks.as_strided(memory, sizes, [s * dtype.itemsize for s in steps])
        arrays[name] = np.moveaxis(array, (0, 1), (-1, -2)) if name == "w" else np.moveaxis(array, 1, -1)
    assert all(p >= 0 for p in (*it.before, *it.after))
    attrs = {"strides": it.strides, "padding": tuple(zip(it.before, it.after, strict=True)), "data_format": "channels_last",
             "dilation_rate": it.dilation}  # fmt: skip
    x, w, y = (np.ascontiguousarray(arrays[name]) for name in "xwy")
    result = {"y": lambda: conv.kernel(_XP, x, w, **attrs), "x": lambda: _conv_input.kernel(_XP, y, w, shape=x.shape, **attrs),
              "w": lambda: _conv_kernel.kernel(_XP, x, y, shape=w.shape, **attrs)}[it.wanted]()  # fmt: skip
    assert result.shape == arrays[it.wanted].shape
    arrays[it.wanted][...] = result


def run(convolution, addresses):
    """What stands for ``Convolution.run``."""
    with np.errstate(all="ignore"):
        computed(convolution, dict(zip(convolution.arguments, addresses[:-1], strict=True)))


host.LIBRARIES[Convolution] = run
