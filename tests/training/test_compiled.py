"""CompileLoss and CompileMetrics against Keras's: structures, names, weights, errors."""

import itertools
import warnings
from collections import OrderedDict, namedtuple

import numpy as np
import pytest
from keras.src.trainers.compile_utils import CompileLoss as KerasLoss
from keras.src.trainers.compile_utils import CompileMetrics as KerasMetrics

from kerasish import losses, metrics, ops, tree
from kerasish.backend.autodiff.tensor import KerasTensor
from kerasish.training.compiled import CompileLoss, CompileMetrics, get_metric
from tests.training.both import OURS, THEIRS

RNG = np.random.default_rng(0)
Pair = namedtuple("Pair", ["first", "second"])


def array(*shape):
    return RNG.uniform(0.1, 0.9, shape).astype("float32")


A, B, C, D = (array(3, 4) for _ in range(4))
W, V = array(3), array(3)
MSE, MAE = "mse", "mean_absolute_error"

STRUCTURES = {
    # name: loss, loss_weights, output_names, y_true, y_pred, sample_weight
    "one": (MSE, None, None, A, B, None),
    "one, weighted": (MSE, 0.5, ["o"], A, B, W),
    "one in a list": ([MSE], [2.0], ["o"], A, B, W),
    "one by name": ({"o": MSE}, {"o": 2.0}, ["o"], A, B, W),
    "one target, one output in a list": ([MSE], None, ["o"], A, [B], W),
    "one for all": (MSE, None, ["p", "q"], [A, B], [C, D], W),
    "list": ([MSE, MAE], [0.5, 2.0], ["p", "q"], [A, B], [C, D], [W, V]),
    "list without names": ([MSE, MAE], None, None, [A, B], [C, D], W),
    "list with a hole": ([MSE, None], None, ["p", "q"], [A, B], [C, D], None),
    "targets only where there is a loss": ([MSE, None], None, ["p", "q"], [A], [C, D], None),
    "targets by name where there is a loss": ([MSE, None], None, ["p", "q"], {"p": A}, [C, D], None),
    "dict of targets where there is a loss": ({"q": MAE}, None, None, {"q": B}, {"p": C, "q": D}, None),
    "by name for a list": ({"q": MAE, "p": MSE}, {"p": 0.5, "q": 2.0}, ["p", "q"], [A, B], [C, D], W),
    "all by name for a list": ({"q": MAE, "p": MSE}, None, ["p", "q"], {"q": B, "p": A}, [C, D], W),
    "tuples": ((MSE, MAE), None, ["p", "q"], (A, B), (C, D), None),
    "list of targets for a tuple": ([MSE, MAE], None, ["p", "q"], [A, B], (C, D), None),
    "dict": ({"p": MSE, "q": MAE}, {"p": 0.5, "q": 2.0}, None, {"p": A, "q": B}, {"p": C, "q": D}, {"p": W, "q": V}),
    "dict, part of it": ({"q": MAE}, None, None, {"p": A, "q": B}, {"p": C, "q": D}, None),
    "list of losses for a dict": ([MSE, MAE], None, None, {"p": A, "q": B}, {"p": C, "q": D}, None),
    "weights as a list for a dict": ({"p": MSE, "q": MAE}, [0.5, 2.0], None, {"p": A, "q": B}, {"p": C, "q": D}, None),
    "nested": (
        {"p": {"r": MSE, "s": MAE}, "q": [MSE, MAE]}, None, None,
        {"p": {"r": A, "s": B}, "q": [B, A]}, {"p": {"r": C, "s": D}, "q": [C, D]}, W,
    ),
    "nested, weighted": (
        {"p": {"r": MSE, "s": MAE}, "q": [MSE, MAE]}, {"p": {"r": 0.1, "s": 0.2}, "q": [0.3, 0.4]}, None,
        {"p": {"r": A, "s": B}, "q": [B, A]}, {"p": {"r": C, "s": D}, "q": [C, D]}, None,
    ),
    "flat targets for nested outputs": ([MSE] * 3, None, None, [A, B, A], (C, [D, B]), None),
    "namedtuple": (Pair(MSE, MAE), None, None, Pair(A, B), Pair(C, D), None),
    "targets in a list where there is a loss": ({"q": MAE}, None, None, [B], {"p": C, "q": D}, None),
    "the only target where there is a loss": ([None, MSE], None, ["p", "q"], B, [C, D], None),
    "nested targets where there is a loss": (
        {"p": {"r": MSE}}, None, None, {"p": {"r": A}}, {"p": {"r": C, "s": D}, "q": B}, None,
    ),
    "fewer losses than outputs": ([MSE], None, ["p", "q"], [A], [C, D], None),
    "weights in a list for one output": (MSE, None, ["o"], A, B, [W]),
    "several losses of nested outputs": ([MSE, MAE], None, None, {"p": A, "q": B}, {"p": C, "q": D}, None),
}  # fmt: skip


