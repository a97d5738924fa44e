"""Every metric against real Keras over several batches: results, variables, configs."""

import copy
import inspect
import pickle

import jax
import keras
import numpy as np
import pytest
from keras.src import backend as keras_backend

from kerasish import losses, metrics, ops
from kerasish.backend import arrays
from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.autodiff.tensor import Tensor
from kerasish.backend.autodiff.variable import Variable
from kerasish.saveable import custom_object_scope
from tests.conformance.strict import StrictArrays
from tests.losses.data import batch

UNEVEN = [0.1, 0.35, 0.5, 0.9]
EVEN = [0.0, 0.25, 0.5, 0.75, 1.0]
ROWS = [
    ("Accuracy", {}, "classes"),
    ("Accuracy", {}, "class images"),
    ("BinaryAccuracy", {}, "binary"),
    ("BinaryAccuracy", {"threshold": 0.3}, "binary column"),
    ("CategoricalAccuracy", {}, "one hot"),
    ("CategoricalAccuracy", {}, "one hot images"),
    ("SparseCategoricalAccuracy", {}, "sparse"),
    ("SparseCategoricalAccuracy", {}, "sparse column"),
    ("SparseCategoricalAccuracy", {}, "sparse sequence"),
    ("TopKCategoricalAccuracy", {"k": 2}, "one hot"),
    ("TopKCategoricalAccuracy", {"k": 2}, "one hot images"),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, "sparse"),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, "sparse sequence"),
    ("SparseTopKCategoricalAccuracy", {"k": 3, "from_sorted_ids": True}, "sorted ids"),
    ("MeanSquaredError", {}, "numbers"),
    ("MeanSquaredError", {}, "sequence"),
    ("MeanSquaredError", {}, "column"),
    ("RootMeanSquaredError", {}, "numbers"),
    ("RootMeanSquaredError", {}, "column"),
    ("MeanAbsoluteError", {}, "numbers"),
    ("MeanAbsolutePercentageError", {}, "positive"),
    ("MeanSquaredLogarithmicError", {}, "positive"),
    ("CosineSimilarity", {}, "numbers"),
    ("CosineSimilarity", {"axis": 1}, "sequence"),
    ("LogCoshError", {}, "numbers"),
    ("R2Score", {}, "numbers"),
    ("R2Score", {"class_aggregation": None}, "numbers"),
    ("R2Score", {"class_aggregation": "variance_weighted_average"}, "column"),
    ("R2Score", {"num_regressors": 2}, "numbers"),
    ("KLDivergence", {}, "distributions"),
    ("Poisson", {}, "counts"),
    ("BinaryCrossentropy", {}, "binary"),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, "binary logits"),
    ("CategoricalCrossentropy", {}, "one hot"),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, "one hot logits"),
    ("CategoricalCrossentropy", {"axis": 1}, "one hot images"),
    ("SparseCategoricalCrossentropy", {}, "sparse"),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 1}, "sparse logits"),
    ("SparseCategoricalCrossentropy", {"ignore_class": 1}, "sparse sequence"),
    ("Hinge", {}, "signed"),
    ("SquaredHinge", {}, "signed"),
    ("CategoricalHinge", {}, "one hot logits"),
    ("PearsonCorrelation", {}, "numbers"),
    ("PearsonCorrelation", {"axis": 1}, "sequence"),
    ("ConcordanceCorrelation", {}, "numbers"),
    ("ConcordanceCorrelation", {"axis": 1}, "sequence"),
    ("TruePositives", {"thresholds": EVEN}, "binary column"),
    ("TruePositives", {"thresholds": UNEVEN}, "binary vector"),
    ("TrueNegatives", {"thresholds": EVEN}, "binary"),
    ("TrueNegatives", {}, "binary"),
    ("FalsePositives", {"thresholds": UNEVEN}, "binary"),
    ("FalseNegatives", {"thresholds": UNEVEN}, "binary"),
    ("Precision", {"thresholds": EVEN}, "binary column"),
    ("Precision", {}, "binary vector"),
    ("Recall", {"thresholds": UNEVEN}, "binary"),
    ("Recall", {}, "binary"),
    ("TruePositives", {"thresholds": 0.4}, "binary"),
    ("Precision", {"thresholds": [0.8, 0.2]}, "binary"),
    ("Precision", {"thresholds": [0.8, 0.9, *[i / 30 for i in range(15)]]}, "binary"),
    ("Precision", {"top_k": 2}, "one hot"),
    ("Precision", {"top_k": 2, "class_id": 1}, "one hot"),
    ("Recall", {"class_id": 1}, "binary"),
    ("Recall", {"top_k": 1, "thresholds": 0.3}, "one hot"),
    ("SensitivityAtSpecificity", {"specificity": 0.6}, "binary"),
    ("SensitivityAtSpecificity", {"specificity": 0.2, "num_thresholds": 1}, "binary vector"),
    ("SensitivityAtSpecificity", {"specificity": 0.5, "class_id": 1}, "binary"),
    ("SpecificityAtSensitivity", {"sensitivity": 0.4, "num_thresholds": 20}, "binary"),
    ("SpecificityAtSensitivity", {"sensitivity": 0.4, "class_id": 0}, "binary"),
    ("PrecisionAtRecall", {"recall": 0.5, "class_id": 2, "num_thresholds": 9}, "binary"),
    ("RecallAtPrecision", {"precision": 0.5, "num_thresholds": 7}, "binary column"),
    ("RecallAtPrecision", {"precision": 0.5, "class_id": 1}, "binary"),
    ("AUC", {}, "binary"),
    ("AUC", {"thresholds": UNEVEN, "curve": "PR"}, "binary vector"),
    ("AUC", {"num_thresholds": 3}, "binary vector"),
    ("AUC", {"thresholds": EVEN[1:-1]}, "binary"),
    ("AUC", {"label_weights": [0.5, 1.0, 2.0]}, "binary"),
    ("AUC", {"multi_label": True}, "binary"),
    ("AUC", {"multi_label": True, "num_labels": 3, "label_weights": [0.5, 1.0, 2.0], "curve": "pr"}, "binary"),
    ("AUC", {"multi_label": True, "thresholds": UNEVEN, "summation_method": "Majoring"}, "binary"),
    ("AUC", {"multi_label": True, "thresholds": UNEVEN + [i / 50 for i in range(10)]}, "binary"),
    ("AUC", {"from_logits": True, "num_thresholds": 50}, "binary logits"),
    ("FBetaScore", {"beta": 2.0}, "one hot"),
    ("FBetaScore", {"average": "micro", "beta": 0.5, "threshold": 0.25}, "one hot"),
    ("FBetaScore", {"average": "macro", "beta": 2.0, "threshold": 0.25}, "one hot"),
    ("FBetaScore", {"average": "weighted"}, "one hot"),
    ("F1Score", {"average": "macro", "threshold": 0.5}, "binary"),
    ("F1Score", {}, "one hot"),
    ("IoU", {"num_classes": 3, "target_class_ids": [0, 2]}, "classes"),
    ("IoU", {"num_classes": 3, "target_class_ids": (1,), "ignore_class": 0}, "class images"),
    ("IoU", {"num_classes": 2, "target_class_ids": [0, 1], "dtype": "float32"}, "classes"),
    ("IoU", {"num_classes": 3, "target_class_ids": [0], "sparse_y_true": False, "sparse_y_pred": False}, "one hot images"),
    ("BinaryIoU", {"target_class_ids": [1], "threshold": 0.6}, "binary"),
    ("MeanIoU", {"num_classes": 4}, "class images"),
    ("MeanIoU", {"num_classes": 5, "sparse_y_pred": False}, "sparse"),
    ("MeanIoU", {"num_classes": 5, "sparse_y_true": False, "sparse_y_pred": False, "ignore_class": 1}, "one hot"),
    ("OneHotIoU", {"num_classes": 5, "target_class_ids": [0, 2], "ignore_class": 3}, "one hot"),
    ("OneHotIoU", {"num_classes": 5, "target_class_ids": [0, 2], "sparse_y_pred": True}, "one hot, classes"),
    ("OneHotMeanIoU", {"num_classes": 5, "sparse_y_pred": True}, "one hot, classes"),
    ("OneHotIoU", {"num_classes": 3, "target_class_ids": [0, 2]}, "one hot images"),
    ("OneHotMeanIoU", {"num_classes": 5, "ignore_class": 2}, "one hot"),
]
IDS = [f"{name}-{i}" for i, (name, _, _) in enumerate(ROWS)]
each_row = pytest.mark.parametrize(("name", "kwargs", "kind"), ROWS, ids=IDS)
REDUCTIONS = [("Mean", {}), ("Sum", {}), ("Mean", {"dtype": "float16"})]
CLASSES = sorted({name for name, _, _ in ROWS} | {"Mean", "Sum", "MeanMetricWrapper", "Metric"})


