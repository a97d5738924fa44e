"""What stands for NVIDIA's libraries in tests: their C functions in Python, on memory of the processor."""

import ctypes
import functools

import numpy as np

from kerasish.backend.autodiff.dtypes import numpy_dtype
from kerasish.backend.kernels.cuda import cublaslt

KINDS = {0: "float32", 1: "float64", 2: "float16", 14: "bfloat16"}
_SIZES = {"operation": {3: 4, 4: 4}, "layout": {5: 4, 6: 8}, "preference": {1: 8, 3: 4, 5: 4, 6: 4, 7: 4, 8: 4}}  # bytes of attributes
INVALID = 7


class HostBlasLt:
    """cuBLASLt as far as products need it. A matrix's columns lie one behind the other, ``ld`` elements apart."""

    def __init__(self):
        self.made, self.products = {}, 0

    def _new(self, place, kind, **what):
        place._obj.value = number = len(self.made) + 1
        self.made[number] = {"kind": kind, **what}
        return 0

    def _set(self, kind, descriptor, attribute, value, nbytes):
        it = self.made[descriptor.value]
        if it["kind"] != kind or _SIZES[kind].get(attribute) != nbytes or ctypes.sizeof(value._obj) != nbytes:
            return INVALID
        it[attribute] = value._obj.value
        return 0

    def cublasLtCreate(self, place):
        return self._new(place, "handle")

    def cublasLtMatmulDescCreate(self, place, compute, scale):
        return self._new(place, "operation", compute=compute, scale=scale)

    def cublasLtMatrixLayoutCreate(self, place, kind, rows, columns, ld):
        return self._new(place, "layout", dtype=KINDS[kind], rows=rows, columns=columns, ld=ld)

    def cublasLtMatmulPreferenceCreate(self, place):
        return self._new(place, "preference")

    def cublasLtMatmulDescSetAttribute(self, *args):
        return self._set("operation", *args)

    def cublasLtMatrixLayoutSetAttribute(self, *args):
        return self._set("layout", *args)

    def cublasLtMatmulPreferenceSetAttribute(self, *args):
        return self._set("preference", *args)

    def cublasLtMatmulAlgoGetHeuristic(self, handle, operation, a, b, c, d, preference, wanted, results, found):
        found._obj.value, results._obj.nbytes, results._obj.state = 1, 64, 0
        return 0

    def cublasLtMatmul(self, handle, operation, alpha, a, a_layout, b, b_layout, beta, c, c_layout, d, d_layout, *rest):
        self.products += 1
        it, layouts = self.made[operation.value], [self.made[one.value] for one in (a_layout, b_layout, d_layout)]
        assert beta._obj.value == 0 and c == d and c_layout is d_layout and len({one[5] for one in layouts}) == 1
        a, b, d = (matrices(address, layout) for address, layout in zip((a, b, d), layouts, strict=True))
        a, b = (x.swapaxes(1, 2) if it.get(turned) else x for x, turned in ((a, 3), (b, 4)))
        wide = "float64" if it["compute"] == 70 else "float32"
        assert it["scale"] == (1 if wide == "float64" else 0)
        product = np.matmul(a.astype(wide), b.astype(wide))
        assert product.shape == d.shape, "sizes of A, B and D"
        d[...] = np.asarray(alpha._obj.value, wide) * product
        return 0


def matrices(address, layout):
    """The matrices of a layout as an array (batch, rows, columns) on their memory."""
    dtype = np.dtype(numpy_dtype(layout["dtype"]))
    shape, strides = (layout[5], layout["rows"], layout["columns"]), (layout[6], 1, layout["ld"])
    assert layout["ld"] >= layout["rows"] > 0 and layout["columns"] > 0
    reach = 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    memory = np.frombuffer((ctypes.c_char * (reach * dtype.itemsize)).from_address(address), dtype)
    return np.lib.stride_tricks.as_strided(memory, shape, [s * dtype.itemsize for s in strides])


HOST = HostBlasLt()


@functools.cache
def _described(product):
    described = cublaslt.Described(HOST, product)
    described.find(None)
    return described


def product(routine, addresses):
    """A product, by the same descriptors as on a device."""
    with np.errstate(all="ignore"):
        _described(routine).run(None, addresses, 0)
