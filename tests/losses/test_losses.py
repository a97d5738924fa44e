"""Every loss against real Keras: values, gradients, weights, masks, configs."""

import inspect

import jax
import keras
import numpy as np
import pytest
from keras.src import backend as keras_backend

from kerasish import losses, ops
from kerasish.backend import arrays
from kerasish.backend.autodiff.gradient import grad
from kerasish.backend.autodiff.tensor import Tensor
from kerasish.losses.loss import REDUCTIONS, LossFunctionWrapper
from kerasish.saveable import custom_object_scope
from tests.conformance.strict import StrictArrays
from tests.losses.data import batch

ROWS = [
    ("MeanSquaredError", {}, "numbers"),
    ("MeanSquaredError", {}, "column"),
    ("MeanSquaredError", {}, "sequence"),
    ("MeanAbsoluteError", {}, "numbers"),
    ("MeanAbsolutePercentageError", {}, "positive"),
    ("MeanSquaredLogarithmicError", {}, "positive"),
    ("Huber", {}, "numbers"),
    ("Huber", {"delta": 0.4}, "sequence"),
    ("LogCosh", {}, "numbers"),
    ("CosineSimilarity", {}, "numbers"),
    ("CosineSimilarity", {"axis": 1}, "sequence"),
    ("Hinge", {}, "signed"),
    ("Hinge", {}, "binary logits"),
    ("SquaredHinge", {}, "signed"),
    ("SquaredHinge", {}, "binary logits"),
    ("CategoricalHinge", {}, "one hot logits"),
    ("KLDivergence", {}, "distributions"),
    ("Poisson", {}, "counts"),
    ("BinaryCrossentropy", {}, "binary"),
    ("BinaryCrossentropy", {"label_smoothing": 0.2}, "binary column"),
    ("BinaryCrossentropy", {"from_logits": True, "axis": 0}, "binary logits"),
    ("BinaryFocalCrossentropy", {}, "binary"),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": 0.3, "gamma": 1.5, "label_smoothing": 0.1}, "binary"),
    ("BinaryFocalCrossentropy", {"from_logits": True, "axis": 0}, "binary logits"),
    ("CategoricalCrossentropy", {}, "one hot"),
    ("CategoricalCrossentropy", {"label_smoothing": 0.2}, "one hot images"),
    ("CategoricalCrossentropy", {"from_logits": True}, "one hot logits"),
    ("CategoricalCrossentropy", {"axis": 1}, "one hot images"),
    ("CategoricalFocalCrossentropy", {}, "one hot"),
    (
        "CategoricalFocalCrossentropy",
        {"from_logits": True, "alpha": 0.5, "gamma": 3.0, "label_smoothing": 0.1},
        "one hot logits",
    ),
    ("CategoricalFocalCrossentropy", {"axis": 1}, "one hot images"),
    ("SparseCategoricalCrossentropy", {}, "sparse"),
    ("SparseCategoricalCrossentropy", {}, "sparse column"),
    ("SparseCategoricalCrossentropy", {"ignore_class": 1}, "sparse sequence"),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 2}, "sparse logits"),
    ("CategoricalGeneralizedCrossEntropy", {}, "sparse"),
    ("CategoricalGeneralizedCrossEntropy", {"q": 0.9}, "sparse sequence"),
    ("Dice", {}, "binary"),
    ("Dice", {"axis": 1}, "binary"),
    ("Tversky", {}, "binary"),
    ("Tversky", {"alpha": 0.2, "beta": 0.7, "axis": (0,)}, "binary"),
    ("Circle", {}, "embeddings"),
    ("Circle", {"gamma": 2.0, "margin": 0.2, "remove_diagonal": False}, "embeddings"),
    ("CTC", {}, "ctc"),
]
IDS = [f"{name}-{i}" for i, (name, _, _) in enumerate(ROWS)]
each_row = pytest.mark.parametrize(("name", "kwargs", "kind"), ROWS, ids=IDS)
CLASSES = sorted({name for name, _, _ in ROWS})


def both(name, **kwargs):
    return getattr(losses, name)(**kwargs), getattr(keras.losses, name)(**kwargs)


def same(ours, theirs, tol=2e-5):
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert ours.dtype == str(theirs.dtype)
    np.testing.assert_allclose(ours.numpy().astype("float64"), theirs.astype("float64"), rtol=tol, atol=tol)


def weights_for(shape):
    """None, one weight for all, one per value, one per example with an axis of size 1."""
    rng = np.random.default_rng(3)
    shapes = [(), shape, (*shape[:1], *[1] * max(len(shape) - 1, 1))]
    return [None, *(rng.uniform(0, 2, s).astype("float32") for s in shapes)]


def test_every_loss_has_a_row():
    assert {n for n in losses.__all__ if inspect.isclass(getattr(losses, n))} == {*CLASSES, "Loss"}