@pytest.mark.parametrize("case", STRUCTURES)
def test_losses_of_any_structure(case):
    loss, weights, names, y_true, y_pred, sample_weight = STRUCTURES[case]
    ours, theirs = CompileLoss(loss, weights, names), KerasLoss(loss, weights, output_names=names)
    for _ in range(2):  # built, and as it was built
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = float(theirs(y_true, y_pred, sample_weight))
        assert float(ours(y_true, y_pred, sample_weight)) == pytest.approx(expected, rel=1e-5)
    assert [m.name for m in ours.metrics] == [m.name for m in theirs.metrics]
    for a, b in zip(ours.metrics, theirs.metrics, strict=True):
        assert float(a.result()) == pytest.approx(float(b.result()), rel=1e-5)
    assert len(ours.variables) == 2 * len(ours.metrics)


@pytest.mark.parametrize("case", STRUCTURES)
def test_building_needs_shapes_only(case):
    loss, weights, names, y_true, y_pred, sample_weight = STRUCTURES[case]
    direct, ahead = CompileLoss(loss, weights, names), CompileLoss(loss, weights, names)
    ahead.build(*(tree.map_structure(lambda x: KerasTensor(x.shape), y) for y in (y_true, y_pred)))
    assert float(ahead(y_true, y_pred, sample_weight)) == float(direct(y_true, y_pred, sample_weight))


SHAPES = {
    "one": "*", "[a]": ["*"], "[a, b]": ["*", "*"], "(a, b)": ("*", "*"), "{a}": {"a": "*"}, "{a, b}": {"a": "*", "b": "*"},
    "{b, a}": {"b": "*", "a": "*"}, "{a: {b}, c}": {"a": {"b": "*"}, "c": "*"}, "[a, [b, c]]": ["*", ["*", "*"]], "[a, b, c]": ["*"] * 3,
}  # fmt: skip
LOSS_SHAPES = SHAPES | {"[, b]": [None, "*"], "[a, ]": ["*", None], "{a, b: }": {"a": "*", "b": None}, "{b}": {"b": "*"}}


def filled(shape, leaves):
    return tree.map_structure(lambda leaf: None if leaf is None else next(leaves), shape)


@pytest.mark.parametrize("outputs", SHAPES)
def test_every_combination_of_structures(outputs):
    """Where Keras computes, so do we, the same; but a target is never taken for an output of another name."""
    A, B, C, D = (array(5, 4) for _ in range(4))  # Keras may take the rows of one target for as many targets: five are too many
    y_pred = filled(SHAPES[outputs], iter([A, B, C]))
    computed = 0
    for targets, losses_, named in itertools.product(SHAPES, LOSS_SHAPES, [False, True]):
        y_true = filled(SHAPES[targets], iter([B, D, A]))
        loss = filled(LOSS_SHAPES[losses_], iter([MSE, MAE, MSE]))
        names = list("abc")[: len(tree.flatten(y_pred))] if named else None
        try:
            theirs = KerasLoss(loss, output_names=names)
            expected = float(theirs(y_true, y_pred))
        except Exception:  # its errors are of many kinds, and we take some that it doesn't
            continue
        if outputs == "one" and len(tree.flatten(loss)) > 1:  # see the next test
            continue
        ours = CompileLoss(loss, output_names=names)
        try:
            assert float(ours(y_true, y_pred)) == pytest.approx(expected, rel=1e-5), (targets, losses_, names)
        except ValueError:
            nested = any(map(tree.is_nested, y_true.values() if isinstance(y_true, dict) else y_true))
            assert nested or set(y_true) - {part.name for part in theirs._flat_losses}
            continue
        assert [m.name for m in ours.metrics] == [m.name for m in theirs.metrics]
        computed += 1
    assert computed > 5


