"""compile, building, errors and warnings of the Trainer."""

import json

import numpy as np
import pytest

from kerasish import config, dtype_policies, layers, optimizers
from kerasish.backend import arrays
from kerasish.backend.autodiff.tensor import Tensor
from kerasish.callbacks import Callback, EarlyStopping
from kerasish.data import PyDataset
from tests.conformance.strict import StrictArrays
from tests.training.both import CLASSES, OURS, TARGETS, THEIRS, WEIGHTS, X, compiled, mlp, two_heads


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"optimizer": "adam", "loss": "mse", "metrics": ["mae"]},
        {"loss": ["mse", "mae"], "loss_weights": [1.0, 2.0], "weighted_metrics": [["acc"], None], "steps_per_execution": 3},
        {"loss": {"a": "mse"}, "run_eagerly": True},
        {"loss": "mse", "jit_compile": False},
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of real Keras
def test_compile_config_is_keras_s(arguments):
    ours, theirs = (compiled(mlp(k, 1), **arguments) for k in (OURS, THEIRS))
    config = [model.get_compile_config() for model in (ours, theirs)]
    for c in config:
        c["optimizer"]["config"].pop("name")
    assert json.loads(json.dumps(config[0])) == json.loads(json.dumps(config[1]))


def test_compile_from_config():
    model = mlp(OURS, 1)
    assert model.get_compile_config() == {} and not model.compiled
    compiled(model, optimizers.Adam(0.25), OURS.losses.Huber(delta=2.0), metrics=["mae", OURS.metrics.MeanSquaredError()])
    again = mlp(OURS, 1)
    again.compile_from_config(json.loads(json.dumps(model.get_compile_config())))
    assert again.get_compile_config() == model.get_compile_config()
    assert float(again.optimizer.learning_rate) == 0.25 and again.optimizer.built and again.loss.delta == 2.0
    again.fit(X, TARGETS, verbose=0)
    assert set(again.history.history) == {"loss", "mae", "mean_squared_error"}


def test_a_compile_of_one_s_own_is_not_called_by_loading():
    class Own(OURS.Sequential):
        def compile(self, something):
            super().compile(loss="mse")

    model = Own([OURS.Input((4,)), layers.Dense(1)])
    with pytest.warns(UserWarning, match="`compile\\(\\)` was not called as part of model loading"):
        model.compile_from_config({})
    assert not model.compiled


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_compile_comes_first(method):
    with pytest.raises(ValueError, match=r"You must call `compile\(\)` before using the model."):
        getattr(mlp(OURS, 1), method)(X, TARGETS)


def test_predict_needs_no_compile():
    assert mlp(OURS, 1).predict(X, verbose=0).shape == (48, 1)


def test_an_unbuilt_model_is_built_by_data():
    class Late(OURS.Model):
        def __init__(self):
            super().__init__()
            self.hidden, self.out = layers.Dense(5), layers.Dense(1)

        def call(self, inputs, training=False):
            return self.out(self.hidden(inputs["x"]) * (2.0 if training else 1.0))

    class Look(Callback):
        def on_train_begin(self, logs=None):
            model = self.model
            self.seen = len(model.weights), model.optimizer.built, model._compile_loss.built, len(model._compile_metrics.metrics)

    look, data = Look(), {"x": X}
    model = compiled(Late(), "adam", "mse", metrics=["mae"])
    model.fit(data, TARGETS, verbose=0, callbacks=[look])
    assert look.seen == (4, True, True, 1) and model.built
    assert Late().predict(data, verbose=0).shape == (48, 1)
    assert Late().predict_on_batch(data).shape == (48, 1)
    assert np.isfinite(compiled(Late(), "adam", "mse").evaluate(data, TARGETS, verbose=0))
    assert np.isfinite(compiled(Late(), "adam", "mse").train_on_batch(data, TARGETS))


def test_building_leaves_state_alone():
    class Counting(layers.Layer):
        def build(self, shape):
            self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, x):
            self.calls.assign_add(1.0)
            return x

    counting = Counting()
    model = compiled(OURS.Sequential([counting, layers.Dense(1)]), "sgd", "mse")
    model.fit(X, TARGETS, batch_size=12, verbose=0)
    assert float(counting.calls) == 4


def test_a_model_that_looks_at_values_is_built_with_values():
    class Looking(OURS.Model):
        def __init__(self):
            super().__init__()
            self.one, self.other = layers.Dense(1), layers.Dense(1)

        def call(self, x):
            return self.one(x) if float(x[0, 0]) < 1e9 else self.other(x)

    model = compiled(Looking(), "sgd", "mse", run_eagerly=True)
    before = len(model.fit(X, TARGETS, epochs=2, verbose=0).history["loss"])
    assert before == 2 and len(model.weights) == 2