def both(name, kwargs):
    ours, theirs = getattr(metrics, name)(**kwargs), getattr(keras.metrics, name)(**kwargs)
    return ours, theirs


def same(ours, theirs, tol=2e-5):
    theirs = np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert ours.dtype == str(theirs.dtype)
    np.testing.assert_allclose(ours.numpy().astype("float64"), theirs.astype("float64"), rtol=tol, atol=tol)


def weights_for(name, kwargs, y_true, seed):
    """One weight per example; one per label where there is a mask of labels, or integer ones for counts of labels."""
    rng = np.random.default_rng(seed)
    if kwargs.get("ignore_class") and "Sparse" in name:
        return rng.uniform(0, 2, y_true.shape).astype("float32")
    if "IoU" in name:
        shape = y_true.shape[:-1] if "OneHot" in name or not kwargs.get("sparse_y_true", True) else y_true.shape
        return rng.integers(0, 4, shape)
    return rng.uniform(0, 2, y_true.shape[:1]).astype("float32")


def test_every_metric_has_a_row():
    assert {name for name in metrics.__all__ if inspect.isclass(getattr(metrics, name))} == set(CLASSES)


@pytest.mark.parametrize("name", sorted({name for name, _, _ in ROWS}))
def test_every_option_is_in_a_row(name):
    """But ``axis`` of those which then fail in real Keras: it has a test of its own."""
    options = set(inspect.signature(getattr(metrics, name)).parameters) - {"name", "dtype"}
    varied = {option for row in ROWS if row[0] == name for option in row[1]}
    assert options - varied <= ({"axis"} if name == "SparseCategoricalCrossentropy" or "IoU" in name else set())


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [("IoU", {"target_class_ids": [0, 2], "sparse_y_true": False, "sparse_y_pred": False}), ("OneHotIoU", {"target_class_ids": [0, 2]}),
     ("MeanIoU", {"sparse_y_true": False, "sparse_y_pred": False}), ("OneHotMeanIoU", {})],
)  # fmt: skip
def test_classes_along_another_axis(name, kwargs):
    y_true, y_pred = batch("one hot images")
    last, moved = (getattr(metrics, name)(num_classes=3, axis=axis, **kwargs) for axis in (-1, 1))
    last.update_state(y_true, y_pred)
    moved.update_state(np.moveaxis(y_true, -1, 1), np.moveaxis(y_pred, -1, 1))
    assert float(moved.result()) == float(last.result()) > 0


