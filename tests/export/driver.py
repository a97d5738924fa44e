"""Exports functions and models, runs the files with onnxruntime, and compares."""

import numpy as np
import onnxruntime

import kerasish
from kerasish import tree
from kerasish.backend.autodiff.op import as_tensor
from kerasish.backend.autodiff.tensor import Tensor
from kerasish.export.onnx import export_onnx
from kerasish.layers import InputSpec

OPTIONS = onnxruntime.SessionOptions()
OPTIONS.intra_op_num_threads = 1
OPTIONS.log_severity_level = 3


class Called(kerasish.Model):
    """A function of tensors, or a layer, as a model."""

    def __init__(self, function, layer=None):
        super().__init__()
        self.layer, self.function = layer, function

    def call(self, *args):
        return self.function(*args)


def run(filepath, arrays):
    """What the file gives for the arrays of its inputs, in their order."""
    session = onnxruntime.InferenceSession(str(filepath), OPTIONS, providers=["CPUExecutionProvider"])
    names = [x.name for x in session.get_inputs()]
    return session.run(None, dict(zip(names, arrays, strict=True)))


def outputs_of(model, arrays):
    result = model(*[Tensor(x) for x in arrays], training=False)
    return [as_tensor(y).numpy() for y in tree.flatten(result) if y is not None]


def specs(arrays, unknown=(0,)):
    """Specs of arrays whose axes ``unknown`` are open."""
    return [InputSpec(shape=[None if i in unknown else n for i, n in enumerate(x.shape)], dtype=x.dtype.name) for x in arrays]


def check(model, batches, filepath, unknown=(0,), tol=1e-5, opset_version=None):
    """The file of the model gives, for each batch of arrays, what the model gives."""
    export_onnx(model, filepath, verbose=False, input_signature=specs(batches[0], unknown), opset_version=opset_version)
    for arrays in batches:
        expected, found = outputs_of(model, arrays), run(filepath, arrays)
        assert [(y.shape, y.dtype) for y in found] == [(y.shape, y.dtype) for y in expected]
        for y, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(y.astype("float64") if y.dtype.kind == "f" else y, wanted, rtol=tol, atol=tol)