def test_outputs_may_change_their_containers():
    loss = CompileLoss([MSE, MAE], output_names=["b", "a"])
    loss.build([KerasTensor((3, 4))] * 2, [KerasTensor((3, 4))] * 2)
    for weights in (None, W, [W, V]):
        expected = float(CompileLoss([MSE, MAE])([A, B], [C, D], weights))
        named = dict(zip("ab", weights, strict=True)) if isinstance(weights, list) else weights
        assert float(loss({"a": A, "b": B}, {"a": C, "b": D}, named)) == pytest.approx(expected)


def test_two_losses_of_one_output_add_up():
    both = CompileLoss([MSE, MAE])
    assert float(both(A, B)) == pytest.approx(float(CompileLoss(MSE)(A, B)) + float(CompileLoss(MAE)(A, B)))


@pytest.mark.parametrize(
    ("arguments", "batch", "error", "message"),
    [
        (("no_such_loss",), None, ValueError, "no_such_loss"),
        ((MSE, 3), None, ValueError, "`loss_weights` is a float .* got 3"),
        (([MSE, MSE], [1.0]), ([A, B], [C, D]), ValueError, "1 weights, 2 losses"),
        ((MSE, [1.0, 1.0]), ([A, B], [C, D]), ValueError, "must match the number of losses"),
        (({"p": MSE}, None, ["p", "q"]), ([A, B], [C, D]), ValueError, r"Expected keys \['p', 'q'\] in the dict of losses"),
        (({"p": MSE, "q": MSE}, {"p": 1.0}, ["p", "q"]), ([A, B], [C, D]), KeyError, r"no weight for \['q'\]"),
        (({"x": MSE},), ([A], {"p": B, "q": C}), KeyError, r"The path: \('x',\) in the `loss` argument"),
        (({"q": MSE},), ({"p": A}, {"p": B, "q": C}), ValueError, "Target data is missing.*for the output 'q'"),
        (({"x": MSE},), ({"p": A}, {"p": B}), KeyError, r"The path: \('x',\) in the `loss` argument"),
        (({"p": {"x": MSE}},), ({"p": [A]}, {"p": [B]}), KeyError, r"has the path \('p',\)"),
        ((MSE,), ([A, B, A], [C, D]), ValueError, "y_true and y_pred have different structures"),
        ((MSE,), ({"x": A, "y": B}, {"p": C, "q": D}), ValueError, "different structures"),
        ((MSE,), (None, A), ValueError, "Target data is missing. Your model was compiled with loss=mse"),
        (([MSE, MAE], None, ["p", "q"]), ({"p": A, "x": B}, [C, D]), ValueError, "different structures"),
        (([MSE, MAE], None, ["p", "q"]), ({"p": A}, [C, D]), ValueError, "Target data is missing.*for the output 'q'"),
        (([MSE, MAE], None, ["p", "q"]), ([A, None], [C, D]), ValueError, "Target data is missing.*for the output 'q'"),
    ],
)
def test_errors_of_losses(arguments, batch, error, message):
    with pytest.raises(error, match=message):
        loss = CompileLoss(*arguments)
        loss(*batch)


CLASS, ROWS = np.array([0, 2, 1, 3]), np.eye(4, dtype="float32")[[0, 2, 1, 3]]
PROBABILITIES, YES = array(4, 4), array(4, 1)


@pytest.mark.parametrize("name", ["accuracy", "acc", "crossentropy", "ce"])
@pytest.mark.parametrize(
    ("y_true", "y_pred", "kind"),
    [
        (CLASS, PROBABILITIES, "SparseCategorical"),
        (CLASS[:, None], PROBABILITIES, "SparseCategorical"),
        (ROWS, PROBABILITIES, "Categorical"),
        (np.round(YES), YES, "Binary"),
        (np.round(YES)[:, 0], YES, "Binary"),
    ],
)
def test_names_that_depend_on_shapes(name, y_true, y_pred, kind):
    metric = get_metric(name, y_true, y_pred)
    assert metric.name == name
    assert type(metric).__name__ == kind + ("Accuracy" if name in ("accuracy", "acc") else "Crossentropy")
    if name in ("crossentropy", "ce"):
        expected = getattr(losses, f"{kind}Crossentropy")()(y_true, y_pred)
        assert float(CompileLoss(name)(y_true, y_pred)) == pytest.approx(float(expected))


def mean(y_true, y_pred):
    return y_pred[..., 0]