def keras_after(metric, steps):
    """Variables and result of Keras's metric after batches (y_true, y_pred, weight): compiled once, for the sake of time."""
    if not getattr(metric, "_built", True):
        shapes = [(*np.shape(y), 1)[:2] for y in steps[0][:2]]
        metric._build(*(shapes[1:] if isinstance(metric, keras.metrics.AUC) else shapes))

    def run(values, steps):
        for y_true, y_pred, weight in steps:
            values = metric.stateless_update_state(values, y_true, y_pred, sample_weight=weight)
        return values, metric.stateless_result(values)

    compiles = not getattr(metric, "num_regressors", 0) and not getattr(metric, "multi_label", False)
    return (jax.jit(run) if compiles else run)([v.value for v in metric.variables], steps)


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype:UserWarning")  # JAX has no int64
@each_row
def test_updates(name, kwargs, kind):
    ours, theirs = both(name, kwargs)
    steps = []
    for step in range(2):
        y_true, y_pred = batch(kind, seed=step)
        weight = weights_for(name, kwargs, y_true, step) if step else None
        steps.append((y_true, y_pred, weight))
        ours.update_state(y_true, y_pred, sample_weight=weight)
    values, result = keras_after(theirs, steps)
    same(ours.result(), result)
    assert [v.path.split("/")[1] for v in ours.variables] == [v.path.split("/")[1] for v in theirs.variables]
    for a, b in zip(ours.variables, values, strict=True):
        assert a.path == f"{ours.name}/{a.name}"
        same(a.value, b)
    ours.reset_state()
    assert all(not v.numpy().any() for v in ours.variables)


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype:UserWarning")  # JAX has no int64
@each_row
def test_half_precision(name, kwargs, kind):
    """Variables and results are of the metric's dtype, and its numbers those of Keras."""
    ours, theirs = both(name, {**kwargs, "dtype": "float16"})
    steps = []
    for step in range(2):
        steps.append((*batch(kind, seed=step), None))
        ours.update_state(*steps[-1])
    values, result = keras_after(theirs, steps)
    assert [v.dtype for v in ours.variables] == [str(v.dtype) for v in values]
    same(ours.result(), result, tol=5e-3)