def test_mixed_float16_scales_the_loss():
    dtype_policies.set_dtype_policy("mixed_float16")
    try:
        model = compiled(mlp(OURS, 1), "sgd", "mse")
        plain = compiled(mlp(OURS, 1), "sgd", "mse", auto_scale_loss=False)
    finally:
        dtype_policies.set_dtype_policy("float32")
    assert isinstance(model.optimizer, optimizers.LossScaleOptimizer) and isinstance(plain.optimizer, optimizers.SGD)
    before = model.get_weights()
    loss = model.fit(X, TARGETS, epochs=5, verbose=0, batch_size=12).history["loss"]
    assert loss[-1] < loss[0] and not np.array_equal(before[0], model.get_weights()[0])


def test_eager_and_jit():
    model = compiled(mlp(OURS, 1), run_eagerly=True)
    assert model.run_eagerly and not model.jit_compile
    assert compiled(mlp(OURS, 1)).jit_compile
    with pytest.warns(UserWarning, match="`jit_compile` cannot also be True"):
        assert not compiled(mlp(OURS, 1), run_eagerly=True, jit_compile=True).jit_compile
    model = mlp(OURS, 1)
    model.layers[0].supports_jit = False
    assert not compiled(model).jit_compile
    with pytest.warns(UserWarning, match="doesn't support `jit_compile=True`"):
        model.jit_compile = True


def fit_error(**arguments):
    """Arguments of a fit of :func:`two_heads` that is wrong in some way."""
    return {"x": X, "y": [TARGETS, CLASSES], "verbose": 0, **arguments}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": None}, "Target data is missing"),
        ({"y": [TARGETS]}, "different structures"),
        ({"y": [TARGETS, CLASSES[:9]]}, "Data cardinality is ambiguous"),
        ({"y": {"a": TARGETS, "x": CLASSES}}, "different structures"),
        ({"x": None, "y": None}, "No data"),
        ({"x": X.tolist(), "y": TARGETS}, "must be made an array first"),
        ({"x": iter([]), "y": None}, "must yield at least one batch"),
        ({"x": X[:, :3]}, r"expected shape=\(None, 4\)"),
        ({"validation_freq": 0, "validation_split": 0.5}, "between validations.*Received: 0"),
        ({"validation_freq": "often", "validation_split": 0.5}, "Expected `validation_freq` to be a list or int"),
        ({"validation_split": 1.5}, "between 0 and 1"),
        ({"validation_data": (X, [TARGETS, CLASSES[:4]])}, "cardinality"),
        ({"validation_data": (X, 1, 2, 3)}, "4 items"),
        ({"validation_data": (X, TARGETS)}, "different structures"),
        ({"validation_data": (X,)}, "Target data is missing"),
        ({"validation_data": (X[:, :2], [TARGETS, CLASSES])}, r"expected shape=\(None, 4\)"),
        ({"class_weight": {0: 1.0}}, "single output"),
    ],
)
def test_what_is_wrong_is_told_before_any_step(arguments, message):
    model = compiled(two_heads(OURS), "sgd", ["mse", "sparse_categorical_crossentropy"])
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        model.fit(**fit_error(**arguments))
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_unknown_names_are_told():
    with pytest.raises(ValueError, match="mean_squard_error"):
        compiled(mlp(OURS, 1), "sgd", "mean_squard_error")
    with pytest.raises(ValueError, match="adamm"):
        compiled(mlp(OURS, 1), "adamm")
    with pytest.raises(ValueError, match="no_metric"):
        compiled(mlp(OURS, 1), "sgd", "mse", metrics=["no_metric"]).fit(X, TARGETS, verbose=0)
    with pytest.raises(ValueError, match="`steps_per_execution` must be a positive integer"):
        compiled(mlp(OURS, 1), steps_per_execution=0)
    with pytest.raises(ValueError, match="Arguments not recognized: {'stepz': 3}"):
        compiled(mlp(OURS, 1), loss="mse").evaluate(X, TARGETS, stepz=3)


def test_no_loss_is_told():
    with pytest.raises(ValueError, match="No loss to compute"):
        compiled(mlp(OURS, 1)).fit(X, TARGETS, verbose=0)
    assert compiled(mlp(OURS, 1), metrics=["mae"]).evaluate(X, TARGETS, verbose=0, return_dict=True)["loss"] == 0.0


def test_nothing_to_train_is_told():
    model = mlp(OURS, 1)
    model.trainable = False
    compiled(model, "sgd", "mse")
    with pytest.warns(UserWarning, match="does not have any trainable weights"):
        model.fit(X, TARGETS, verbose=0)


def test_trainable_that_changed_after_compile_is_told_once():
    model = compiled(mlp(OURS, 1), "sgd", "mse")
    name = model.layers[0].name
    model.layers[0].trainable = False
    with pytest.warns(UserWarning, match=f"`trainable` state has changed.*{name}"):
        model.fit(X, TARGETS, verbose=0)
    model.fit(X, TARGETS, verbose=0)


