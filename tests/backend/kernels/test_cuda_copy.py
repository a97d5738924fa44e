"""CUDA C of copies, run on the processor, against the ops' own NumPy kernels."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from kerasish.backend.autodiff.op import stack_rows
from kerasish.backend.kernels.cuda import axes, copy, embedding  # noqa: F401  (register)
from kerasish.backend.kernels.cuda.launch import Request
from kerasish.ops import creation, fourier, image, indexing, reduction, shaping
from tests.backend.kernels import cuda_host as host
from tests.backend.kernels.test_cuda_kernels import all_of, normal, op_of

pytestmark = pytest.mark.skipif(not host.available(), reason="g++ compiles the sources for the processor")


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "uint8"])
def test_copies(dtype):
    x = (normal(4, 3, 5) * 20).astype(dtype)
    turned, number = x.transpose(2, 0, 1), np.array(3, dtype)
    cases = [(op_of(shaping._stack), [x, x + number, x * number], {"axis": axis}) for axis in (0, 1, -1)]
    cases += [(op_of(stack_rows), [np.array(j, dtype) for j in range(70)], {}), (op_of(shaping._stack), [turned, turned], {"axis": 1})]
    cases += [(op_of(shaping._repeat), [z], {"repeats": 3, "axis": axis}) for axis in (0, 1, 2) for z in (x, turned)]
    cases += [(op_of(shaping._tile), [x], {"repeats": times}) for times in ((2, 1, 3), (2, 1, 1, 2), (2,))]
    cases += [(op_of(creation.full_like), [x, number], {"dtype": None}), (op_of(creation.full_like), [x, x[0, :1]], {"dtype": None})]
    cases += [(op_of(indexing._get_item), [x], {"key": key}) for key in ((1,), (slice(1, None, 2), ..., -1), (0, 1, 2), (None, slice(None, None, -1)))]
    cases += [(op_of(indexing._put), [z], {"key": key, "shape": (4, 3, 5)})
              for key, z in (((1,), x[1]), ((slice(1, None, 2), ..., -1), x[1::2, :, -1]), ((0, 1, 2), number), ((..., slice(4)), x[:, :, :1]))]  # fmt: skip
    cases += [(op_of(indexing._pad_constant), [z], {"widths": widths, "value": value}) for z in (x, turned) for value in (0, 2)
              for widths in (((0, 0), (1, 2), (0, 3)), ((2, 0), (0, 0), (1, 1)), ((0, 0), (0, 0), (0, 0)))]  # fmt: skip
    cases += [(op_of(indexing._pad_repeat), [x], {"axis": axis, "before": before, "after": after, "mode": mode}) for mode in copy._SOURCES
              for axis, before, after in ((1, 2, 0), (2, 1, 4), (0, 0, 3))]  # fmt: skip
    cases += [(op_of(op), [x], {"k": k}) for op in (shaping.tril, shaping.triu) for k in (-1, 0, 2)]
    cases += [(op_of(reduction._differences), [x], {"axis": axis}) for axis in range(3)]
    cases += [(op_of(reduction._shift), [x], {"axis": 1, "by": by, "fill": 1.0}) for by in (-1, 1)]
    cases += [(op_of(shaping.roll), [z], {"shift": shift, "axis": axis}) for z in (x, turned)
              for shift, axis in ((2, None), (-1, 1), ((1, 5), (0, 2)), ((1, 1), (2, 2)))]  # fmt: skip
    cases += [(op_of(fourier._fit), [z], {"size": size}) for z in (x, turned) for size in (2, 5, 7)]
    cases += [(op_of(image._patches), [z], {"size": size, "strides": strides, "padding": padding, "dilation": dilation})
              for z, size, strides, padding, dilation in ((x[:, :, :, None], (2, 3), (2, 1), "same", (1, 1)), (x, (2,), (1,), "valid", (2,)))]  # fmt: skip
    cases += [(op_of(shaping.transpose), [x], {"axes": (1, 2, 0)}), (op_of(shaping.flip), [x], {"axis": 1})]
    for (op, _, attrs), (expected, y) in zip(cases, all_of(*cases), strict=True):
        assert_array_equal(y, expected, err_msg=f"{op} {attrs}")


def test_axes_that_are_one_are_copied_as_one():
    x, y = host.buffer(normal(4, 3, 5)), host.buffer(np.empty((4, 3, 5), "float32"))
    assert Request(None, {}, [x], [y]).copy(x, y).args[2:] == [60, 60, 1, 1]


def test_offsets_of_64_bits(monkeypatch):
    x, ids = normal(4, 3, 5), np.array([2, 0, -1], "int32")
    cases = [(op_of(shaping.transpose), [x], {"axes": (1, 2, 0)}), (op_of(indexing._take), [x, ids], {"axis": 1})]
    monkeypatch.setattr(axes, "LARGEST", 0)
    for expected, y in all_of(*cases):
        assert_array_equal(y, expected)