@pytest.mark.parametrize("curve", ["ROC", "PR", "PRGAIN"])
@pytest.mark.parametrize("method", ["interpolation", "minoring", "majoring"])
def test_areas(curve, method):
    ours, theirs = both("AUC", {"curve": curve, "summation_method": method, "num_thresholds": 20})
    for metric in (ours, theirs):
        metric.update_state(*batch("binary"))
    same(ours.result(), theirs.result())


@each_row
def test_configs(name, kwargs, kind):
    ours, theirs = both(name, kwargs)
    config = ours.get_config()
    left_out = {key: value for key, value in kwargs.items() if key in ours.left_out_of_config}
    expected = {**theirs.get_config(), **left_out}
    if expected.get("label_weights") is not None:  # Keras leaves a tensor in its config
        expected["label_weights"] = np.asarray(expected["label_weights"]).tolist()
    names = expected.pop("name"), config.pop("name")
    assert config == expected and names[1].rstrip("_0123456789") == names[0].rstrip("_0123456789")
    serialized = metrics.serialize(ours)
    assert {**serialized, "config": None} == {**keras.metrics.serialize(theirs), "config": None}
    again = metrics.deserialize(serialized)
    assert type(again) is type(ours) and again.get_config() == ours.get_config()
    assert type(theirs).from_config(ours.get_config()).name == ours.name


@pytest.mark.parametrize("name", metrics.__all__)
def test_signature(name):
    ours, theirs = (inspect.signature(getattr(module, name)) for module in (metrics, keras.metrics))
    assert [(p.name, p.default) for p in ours.parameters.values()] == [(p.name, p.default) for p in theirs.parameters.values()]


@pytest.mark.parametrize("name", [n for n in CLASSES if n not in ("Metric", "MeanMetricWrapper", "KLDivergence", "Poisson")])
def test_direction_is_that_of_keras(name):
    assert getattr(metrics, name)._direction == getattr(_keras_example(name), "_direction", None)


def _keras_example(name):
    kwargs = next((kwargs for other, kwargs, _ in ROWS if other == name), {})
    return getattr(keras.metrics, name)(**kwargs)


@pytest.mark.parametrize(("name", "kwargs"), REDUCTIONS)
@pytest.mark.parametrize(
    ("values", "weight"),
    [
        *[(shape, None) for shape in ((), (0,), (4,), (4, 3))],
        *[((4,), weight) for weight in ((), (4,), (4, 1))],
        *[((4, 3), weight) for weight in ((4,), (4, 1), (4, 3))],
        ((4, 1), (4,)),
        ((4, 3, 2), (4, 3)),
    ],
)
def test_reductions(name, kwargs, values, weight):
    ours, theirs = both(name, kwargs)
    rng = np.random.default_rng(0)
    values = rng.normal(size=values).astype("float32")
    weight = None if weight is None else rng.uniform(size=weight).astype("float32")
    for metric in (ours, theirs):
        metric.update_state(values, sample_weight=weight)
        metric.update_state(values * 2)
    same(ours.result(), theirs.result(), 2e-3 if kwargs else 2e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["MeanSquaredError", "SparseCategoricalCrossentropy"])