def test_epochs_may_be_capped():
    config.set_max_epochs(1)
    try:
        with pytest.warns(UserWarning, match="Limiting epochs to 1"):
            assert len(compiled(mlp(OURS, 1), "sgd", "mse").fit(X, TARGETS, epochs=3, verbose=0).epoch) == 1
    finally:
        config.set_max_epochs(None)


def test_a_generator_that_ends_ends_the_training():
    model = compiled(mlp(OURS, 1), "sgd", "mse")
    batches = [(X[:12], TARGETS[:12])] * 4
    with pytest.warns(UserWarning, match="ran out of data after 1 epochs"):
        assert len(model.fit(iter(batches), epochs=3, verbose=0).epoch) == 1
    with pytest.warns(UserWarning, match="ran out of data after 2 epochs"):
        assert len(model.fit(iter(batches), epochs=3, steps_per_epoch=2, verbose=0).epoch) == 2
    with pytest.warns(UserWarning, match="validation data ran out"):
        history = model.fit(X, TARGETS, validation_data=iter(batches), epochs=2, verbose=0).history
    assert len(history["loss"]) == 2 and len(history["val_loss"]) == 1


def test_workers_end_when_a_callback_raises():
    class Data(PyDataset):
        open = 0

        def __len__(self):
            return 40

        def __getitem__(self, i):
            return X[:2], TARGETS[:2]

    class Stop(Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    data, ended = Data(workers=2), []
    data.on_epoch_end = lambda: ended.append(True)
    with pytest.raises(KeyboardInterrupt):
        compiled(mlp(OURS, 1), "sgd", "mse").fit(data, verbose=0, callbacks=[Stop()])
    assert ended == [True]


@pytest.mark.parametrize("on_device", [False, True])
def test_a_device_is_read_only_where_numbers_are_shown(on_device):
    """On arrays that refuse to be converted to NumPy by themselves, as CuPy's do."""
    before = arrays.use(StrictArrays())
    try:
        put = Tensor if on_device else np.asarray
        model = compiled(mlp(OURS, 3, "softmax"), "adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        arguments = {"class_weight": {0: 2.0}, "validation_data": (put(X), put(CLASSES), put(WEIGHTS))}
        history = model.fit(put(X), put(CLASSES), epochs=2, batch_size=10, verbose=0, **arguments).history
        y = model.predict(put(X), batch_size=10, verbose=0)
        model.fit(put(X), put(CLASSES), validation_split=0.25, verbose=0, callbacks=[EarlyStopping(restore_best_weights=True)])
        assert isinstance(model.train_on_batch(put(X), put(CLASSES), class_weight={0: 2.0})[0], float)
    finally:
        arrays.use(before)
    assert len(history) == 4 and isinstance(y, np.ndarray) and y.shape == (48, 3)


def test_stopping():
    model = compiled(mlp(OURS, 1), "sgd", "mse")

    class Stop(Callback):
        seen = 0

        def on_train_batch_end(self, batch, logs=None):
            self.seen += 1
            self.model.stop_training = True

        def on_test_batch_end(self, batch, logs=None):
            self.seen += 1
            self.model.stop_evaluating = True

        def on_predict_batch_end(self, batch, logs=None):
            self.seen += 1
            self.model.stop_predicting = True

    stop = Stop()
    assert len(model.fit(X, TARGETS, batch_size=12, epochs=3, verbose=0, callbacks=[stop]).epoch) == 1
    model.evaluate(X, TARGETS, batch_size=12, verbose=0, callbacks=[stop])
    assert len(model.predict(X, batch_size=12, verbose=0, callbacks=[stop])) == 12
    assert stop.seen == 3


def test_metrics_of_layers_are_reported_and_reset():
    class Scale(layers.Layer):
        def __init__(self):
            super().__init__()
            self.size = OURS.metrics.Mean(name="size")

        def call(self, x):
            self.size.update_state(OURS.ops.mean(x))
            return x

    model = compiled(OURS.Sequential([OURS.Input((4,)), Scale(), layers.Dense(1)]), "sgd", "mse", metrics=["mae"])
    assert model.metrics_names == ["loss", "compile_metrics", "size"]
    history = model.fit(X, TARGETS, batch_size=48, epochs=2, verbose=0).history
    assert history["size"] == pytest.approx([float(X.mean())] * 2, rel=1e-5)


def test_a_step_leaves_no_graph_behind():
    model = compiled(mlp(OURS, 1), "adam", "mse", metrics=["mae"])
    model.train_on_batch(X, TARGETS)
    logs = model.train_step((Tensor(X), Tensor(TARGETS)))
    assert all(value.call is None for value in logs.values())
    model.test_on_batch(X, TARGETS, sample_weight=WEIGHTS)
    assert all(v.value.call is None for v in [*model.variables, *model.optimizer.variables, *model.metrics_variables])
    y = model.make_predict_function()(iter([X]))
    assert y.call is None and y.shape == (48, 1)