@pytest.mark.parametrize("name", sorted({name for name, _, _ in ROWS}))
def test_every_option_is_in_a_row(name):
    """But ``axis`` of SparseCategoricalCrossentropy, which on JAX real Keras refuses: it has a test of its own."""
    options = set(inspect.signature(getattr(losses, name)).parameters) - {"name", "reduction", "dtype"}
    varied = {option for row in ROWS if row[0] == name for option in row[1]}
    assert options - varied <= ({"axis"} if name.startswith("Sparse") else set())


def test_class_numbers_along_another_axis():
    y_true, y_pred = batch("sparse sequence")
    moved, last = (losses.SparseCategoricalCrossentropy(axis=axis, reduction="none") for axis in (1, -1))
    np.testing.assert_allclose(moved(y_true, np.moveaxis(y_pred, -1, 1)), last(y_true, y_pred), rtol=1e-6)


@each_row
def test_values(name, kwargs, kind):
    y_true, y_pred = batch(kind)
    for reduction in (None, "sum_over_batch_size"):
        ours, theirs = both(name, reduction=reduction, **kwargs)
        same(ours(y_true, y_pred), theirs(y_true, y_pred))


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("kind", ["numbers", "column", "sequence"])
def test_weights_and_reductions(kind, reduction):
    y_true, y_pred = batch(kind)
    ours, theirs = both("MeanSquaredError", reduction=reduction)
    for weight in weights_for(y_true.shape[:-1] or y_true.shape):
        same(ours(y_true, y_pred, weight), theirs(y_true, y_pred, weight))


@each_row
def test_gradients(name, kwargs, kind):
    y_true, y_pred = batch(kind)
    ours, theirs = both(name, **kwargs)
    expected = jax.jit(jax.grad(lambda p: theirs(y_true, p)))(y_pred)
    same(grad(lambda p: ours(y_true, p))(Tensor(y_pred)), expected, 5e-5)


@each_row
def test_configs(name, kwargs, kind):
    ours, theirs = both(name, **kwargs)
    config = ours.get_config()
    left_out = {key: value for key, value in kwargs.items() if key in ours.left_out_of_config}
    assert config == {**theirs.get_config(), **left_out}
    assert {**losses.serialize(ours), "config": theirs.get_config()} == keras.losses.serialize(theirs)
    again = losses.deserialize(losses.serialize(ours))
    assert type(again) is type(ours) and again.get_config() == config
    assert type(theirs).from_config(config).reduction == ours.reduction


@pytest.mark.parametrize("name", losses.__all__)
def test_signature(name):
    ours, theirs = (inspect.signature(getattr(module, name)) for module in (losses, keras.losses))
    assert [(p.name, p.default) for p in ours.parameters.values()] == [(p.name, p.default) for p in theirs.parameters.values()]


@pytest.mark.parametrize("dtype", ["float16", "float64"])
@each_row
def test_dtypes(name, kwargs, kind, dtype):
    y_true, y_pred = batch(kind)
    kwargs = {**kwargs, "gamma": 2.0} if name == "Circle" else kwargs
    single = getattr(losses, name)(**kwargs)(y_true, y_pred)
    loss = getattr(losses, name)(dtype=dtype, **kwargs)
    value = loss(y_true, y_pred)
    assert value.dtype == dtype
    tolerance = {"rel": 2e-2, "abs": 1e-2} if dtype == "float16" else {"rel": 1e-5}
    assert float(value) == pytest.approx(float(single), **tolerance)
    assert loss.get_config()["dtype"] == dtype and type(loss).from_config(loss.get_config()).dtype == dtype


# ---- masks
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["MeanSquaredError", "SparseCategoricalCrossentropy"])
@pytest.mark.parametrize("masked", ["some", "all"])
def test_mask(name, reduction, weighted, masked):
    kwargs, kind = ({"ignore_class": 1}, "sparse sequence") if "Sparse" in name else ({}, "sequence")
    y_true, y_pred = batch(kind)
    rng = np.random.default_rng(0)
    mask = rng.random(y_pred.shape[:-1]) < (0.6 if masked == "some" else 0.0)
    weight = rng.uniform(0, 2, mask.shape).astype("float32") if weighted else None
    ours, theirs = both(name, reduction=reduction, **kwargs)
    p, q = Tensor(y_pred), keras.ops.convert_to_tensor(y_pred)
    p._keras_mask = Tensor(mask)
    keras_backend.set_keras_mask(q, keras.ops.convert_to_tensor(mask))
    same(ours(y_true, p, weight), theirs(y_true, q, weight))