def test_mask(name, weighted):
    kwargs, kind = ({"ignore_class": 1}, "sparse sequence") if "Sparse" in name else ({}, "sequence")
    ours, theirs = both(name, kwargs)
    y_true, y_pred = batch(kind)
    mask = np.random.default_rng(0).random(y_pred.shape[:-1]) < 0.6
    weight = np.random.default_rng(1).random(mask.shape).astype("float32") if weighted else None
    p, q = Tensor(y_pred), keras.ops.convert_to_tensor(y_pred)
    p._keras_mask = Tensor(mask)
    keras_backend.set_keras_mask(q, keras.ops.convert_to_tensor(mask))
    same(ours(y_true, p, sample_weight=weight), theirs(y_true, q, sample_weight=weight))


def test_predictions_at_thresholds_and_outside():
    y_pred = np.array([0.0, 0.25, 0.3, 0.5, 0.75, 1.0, 1.5, -0.5], "float32")
    y_true = np.array([0, 1, 0, 1, 1, 0, 1, 1])
    for name, kwargs in (
        ("AUC", {"num_thresholds": 5}),
        ("AUC", {"num_thresholds": 11, "multi_label": True}),
        ("Precision", {"thresholds": EVEN}),
        ("TrueNegatives", {"thresholds": UNEVEN}),
    ):
        ours, theirs = both(name, kwargs)
        shape = (4, 2) if kwargs.get("multi_label") else (8,)
        ours.update_state(y_true.reshape(shape), y_pred.reshape(shape))
        values, _ = keras_after(theirs, [(y_true.reshape(shape), y_pred.reshape(shape), None)])
        for a, b in zip(ours.variables, values, strict=True):
            same(a.value, b)


def test_nan_predictions_are_no_reason_to_fail():
    many = [0.1 * i for i in range(5)] + [0.65 + 0.01 * i for i in range(10)]
    for metric in (metrics.AUC(), metrics.Recall(), metrics.Recall(thresholds=EVEN), metrics.Recall(thresholds=many)):
        metric.update_state([0, 1, 1], [0.2, np.nan, 0.9])
        assert np.isfinite(metric.result().numpy()).all()
        assert float(metric.true_positives[1]) == 1.0 if len(metric.thresholds) > 1 else float(metric.result()) == 0.5


# ---- the base
class Squares(metrics.Metric):
    def __init__(self, power=2.0, name="squares", **kwargs):
        super().__init__(name=name, **kwargs)
        self.power = power
        self.parts = [metrics.Sum(name="part")]
        self.inner = {"mean": metrics.Mean()}
        self.parts.append(metrics.Mean(name="later"))
        self.total = self.add_weight(name="total", initializer="zeros")
        self.seen = Variable(0, dtype="int32", trainable=False, name="seen")

    def update_state(self, values, sample_weight=None):
        self.total.assign_add(ops.sum(ops.power(ops.convert_to_tensor(values), self.power)))
        self.seen.assign_add(1)
        self.inner["mean"].update_state(values)

    def result(self):
        return {"total": self.total.value, "mean": self.inner["mean"].result()}

    def get_config(self):
        return {**super().get_config(), "power": self.power}


def test_subclass():
    metric = Squares()
    assert {k: float(v) for k, v in metric([1.0, 3.0]).items()} == {"total": 10.0, "mean": 2.0}
    paths = [v.path for v in metric.variables]
    assert paths == ["squares/total", "seen", "part/total", "mean/total", "mean/count", "later/total", "later/count"]
    assert not metric.total.trainable and metric.total.aggregation == "sum"
    metric.reset_state()
    assert all(float(v) == 0 for v in metric.variables)
    assert metric.get_config() == {"name": "squares", "dtype": "float32", "power": 2.0}
    with custom_object_scope({"Squares": Squares}):
        assert metrics.deserialize(metrics.serialize(Squares(3.0))).power == 3.0
    assert repr(metric) == "<Squares name=squares>"


@pytest.mark.parametrize("k", [keras.metrics, metrics], ids=["theirs", "ours"])
@pytest.mark.parametrize("name", ["Mean", "AUC", "MeanSquaredError"])
def test_the_dtype_is_for_the_constructor_alone(k, name):
    metric = getattr(k, name)(dtype="bfloat16")
    with pytest.raises(AttributeError):
        metric.dtype = "float16"
    assert metric.dtype == metric._dtype == "bfloat16"


