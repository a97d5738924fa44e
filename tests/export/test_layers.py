"""Every layer of the conformance rows, exported with an open batch and run at two batch sizes."""

import numpy as np
import pytest

from kerasish import tree
from kerasish.backend.autodiff.state import clear_session
from tests.conformance.layer_driver import OURS, A, fill, new_layer, resolve
from tests.conformance.test_layers import NAMED
from tests.export.driver import Called, check

# configurations that can't be exported with these sizes open: name -> why
CANNOT = {
    "Resizing-2": "the part of an image that has the wanted proportions depends on its size, in Python numbers",
    "Resizing-3": "the border that gives an image the wanted proportions depends on its size, in Python numbers",
}


def arrays_in(case, batch):
    """The arrays of a case, its masks among them, with another batch size where that is given."""
    described = [x for x in tree.flatten([list(case.inputs), dict(case.call)]) if isinstance(x, A)]
    masks = [m for m in case.masks or () if m is not None]

    def sized(x):
        return x if batch is None else A(batch, *x.shape[1:], dtype=x.dtype, low=x.low, high=x.high)

    return [sized(x).make(i) for i, x in enumerate([*described, *masks])]


def as_model(case):
    """The layer of a case as a model of its arrays and masks."""
    clear_session()
    layer = new_layer(OURS, case)
    args, kwargs = fill(OURS, case)
    layer(*args, **kwargs)
    rng = np.random.default_rng(0)
    if case.weights is not None:
        layer.set_weights([rng.uniform(*case.weights, w.shape).astype(w.dtype) if w.dtype.kind == "f" else w for w in layer.get_weights()])

    def call(*tensors):
        tensors, masks = iter(tensors), []
        structure = [list(case.inputs), resolve(OURS, dict(case.call))]
        flat = tree.map_structure(lambda x: next(tensors) if isinstance(x, A) else x, structure)
        given = [x for x, d in zip(tree.flatten(flat), tree.flatten(structure), strict=True) if isinstance(d, A)]
        masks = [next(tensors) if m is not None else None for m in case.masks or ()]
        for x, mask in zip(given, masks, strict=False):
            x._keras_mask = mask
        return layer(*flat[0], **flat[1])

    return Called(call, layer)


@pytest.mark.parametrize(("name", "case"), NAMED, ids=[name for name, _ in NAMED])
def test_layer(name, case, tmp_path):
    model, arrays = as_model(case), arrays_in(case, None)
    one_batch = case.symbolic and len({x.shape[:1] for x in arrays}) == 1
    batches = [arrays, arrays_in(case, 5)] if one_batch else [arrays]
    unknown = (0, *case.unknown) if one_batch else ()
    if name in CANNOT:
        with pytest.raises(ValueError, match=f"Layer '.*' \\({case.name}\\) can't be exported to ONNX"):
            check(model, batches, tmp_path / "model.onnx", unknown)
        unknown = (0,)
    check(model, batches, tmp_path / "model.onnx", unknown, max(case.tol, 1e-5))
