"""Training curves are those of real Keras: losses, metrics, weights, structures of outputs, and kinds of data."""

import math

import numpy as np
import pytest

from tests.training.both import (
    CLASSES,
    OURS,
    TARGETS,
    THEIRS,
    TOKENS,
    WEIGHTS,
    X,
    assert_close,
    assert_same_training,
    compiled,
    mlp,
    run_both,
    two_heads,
)

ONE_HOT = np.eye(3, dtype="float32")[CLASSES]
YES_NO = (CLASSES == 1).astype("float32")


def classifier(k):
    return compiled(mlp(k, 3, "softmax"), "adam", "sparse_categorical_crossentropy", metrics=["accuracy"])


def test_sparse_labels():
    """The last batch is a short one."""
    assert_same_training(classifier, x=X, y=CLASSES, validation_data=(X[:20], CLASSES[:20]), batch_size=10, epochs=3)


def test_order_of_shuffled_data():
    """With the same seed the rows come in Keras's order."""

    def program(k, begin):
        model = classifier(k)
        begin(model)
        k.set_random_seed(11)
        return model.fit(X, CLASSES, epochs=2, verbose=0, batch_size=12).history

    assert_close(*run_both(program))


@pytest.mark.parametrize(
    ("units", "activation", "y", "loss"),
    [
        (1, "sigmoid", YES_NO, "crossentropy"),
        (1, "sigmoid", YES_NO[:, None], "binary_crossentropy"),
        (3, "softmax", ONE_HOT, "crossentropy"),
        (3, "softmax", CLASSES[:, None], "ce"),
    ],
)
def test_names_that_depend_on_shapes(units, activation, y, loss):
    assert_same_training(
        lambda k: compiled(mlp(k, units, activation), "sgd", loss, metrics=["accuracy", "acc"], weighted_metrics=["accuracy"]),
        x=X, y=y, sample_weight=WEIGHTS,
    )  # fmt: skip


@pytest.mark.parametrize("y", [TARGETS, TARGETS[:, None]])
def test_regression_with_sample_weights(y):
    def make(k):
        metrics = ["mae", k.metrics.RootMeanSquaredError(), lambda y, p: k.ops.mean(k.ops.abs(y - p), axis=-1)]
        return compiled(mlp(k, 1), k.optimizers.SGD(0.05, momentum=0.9), k.losses.Huber(), metrics=metrics, weighted_metrics=["mae", "mse"])

    assert_same_training(make, x=X, y=y, sample_weight=WEIGHTS, validation_data=(X[:12], y[:12], WEIGHTS[:12]))


def test_loss_as_a_function():
    def make(k):
        def cubic(y_true, y_pred):
            return k.ops.mean(k.ops.abs(y_true - y_pred) ** 3, axis=-1)

        return compiled(mlp(k, 1), "rmsprop", cubic, metrics=[cubic])

    assert_same_training(make, x=X, y=TARGETS)


@pytest.mark.parametrize("y", [CLASSES, ONE_HOT])
def test_class_weights(y):
    loss = "sparse_categorical_crossentropy" if y is CLASSES else "categorical_crossentropy"
    assert_same_training(
        lambda k: compiled(mlp(k, 3, "softmax"), "sgd", loss, weighted_metrics=["accuracy"]), x=X, y=y, class_weight={0: 0.1, 2: 4.0}
    )


MSE, SPARSE = "mse", "sparse_categorical_crossentropy"
Y2 = [TARGETS, CLASSES]
NAMED = {"a": TARGETS, "b": CLASSES}


@pytest.mark.parametrize(
    ("arguments", "fit"),
    [
        ({"loss": {"a": MSE, "b": SPARSE}, "loss_weights": {"a": 0.5, "b": 2.0}, "metrics": {"b": ["accuracy"]}}, {"y": NAMED}),
        ({"loss": [MSE, SPARSE], "loss_weights": [0.5, 2.0], "metrics": [["mae"], "accuracy"]}, {"y": Y2}),
        ({"loss": [MSE, SPARSE], "weighted_metrics": {"a": ["mae", "mse"], "b": "acc"}}, {"y": Y2, "sample_weight": WEIGHTS}),
        pytest.param(
            {"loss": [MSE, None], "metrics": [["mae"], None]},
            {"y": Y2},
            marks=pytest.mark.filterwarnings("ignore:Gradients do not exist:UserWarning"),
        ),
        ({"loss": {"a": MSE, "b": SPARSE}}, {"y": Y2, "sample_weight": [WEIGHTS, WEIGHTS[::-1].copy()]}),
    ],
)
def test_two_outputs(arguments, fit):
    assert_same_training(lambda k: compiled(two_heads(k), "adam", **arguments), x=X, **fit)