METRICS = {
    # name: metrics, weighted_metrics, output_names, y_true, y_pred, sample_weight
    "one": (lambda k: [MSE, k.metrics.MeanAbsoluteError(name="m"), mean], None, None, A, B, W),
    "one, weighted": (lambda k: [MSE], lambda k: [MSE, MSE, "mae"], ["o"], A, B, W),
    "the same twice": (lambda k: [MSE, MSE, MSE], None, None, A, B, None),
    "one output in a list": (lambda k: [[MSE], [MAE]], None, None, [A], [B], W),
    "list": (lambda k: [MSE, [MSE, MAE]], lambda k: [None, MSE], ["p", "q"], [A, B], [C, D], [W, V]),
    "list without names": (lambda k: [MSE, [MSE, MAE]], None, None, [A, B], [C, D], None),
    "weights of one for all": (None, lambda k: [MSE, MSE], ["p", "q"], [A, B], [C, D], W),
    "by name for a list": (lambda k: {"q": MSE}, lambda k: {"p": [MSE], "q": [MSE]}, ["p", "q"], [A, B], [C, D], W),
    "targets by name": (lambda k: {"q": MSE}, None, ["p", "q"], {"q": A, "p": B}, [C, D], None),
    "dict": (lambda k: {"p": MSE, "q": [MAE]}, None, None, {"p": A, "q": B}, {"p": C, "q": D}, None),
    "dict in an order of its own": (
        lambda k: {"p": MSE, "q": [MAE]}, None, None, {"p": A, "q": B}, OrderedDict([("q", D), ("p", C)]), None,
    ),
    "dict in the model's order": (lambda k: [MSE, MAE], None, ["q", "p"], {"p": A, "q": B}, {"p": C, "q": D}, None),
    "nested": (
        lambda k: {"p": [MSE], "q": {"r": MSE, "s": [MAE]}}, None, ["x", "y", "z"],
        {"p": A, "q": {"r": B, "s": A}}, {"p": C, "q": {"r": D, "s": C}}, None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", METRICS)
def test_metrics_of_any_structure(case):
    plain, weighted, names, y_true, y_pred, sample_weight = METRICS[case]
    results = []
    for cls, k in ((CompileMetrics, OURS), (KerasMetrics, THEIRS)):
        metric = cls(plain and plain(k), weighted and weighted(k), output_names=names)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore" if k is THEIRS else "error")
            metric.update_state(y_true, y_pred, sample_weight)
            metric.update_state(y_true, y_pred, sample_weight)
            results.append({name: float(value) for name, value in metric.result().items()})
            assert metric.variables and len(metric.metrics) == len(results[-1])
            metric.reset_state()
            assert not any(float(v) for v in metric.variables)
    assert list(results[0]) == list(results[1])
    assert results[0] == pytest.approx(results[1], rel=1e-5)


@pytest.mark.parametrize(
    ("given", "batch", "error", "message"),
    [
        ("mse", None, ValueError, "`metrics` takes a list, tuple or dict, got mse"),
        (["no_such_metric"], (A, B), ValueError, "no_such_metric"),
        ([None], (A, B), ValueError, "Expected metric, received `None`"),
        (["accuracy"], (None, B), ValueError, "Target data is missing"),
        ({"x": MSE}, ([A, B], [C, D]), ValueError, r"Invalid `metrics`(?s:.*)Received: metrics=\{'x': 'mse'\}"),
        ([MSE, MSE, MSE], ([A, B], [C, D]), ValueError, r"along, the outputs \['p', 'q'\]"),
    ],
)
def test_errors_of_metrics(given, batch, error, message):
    with pytest.raises(error, match=message):
        metric = CompileMetrics(given, None, output_names=["p", "q"])
        metric.update_state(*batch)


def test_no_result_before_there_is_a_batch():
    metric = CompileMetrics(["mse"], None)
    assert metric.variables == metric.metrics == [] and metric.name == "compile_metrics"
    metric.reset_state()
    with pytest.raises(ValueError, match="has not yet been built"):
        metric.result()


def test_masks_are_respected():
    y_pred = ops.convert_to_tensor(B)
    y_pred._keras_mask = ops.convert_to_tensor([True, False, True])
    kept = [0, 2]
    assert float(CompileLoss(MSE)(A, y_pred)) == pytest.approx(float(CompileLoss(MSE)(A[kept], B[kept])), rel=1e-5)
    metric = CompileMetrics([metrics.MeanSquaredError()], None)
    metric.update_state(A, y_pred)
    assert float(metric.result()["mean_squared_error"]) == pytest.approx(np.square(A - B)[kept].mean(), rel=1e-5)