# ---- shapes
@pytest.mark.parametrize("name", ["MeanSquaredError", "BinaryCrossentropy", "Hinge", "KLDivergence", "Poisson", "Dice"])
def test_vector_against_column_does_not_broadcast(name):
    y_true, y_pred = batch("binary column")
    ours, theirs = both(name, reduction=None)
    for a, b in ((y_true[:, 0], y_pred), (y_true, y_pred[:, 0])):
        same(ours(a, b), theirs(a, b))


FUNCTIONS = [
    name
    for name in losses.__all__
    if inspect.isfunction(getattr(losses, name)) and name not in ("get", "serialize", "deserialize", "circle", "ctc")
]


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if "sparse" not in name and "generalized" not in name])
@pytest.mark.parametrize(("true", "pred"), [((4, 3), (4, 2)), ((3,), (3, 3)), ((3, 3), (3,)), ((2, 4, 3), (4, 3))])
def test_shapes_that_do_not_match(name, true, pred):
    with pytest.raises(ValueError, match=r"must have the same shape"):
        getattr(losses, name)(np.full(true, 0.5, "float32"), np.full(pred, 0.5, "float32"))


@pytest.mark.parametrize("true", [(4, 3), (3, 1), (4, 1, 1)])
@pytest.mark.parametrize("name", ["sparse_categorical_crossentropy", "categorical_generalized_cross_entropy"])
def test_class_numbers_that_do_not_match(name, true):
    args = (0.5,) if "generalized" in name else ()
    with pytest.raises(ValueError, match="of shape"):
        getattr(losses, name)(np.zeros(true, "int32"), np.full((4, 3), 1 / 3, "float32"), *args)


def test_class_numbers_for_one_hot_labels_name_the_remedy():
    with pytest.raises(ValueError, match="sparse_"):
        losses.CategoricalCrossentropy()(np.array([0, 1]), np.full((2, 2), 0.5))


@pytest.mark.parametrize("weight", [(4, 2), (3,), (3, 3), (4,)])
def test_weights_that_do_not_match(weight):
    y_true, y_pred = np.ones((4, 4, 2)), Tensor(np.zeros((4, 4, 2)))
    with pytest.raises(ValueError, match="do not fit losses of shape"):
        losses.MeanSquaredError()(y_true, y_pred, np.ones(weight))
    y_pred._keras_mask = Tensor(np.ones((4, 4), "bool"))
    with pytest.raises(ValueError, match="do not fit a mask of shape"):
        losses.MeanSquaredError()(y_true, y_pred, np.ones(weight))


def test_wrong_arguments():
    with pytest.raises(ValueError, match="Expected one of"):
        losses.MeanSquaredError(reduction="average")
    with pytest.raises(ValueError, match="interval"):
        losses.CategoricalGeneralizedCrossEntropy(q=1.0)
    with pytest.raises(ValueError, match="`axis` must be of type"):
        losses.categorical_crossentropy([[1.0, 0.0]], [[0.5, 0.5]], axis=True)
    with pytest.raises(ValueError, match="class numbers of shape"):
        losses.CTC()(np.zeros(3), np.zeros((3, 4, 5)))
    with pytest.raises(ValueError, match="logits of shape"):
        losses.CTC()(np.zeros((3, 2)), np.zeros((3, 4)))
    with pytest.raises(NotImplementedError, match="call"):
        losses.Loss()([1.0], [1.0])
    with pytest.warns(SyntaxWarning, match="binary_crossentropy"):
        losses.categorical_crossentropy([[1.0]], [[0.5]])


def test_empty_batch():
    for reduction in ("sum_over_batch_size", "sum", "mean_with_sample_weight"):
        ours, theirs = both("MeanSquaredError", reduction=reduction)
        for shape in ((0, 3), (0, 3, 2)):
            x = np.zeros(shape, "float32")
            same(ours(x, x), theirs(x, x))


def test_circle_with_references():
    labels, embeddings = batch("embeddings")
    ref_labels, refs = batch("embeddings", seed=1, n=4)
    kwargs = {"ref_labels": ref_labels, "ref_embeddings": refs, "remove_diagonal": False, "gamma": 3}
    same(losses.circle(labels, embeddings, **kwargs), keras.losses.circle(labels, embeddings, **kwargs))


def test_no_gradient_is_lost_where_a_class_has_one_example():
    y_pred = np.eye(3, dtype="float32")
    slope = grad(lambda p: ops.sum(losses.circle([0, 1, 2], p)))(Tensor(y_pred))
    assert np.isfinite(slope.numpy()).all()


@each_row
def test_strict_arrays_and_shapes_alone(name, kwargs, kind):
    """Nothing here needs NumPy's arrays, or values: a step can be recorded, and the batch size may be unknown."""
    y_true, y_pred = batch(kind)
    expected = getattr(losses, name)(**kwargs)(y_true, y_pred).numpy()
    before = arrays.use(StrictArrays())
    try:
        value = getattr(losses, name)(**kwargs)(y_true, y_pred).numpy()
    finally:
        arrays.use(before)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    for size in (6, None):
        specs = [Tensor(None, (size, *y.shape[1:]), str(y.dtype)) for y in (y_true, y_pred)]
        assert getattr(losses, name)(**kwargs)(*specs).shape == ()