def test_outputs_in_a_dict():
    def make(k):
        class Named(k.Model):
            def __init__(self):
                super().__init__()
                self.first, self.second = k.layers.Dense(1), k.layers.Dense(3, activation="softmax")

            def call(self, x):
                return {"b": self.second(x), "a": self.first(x)}

        model = compiled(Named(), "sgd", {"a": MSE, "b": SPARSE}, loss_weights={"a": 2.0, "b": 1.0}, metrics={"a": ["mae"], "b": ["acc"]})
        model(X[:2])
        return model

    assert_same_training(make, x=X, y=NAMED)


def test_inputs_in_a_dict():
    def make(k):
        a, b = k.Input((4,), name="first"), k.Input((1,), name="second")
        y = k.layers.Dense(1)(k.layers.Concatenate()([a, b]))
        return compiled(k.Model({"first": a, "second": b}, y), "sgd", "mse")

    assert_same_training(make, x={"first": X, "second": WEIGHTS[:, None]}, y=TARGETS)


@pytest.mark.parametrize("sequences", [False, True])
def test_masked_sequences(sequences):
    """Real Keras loses the mask for metrics in training (not in evaluation), so only losses and evaluation are compared."""

    def program(k, begin):
        inputs = k.Input((6,), dtype="int32")
        x = k.layers.Embedding(9, 4, mask_zero=True)(inputs)
        x = k.layers.Dense(5)(x) if sequences else k.layers.GlobalAveragePooling1D()(x)
        metrics = {"metrics": ["mae"], "weighted_metrics": ["mae"]}
        model = compiled(k.Model(inputs, k.layers.Dense(1)(x)), "sgd", "mse", **metrics)
        begin(model)
        y, weight = (np.repeat(TARGETS[:, None, None], 6, 1), np.repeat(WEIGHTS[:, None], 6, 1)) if sequences else (TARGETS, WEIGHTS)
        data = {"x": TOKENS, "y": y}
        losses = model.fit(**data, batch_size=12, shuffle=False, verbose=0).history["loss"]
        return [*losses, *model.evaluate(**data, sample_weight=weight, batch_size=12, verbose=0), *model.get_weights()]

    assert_close(*run_both(program))


def test_validation_split_batch_size_and_frequency():
    assert_same_training(classifier, x=X, y=CLASSES, validation_split=0.25, validation_batch_size=5, epochs=4, validation_freq=2)


def test_validation_of_listed_epochs_and_some_steps():
    assert_same_training(classifier, x=X, y=CLASSES, validation_data=(X, CLASSES), validation_freq=[1, 3], validation_steps=2)


def test_regularizers_activity_and_added_losses():
    def make(k):
        class Penalty(k.Layer):
            def call(self, x):
                self.add_loss(0.1 * k.ops.mean(x**2))
                return x

        model = mlp(k, 1, kernel_regularizer="l2", bias_regularizer=k.regularizers.L1(0.1), activity_regularizer="l1")
        model.add(Penalty())
        return compiled(model, "sgd", "mse")

    assert_same_training(make, x=X, y=TARGETS, validation_split=0.25)


def test_no_loss_but_the_model_s_own():
    def make(k):
        class Own(k.Model):
            def __init__(self):
                super().__init__()
                self.dense = k.layers.Dense(4)

            def call(self, x):
                y = self.dense(x)
                self.add_loss(k.ops.mean((y - x) ** 2))
                return y

        model = compiled(Own(), "sgd")
        model(X[:1])
        return model

    assert_same_training(make, x=X)


def test_state_that_is_not_trained():
    def make(k):
        layers = [k.Input((4,)), k.layers.Dense(6), k.layers.BatchNormalization(momentum=0.8), k.layers.Dense(1)]
        return compiled(k.Sequential(layers), "sgd", "mse")

    assert_same_training(make, x=X, y=TARGETS, validation_split=0.25)


@pytest.mark.parametrize("frozen", [0, 1])
def test_frozen_layers(frozen):
    def make(k):
        model = mlp(k, 1)
        model.layers[frozen].trainable = False
        return compiled(model, "adam", "mse")

    assert_same_training(make, x=X, y=TARGETS)


def test_learning_rate_schedule():
    def make(k):
        schedule = k.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5)
        return compiled(mlp(k, 1), k.optimizers.SGD(schedule), "mse")

    assert_same_training(make, x=X, y=TARGETS)


def test_averages_of_weights_are_put_in_place_at_the_end():
    def make(k):
        return compiled(mlp(k, 1), k.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.5), "mse")

    assert_same_training(make, x=X, y=TARGETS)


@pytest.mark.parametrize("steps", [2, 50])
def test_steps_per_execution(steps):
    def program(k, begin):
        model = compiled(mlp(k, 1), "sgd", "mse", metrics=["mae"], steps_per_execution=steps)
        begin(model)
        seen = []
        callback = k.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: seen.append(batch))
        history = model.fit(X, TARGETS, batch_size=12, shuffle=False, epochs=2, verbose=0, callbacks=[callback]).history
        return [*history.values(), seen, model.predict(X, batch_size=12, verbose=0), model.evaluate(X, TARGETS, verbose=0, batch_size=12)]

    assert_close(*run_both(program))


