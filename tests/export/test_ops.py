"""Every op of the conformance rows, exported and run: its converter gives the op's numbers."""

import sys

import numpy as np
import pytest

import kerasish
from kerasish import tree
from kerasish.backend.autodiff.op import Op
from kerasish.export.graph import CONVERTERS
from tests.conformance.driver import A, arrays_of, lookup
from tests.conformance.test_ops import pairs
from tests.export.driver import Called, check

# what has no ONNX form -> what its error says
_DECOMPOSITIONS = ["cholesky", "linalg.cholesky", "cholesky_inverse", "eig", "eigh", "inv", "lstsq", "lu_factor", "matrix_rank", "pinv",
                   "qr", "solve", "solve_triangular", "svd"]  # fmt: skip
_OTHERS = ["erfinv", "i0", "gcd", "lcm", "nextafter", "histogram", "ctc_decode", "view"]
CANNOT = {
    **{f"ops.{name}": "no ONNX form|complex numbers" for name in [*_DECOMPOSITIONS, *_OTHERS]},
    **{f"ops.{name}": "complex numbers have no ONNX form" for name in ("polar", "view_as_complex")},
    **{f"ops.{name}": "depends on values|no ONNX form" for name in ("bincount", "nonzero", "unique")},
}
WORKING = {"ops.ctc_decode-0", "ops.ctc_decode-1", "ops.view-3"}  # the greedy strategy, and a view as the same dtype
NO_TENSORS = {"ops.convert_to_numpy", "ops.dtype", "ops.is_tensor", "ops.ndim", "ops.shape", "ops.size"}


def as_model(row, case):
    """The function of a row as a model of its arrays."""

    def call(*tensors):
        tensors = iter(tensors)
        args, kwargs = tree.map_structure(lambda x: next(tensors) if isinstance(x, A) else x, [list(case.args), dict(case.kwargs)])
        return lookup(kerasish, row.name)(*args, **kwargs)

    return Called(call)


def _is_complex(case):
    return any(isinstance(x, complex) or "complex" in str(getattr(x, "dtype", x)) for x in [*arrays_of(case), *case.args, *case.kwargs.values()])


def _has_form(row, case):
    return arrays_of(case) and row.name not in NO_TENSORS and not row.name.startswith(("random.", "metrics."))


@pairs(_has_form)
def test_op(row, case, tmp_path, request):
    model, arrays = as_model(row, case), [np.asarray(x.make(i)) for i, x in enumerate(arrays_of(case))]
    reason = CANNOT.get(row.name) or ("complex numbers" if _is_complex(case) else None)
    if reason is not None and request.node.callspec.id not in WORKING:
        with pytest.raises(ValueError, match=f"op '.*'.*({reason})"):
            check(model, [arrays], tmp_path / "model.onnx", ())
        return
    check(model, [arrays], tmp_path / "model.onnx", (), max(row.tol, 1e-5))


@pytest.mark.parametrize("options", [{}, {"is_causal": True, "mask": np.arange(516) % 3 < 2}], ids=["", "masked"])
def test_attention_of_long_sequences(options, tmp_path):
    inputs = [np.random.default_rng(i).standard_normal((1, n, 1, 2)).astype("float32") for i, n in enumerate((520, 516, 516))]
    check(Called(lambda *xs: kerasish.ops.dot_product_attention(*xs, **options)), [inputs], tmp_path / "model.onnx", (), 1e-5)


ONLY_GRADIENTS = {
    "_gate", "_leak", "_sparsemax_slope", "_attention_gradient", "_long_attention_gradient", "_conv_kernel", "_put_at",
    "_softmax_crossentropy_logits", "_sparse_softmax_crossentropy_logits", "_cofactors", "_i0_derivative", "_sinc_derivative",
    "_slope_of_absolute", "_wins",
    "_from_patches", "_add_along", "_add_at", "_put_slice", "_adaptive_average_input", "_average_pool_input", "_of_first_adaptive",
    "_of_first_maximum", "_to_first_adaptive", "_to_first_maximum", "_gru_gradient", "_lstm_gradient", "_give_back",
}  # fmt: skip
NO_FORM = {
    "cholesky", "inv", "_eig", "_eigh", "_full_svd", "thin_svd", "_lu", "_permutation", "_pinv", "_qr", "_rank", "_solve",
    "_solve_triangular", "singular_values", "_least_squares",  # decompositions of matrices
    "_joined", "polar", "_from_pairs", "_to_pairs",  # complex numbers
    "_bincount", "_histogram", "_nonzero", "_unique", "_after_loop",  # whose shape depends on values
    "erfinv", "gcd", "i0", "lcm", "nextafter", "_view", "_beam_search",
}  # fmt: skip


def test_every_op_has_a_converter_or_is_known_to_have_none():
    """A new op gets a converter, or a line above and in docs/onnx.md. Random numbers but the usual ones have no ONNX form."""
    ops = {op.name: op for module in list(sys.modules.values()) if module.__name__.startswith("kerasish.") for op in vars(module).values()
           if isinstance(op, Op) and op.function.__module__.startswith(("kerasish.ops", "kerasish.backend.autodiff"))}  # fmt: skip
    assert set(ops) - set(CONVERTERS) == ONLY_GRADIENTS | NO_FORM
    assert not (ONLY_GRADIENTS | NO_FORM) & set(CONVERTERS)