def test_stateless():
    metric = metrics.Mean()
    before = metric.stateless_reset_state()
    after = metric.stateless_update_state(before, [1.0, 3.0])
    again = metric.stateless_update_state(after, [5.0])
    assert [float(x) for x in again] == [9.0, 3.0] and float(metric.stateless_result(again)) == 3.0
    assert float(metric.total) == 0.0
    with pytest.raises(ValueError, match="expected 2"):
        metric.stateless_update_state([0.0], [1.0])
    with pytest.raises(ValueError, match="expected 2"):
        metric.stateless_result([0.0])


def test_late_variables_in_a_stateless_scope():
    y_true, y_pred = batch("numbers")
    metric = metrics.R2Score()
    metric.update_state(y_true, y_pred)
    expected = float(metric.result())
    zeros = metric.stateless_reset_state()
    assert float(metric.stateless_result(metric.stateless_update_state(zeros, y_true, y_pred))) == pytest.approx(expected)


def test_copies_are_apart():
    metric = metrics.Mean(name="m")
    metric.update_state([2.0])
    for other in (copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        other.update_state([4.0])
        assert float(other.result()) == 3.0 and float(metric.result()) == 2.0
        assert [v.path for v in other.variables] == ["m/total", "m/count"]


def test_updates_need_no_values():
    """Updates run on shapes alone: a step can be recorded, and the batch size may be unknown."""
    for name, kwargs, kind in ROWS:
        metric = getattr(metrics, name)(**kwargs)
        y_true, y_pred = batch(kind)
        metric.update_state(y_true, y_pred)
        for batch_size in (6, None):
            specs = [Tensor(None, (batch_size, *y.shape[1:]), str(y.dtype)) for y in (y_true, y_pred)]
            given = weights_for(name, kwargs, y_true, 0)
            values = [v.value for v in metric.variables]
            for weight in (None, Tensor(None, (batch_size, *given.shape[1:]), str(given.dtype))):
                updated = metric.stateless_update_state(values, *specs, sample_weight=weight)
                assert [u.shape for u in updated] == [v.shape for v in metric.variables], (name, kwargs)


def test_strict_arrays():
    """Nothing here converts an array to NumPy's or mixes them, as CuPy would not let it."""
    for name, kwargs, kind in ROWS:
        results = []
        for library in (NumpyArrays(), StrictArrays()):
            before = arrays.use(library)
            try:
                metric = getattr(metrics, name)(**kwargs)
                y_true, y_pred = batch(kind)
                metric.update_state(y_true, y_pred, sample_weight=weights_for(name, kwargs, y_true, 0))
                results.append(metric.result().numpy())
            finally:
                arrays.use(before)
        np.testing.assert_allclose(*results, rtol=1e-6, err_msg=f"{name}({kwargs})")


# ---- names, configs
@pytest.mark.parametrize("name", ["mse", "MSE", "mae", "MAE", "mape", "MAPE", "msle", "MSLE", "bce", "BCE"])
def test_get_short_name(name):
    assert type(metrics.get(name)).__name__ == type(keras.metrics.get(name)).__name__


def needs_no_arguments(name):
    parameters = inspect.signature(getattr(metrics, name)).parameters.values()
    return all(p.default is not p.empty for p in parameters)


@pytest.mark.parametrize("name", [name for name in CLASSES if needs_no_arguments(name)])
def test_get_by_snake_case(name):
    snake = keras.src.utils.naming.to_snake_case(name)
    assert type(metrics.get(snake)) is type(metrics.get(name)) is getattr(metrics, name)


FUNCTIONS = [name for name in metrics.__all__ if inspect.isfunction(getattr(metrics, name))]
FUNCTIONS = [name for name in FUNCTIONS if name not in ("get", "serialize", "deserialize")]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    function = getattr(metrics, name)
    config = metrics.serialize(function)
    assert config == keras.metrics.serialize(getattr(keras.metrics, name))
    assert metrics.deserialize(config) is function and metrics.get(function) is function
    if name in losses.__all__:
        assert getattr(losses, name) is function


def test_get():
    assert metrics.get(None) is None
    assert type(metrics.get(metrics.Mean)) is metrics.Mean
    assert metrics.get({"class_name": "Hinge", "config": {"name": "z"}}).name == "z"
    assert type(metrics.get({"class_name": "Hinge", "config": {}})) is metrics.Hinge
    for unknown in ("kld", 3):
        with pytest.raises(ValueError, match="Could not interpret metric identifier"):
            metrics.get(unknown)


def test_wrapper_of_a_function():
    ours = metrics.MeanMetricWrapper(losses.huber, name="h", delta=0.5)
    theirs = keras.metrics.MeanMetricWrapper(keras.losses.huber, name="h", delta=0.5)
    same(ours(*batch("numbers")), theirs(*batch("numbers")))
    assert metrics.serialize(ours) == keras.metrics.serialize(theirs)
    again = metrics.deserialize(metrics.serialize(ours))
    same(again(*batch("numbers")), theirs.result())
    assert ours._direction == theirs._direction == "down"
    assert metrics.MeanMetricWrapper(losses.Huber())._direction == "down"
    assert metrics.MeanMetricWrapper(metrics.binary_accuracy)._direction is None


def test_automatic_names():
    names = [metrics.TruePositives().name for _ in range(2)]
    assert names[0].startswith("true_positives") and names[0] != names[1]
    assert metrics.Metric(name="a/b").add_weight(initializer="ones", name="w").path == "a>b/w"


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("AUC", {"curve": "x"}, "AUC curve"),
        ("AUC", {"summation_method": "x"}, "AUC summation method"),
        ("AUC", {"num_thresholds": 1}, "num_thresholds"),
        ("AUC", {"num_labels": 2}, "num_labels"),
        ("Precision", {"thresholds": [0.5, 1.5]}, "1.5"),
        ("SensitivityAtSpecificity", {"specificity": 2}, "specificity"),
        ("RecallAtPrecision", {"precision": 0.5, "num_thresholds": 0}, "num_thresholds"),
        ("IoU", {"num_classes": 2, "target_class_ids": [2]}, "out of range"),
        ("FBetaScore", {"average": "x"}, "average"),
        ("FBetaScore", {"beta": 1}, "beta"),
        ("FBetaScore", {"beta": -1.0}, "beta"),
        ("F1Score", {"threshold": 1.5}, "threshold"),
        ("R2Score", {"class_aggregation": "x"}, "class_aggregation"),
        ("R2Score", {"num_regressors": -1}, "num_regressors"),
    ],
)
def test_wrong_arguments(name, kwargs, message):
    with pytest.raises(ValueError, match=message):
        getattr(metrics, name)(**kwargs)