# ---- names, configs, users' own
SHORT_NAMES = [change(name) for name in ("mse", "mae", "mape", "msle", "bce", "kld") for change in (str.lower, str.upper)]


@pytest.mark.parametrize("name", [*SHORT_NAMES, *FUNCTIONS])
def test_get_function(name):
    if name != "categorical_generalized_cross_entropy":  # not known to Keras's own `get`
        assert losses.get(name).__name__ == keras.losses.get(name).__name__
    function = losses.get(name)
    assert getattr(losses, function.__name__) is function
    config = losses.serialize(function)
    assert config == keras.losses.serialize(getattr(keras.losses, function.__name__))
    assert losses.deserialize(config) is function and losses.get(config) is function


def test_get():
    assert losses.get(None) is None
    assert type(losses.get("Huber")) is losses.Huber and type(losses.get(losses.Huber)) is losses.Huber
    assert losses.get({"class_name": "Hinge", "config": {"name": "h"}}).name == "h"
    assert losses.get(abs) is abs
    for unknown in ("huber_loss", 3):
        with pytest.raises(ValueError, match="Could not interpret loss identifier"):
            losses.get(unknown)
    with pytest.raises(TypeError, match="Nope"):
        losses.deserialize({"class_name": "Nope", "config": {}})


def scaled(y_true, y_pred, scale=1.0):
    return scale * ops.mean(ops.abs(y_true - y_pred), axis=-1)


def test_function_wrapper():
    loss = LossFunctionWrapper(losses.huber, name="h", reduction="sum", delta=0.5)
    theirs = keras.src.losses.losses.LossFunctionWrapper(keras.losses.huber, name="h", reduction="sum", delta=0.5)
    y_true, y_pred = batch("numbers")
    same(loss(y_true, y_pred), theirs(y_true, y_pred))
    assert losses.serialize(loss) == keras.losses.serialize(theirs)
    with custom_object_scope({"scaled": scaled}):
        again = losses.deserialize(losses.serialize(LossFunctionWrapper(scaled, scale=3.0)))
    assert float(again([1.0], [2.0])) == 3.0


def test_nested_structures():
    def summed(y_true, y_pred):
        return sum(ops.square(y_true[key] - y_pred[key]) for key in y_true)

    y_true, y_pred = {"a": np.ones(3), "b": np.zeros(3)}, {"a": np.zeros((3, 1)), "b": np.full((3, 1), 2.0)}
    assert float(LossFunctionWrapper(summed)(y_true, y_pred)) == 5.0


def test_subclass():
    class Power(losses.Loss):
        def __init__(self, power=2.0, **kwargs):
            super().__init__(**kwargs)
            self.power = power

        def call(self, y_true, y_pred):
            return ops.mean(ops.abs(y_true - y_pred) ** self.power, axis=-1)

        def get_config(self):
            return {**super().get_config(), "power": self.power}

    loss = Power(3.0, reduction="sum")
    assert float(loss([[0.0], [1.0]], [[2.0], [2.0]])) == 9.0
    assert loss.get_config() == {"name": "power", "reduction": "sum", "power": 3.0}
    config = losses.serialize(loss)
    again = losses.deserialize(config, custom_objects={"Power": Power})
    assert again.power == 3.0 and again.reduction == "sum"

    class Mine(losses.Huber):
        def __init__(self):
            super().__init__(delta=0.5, name="mine")

    assert float(Mine()([[0.0]], [[1.0]])) == 0.375
    assert Mine().get_config() == {"name": "mine", "reduction": "sum_over_batch_size", "delta": 0.5}


def test_dtype_policy():
    assert losses.MeanSquaredError(dtype="mixed_float16")([[1.0]], [[0.5]]).dtype == "float16"


@pytest.mark.parametrize("k", [keras.losses, losses], ids=["theirs", "ours"])
@pytest.mark.parametrize("name", ["Loss", "MeanSquaredError", "SparseCategoricalCrossentropy"])
def test_the_dtype_is_for_the_constructor_alone(k, name):
    loss = getattr(k, name)(dtype="float64")
    with pytest.raises(AttributeError):
        loss.dtype = "float16"
    assert loss.dtype == "float64"
    loss.name, loss.reduction = "mine", "sum"
    assert loss.get_config()["name"] == "mine"


def test_the_dtype_is_not_known_before_the_constructor_ran():
    class Early(losses.Loss):
        def __init__(self):
            self.early = self.dtype
            super().__init__()

    with pytest.raises(AttributeError, match="no `dtype` before"):
        Early()
