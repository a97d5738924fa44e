"""Cross-entropies beyond their rows: clipping, extremes, shapes that don't fit."""

import keras
import numpy as np
import pytest

import kerasish
from kerasish import ops
from kerasish.backend.autodiff.gradient import grad
from kerasish.backend.autodiff.tensor import KerasTensor
from tests.conformance.driver import A

ALL = ["categorical_crossentropy", "sparse_categorical_crossentropy", "binary_crossentropy"]


@pytest.mark.parametrize("output", [[0.0, 1.0], [1.0, 0.0], [0.3, 0.9], [1e-9, 1.0]])
def test_probabilities_are_clipped_as_in_keras(output):
    for target, name in ([0.0, 1.0], ALL[0]), (1, ALL[1]), ([0.0, 1.0], ALL[2]):
        arguments = np.asarray(target, "int32" if name == ALL[1] else "float32"), np.asarray(output, "float32")
        ours, theirs = getattr(ops, name)(*arguments), getattr(keras.ops, name)(*arguments)
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ALL)
def test_extreme_logits(name):
    target = {"categorical": [0.0, 1.0], "sparse": 1, "binary": [0.0, 1.0]}[name.split("_")[0]]
    logits = np.array([1e4, -1e4], "float32")
    loss = getattr(ops, name)(target, logits, from_logits=True)
    assert float(ops.max(loss)) == pytest.approx(2e4 if name != ALL[2] else 1e4)
    slope = grad(lambda x: ops.sum(getattr(ops, name)(target, x, from_logits=True)))(logits)
    assert slope.tolist() == [1.0, -1.0]


def test_targets_have_gradients_too():
    logits = A(3, 4).make()
    slope = grad(lambda t: ops.sum(ops.categorical_crossentropy(t, logits, from_logits=True)))(A(3, 4).make(1))
    np.testing.assert_allclose(slope, -np.asarray(keras.ops.log_softmax(logits)), rtol=1e-5)


def test_classes_out_of_range_count_nothing():
    logits = A(3, 4).make()
    for options in {"from_logits": True}, {}:
        x = logits if options else np.abs(logits)
        loss = ops.sparse_categorical_crossentropy([-1, 4, 2], x, **options)
        assert loss.tolist()[:2] == [0.0, 0.0]
        slope = grad(lambda x, o=options: ops.sum(ops.sparse_categorical_crossentropy([-1, 4, 2], x, **o)))(x)
        assert not slope.numpy()[:2].any()
        assert slope.numpy()[2].any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.categorical_crossentropy(np.ones((2, 3)), np.ones((2, 4))), "same shape"),
        (lambda: ops.categorical_crossentropy(1.0, 1.0), "rank 1"),
        (lambda: ops.sparse_categorical_crossentropy(1, 1.0), "rank 1"),
        (lambda: ops.sparse_categorical_crossentropy([1, 2], np.ones((3, 4))), "without axis"),
        (lambda: ops.binary_crossentropy(np.ones(3), np.ones(4)), "same shape"),
        (lambda: ops.binary_crossentropy(KerasTensor((None, 3)), KerasTensor((None, 4))), "same shape"),
        (lambda: ops.one_hot([1], 3, axis=3), "axis"),
        (lambda: ops.one_hot([1], 3, sparse=True), "dense"),
        (lambda: ops.multi_hot([1], 3, sparse=True), "dense"),
        (lambda: ops.multi_hot([1]), "num_classes"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_unknown_sizes():
    p = KerasTensor((None, None))
    assert ops.categorical_crossentropy(p, p).shape == (None,)
    for from_logits in (False, True):
        assert ops.sparse_categorical_crossentropy(KerasTensor((None, 1), "int32"), p, from_logits).shape == (None,)
        assert ops.binary_crossentropy(KerasTensor((None, 3)), p, from_logits).shape == (None, 3)
    assert ops.one_hot(KerasTensor((None, None), "int32"), 5, axis=1).shape == (None, 5, None)
    assert ops.multi_hot(KerasTensor((None, 3), "int32"), 5).shape == (None, 5)


def test_nodes_in_functional_models():
    def nodes(library):
        library.backend.clear_session()
        p, c = library.Input((4,)), library.Input((), dtype="int32")
        outputs = [
            library.ops.categorical_crossentropy(p, p, True),
            library.ops.sparse_categorical_crossentropy(c, p, from_logits=True),
            library.ops.binary_crossentropy(p, p),
            library.ops.multi_hot(library.ops.cast(p, "int32"), num_classes=5),
            library.ops.one_hot(c, 5),
        ]
        layers = library.Model([p, c], outputs).get_config()["layers"]
        layers = [layer for layer in layers if layer["class_name"] not in ("InputLayer", "Cast")]
        return [(layer["module"], layer["class_name"], layer["config"]) for layer in layers]

    assert nodes(kerasish) == nodes(keras)