@pytest.mark.parametrize(
    ("metric", "true", "pred", "message"),
    [
        (lambda: metrics.Precision(class_id=3), (2, 3), (2, 3), "class_id"),
        (lambda: metrics.Precision(), (2, 3), (2, 2), "must have the same shape"),
        (lambda: metrics.MeanSquaredError(), (3,), (3, 3), "must have the same shape"),
        (lambda: metrics.AUC(multi_label=True), (3,), (3,), "rank 2"),
        (lambda: metrics.F1Score(), (3,), (3,), "2D"),
        (lambda: metrics.R2Score(), (3,), (3,), "output_dim"),
    ],
)
def test_wrong_shapes(metric, true, pred, message):
    with pytest.raises(ValueError, match=message):
        metric().update_state(np.ones(true), np.ones(pred))


def test_abstract_and_forgotten():
    with pytest.raises(NotImplementedError, match="update_state"):
        metrics.Metric().update_state()
    with pytest.raises(NotImplementedError, match="result"):
        metrics.Metric().result()

    class Forgot(metrics.Metric):
        def __init__(self):
            self.total = self.add_weight(initializer="zeros")

    with pytest.raises(RuntimeError, match="super"):
        Forgot()


def test_warnings():
    with pytest.warns(UserWarning, match="integer"):
        metrics.MeanIoU(2).update_state([0, 1], [1, 1], sample_weight=np.array([0.5, 1.0]))
    metric = metrics.R2Score(num_regressors=5)
    metric.update_state(*batch("column"))
    with pytest.warns(UserWarning, match="more than 6 data points"):
        value = metric.result()
    plain = metrics.R2Score()
    assert float(value) == pytest.approx(float(plain(*batch("column"))))