def test_steps_per_epoch_take_up_the_data():
    assert_same_training(classifier, x=X, y=CLASSES, steps_per_epoch=2, batch_size=12, epochs=4)


def test_initial_epoch():
    def program(k, begin):
        model = classifier(k)
        begin(model)
        history = model.fit(X, CLASSES, shuffle=False, verbose=0, initial_epoch=2, epochs=4, batch_size=12)
        return [history.epoch, history.history["loss"]]

    assert_close(*run_both(program))


def test_generator():
    def batches(k):
        while True:
            for i in range(0, 48, 12):
                yield X[i : i + 12], CLASSES[i : i + 12], WEIGHTS[i : i + 12]

    # real Keras warns of `shuffle` for what it can't shuffle, unless it is off
    assert_same_training(classifier, x=batches, steps_per_epoch=5, batch_size=None)


class Rows:
    """Batches of 13 rows with their weights, the last one shorter, beginning with one of them."""

    def __init__(self, first=0, **kwargs):
        super().__init__(**kwargs)
        self.first = first

    def __len__(self):
        return math.ceil(len(X) / 13)

    def __getitem__(self, i):
        i = (i + self.first) % len(self)
        return tuple(array[13 * i : 13 * i + 13] for array in (X, CLASSES, WEIGHTS))


class OurRows(Rows, OURS.PyDataset):
    pass


class TheirRows(Rows, THEIRS.PyDataset):
    pass


@pytest.mark.parametrize(
    ("ours", "theirs", "shuffle"),
    [
        ({}, {}, False),
        ({}, {}, True),
        ({"workers": 2}, {}, False),
        ({"workers": 2}, {}, True),
        ({"workers": 2, "first": 1}, {"workers": 2}, False),  # real Keras takes the first batch away to build, and brings it last
    ],
)
def test_py_dataset(ours, theirs, shuffle):
    def program(k, begin):
        data = OurRows(**ours) if k is OURS else TheirRows(**theirs)
        metrics = {"metrics": ["accuracy"], "weighted_metrics": ["accuracy", "sparse_categorical_crossentropy"]}
        model = compiled(mlp(k, 3, "softmax"), "adam", "sparse_categorical_crossentropy", **metrics)
        begin(model)
        k.set_random_seed(1)
        history = model.fit(data, epochs=2, shuffle=shuffle, validation_data=data, verbose=0).history
        return {**history, **{f"evaluate {name}": value for name, value in model.evaluate(data, verbose=0, return_dict=True).items()}}

    assert_close(*run_both(program))


def test_evaluate_and_one_batch():
    def program(k, begin):
        model = compiled(two_heads(k), "sgd", [MSE, SPARSE], metrics=[["mae"], ["acc"]], weighted_metrics=[None, ["acc"]])
        begin(model)
        return [
            *model.evaluate(X, Y2, verbose=0, sample_weight=[WEIGHTS, WEIGHTS], batch_size=12),
            *model.evaluate(X, Y2, verbose=0, return_dict=True, steps=2, batch_size=12).values(),
            *model.train_on_batch(X[:12], [y[:12] for y in Y2]),
            *model.train_on_batch(X[:12], [y[:12] for y in Y2], sample_weight=[WEIGHTS[:12], WEIGHTS[:12]]),
            *model.test_on_batch(X[:12], [y[:12] for y in Y2], return_dict=True).values(),
            *model.predict(X[:12], verbose=0),
            *model.predict_on_batch(X[:12]),
            len(model.metrics_names),
        ]

    assert_close(*run_both(program))


def test_one_number_where_there_is_only_the_loss():
    model = compiled(mlp(OURS, 1), "sgd", "mse")
    assert isinstance(model.evaluate(X, TARGETS, verbose=0), float)
    assert isinstance(model.train_on_batch(X, TARGETS), float)
    assert model.train_on_batch(X, CLASSES, class_weight={0: 0.0, 1: 0.0, 2: 0.0}) == 0.0
    assert list(model.test_on_batch(X, TARGETS, return_dict=True)) == ["loss"]


def test_predict_joins_batches_in_the_outputs_structure():
    model = two_heads(OURS)
    a, b = model.predict(X, batch_size=16, verbose=0)
    assert a.shape == (48, 1) and b.shape == (48, 3) and isinstance(a, np.ndarray)
    for y, whole in zip((a, b), model.predict_on_batch(X), strict=True):
        np.testing.assert_allclose(y, whole, rtol=1e-6, atol=1e-6)
    assert model.predict((row for row in [(X[:3],), (X[3:4],)]), verbose=0)[0].shape == (4, 1)
