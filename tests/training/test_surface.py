"""What people do with models besides the plain ``fit``: nested outputs, frozen and shared parts, callbacks' order, optimizers' options."""

import numpy as np
import pytest

from kerasish.backend.autodiff.gradient import value_and_grad
from tests.training.both import (
    CLASSES,
    OURS,
    TARGETS,
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

MSE, SPARSE = "mse", "sparse_categorical_crossentropy"
EVENTS = [
    f"on_{what}_{when}"
    for what in ("train", "test", "predict", "epoch", "train_batch", "test_batch", "predict_batch")
    for when in ("begin", "end")
]


def recording(k, seen):
    """A callback that notes every call, with its number, and the names in its logs."""

    def note(event):
        def method(self, *args, logs=None):
            *numbers, logs = (*args, logs) if logs is not None or not args or not isinstance(args[-1], (dict, type(None))) else args
            seen.append((event, *numbers, sorted(logs or {})))

        return method

    return type("Recording", (k.callbacks.Callback,), {event: note(event) for event in EVENTS})()


@pytest.mark.parametrize("steps", [1, 3])
def test_callbacks_are_called_in_keras_s_order(steps):
    """With ``steps_per_execution`` the last group of an epoch is a short one, whose end is numbered as if it were whole."""

    def program(k, begin):
        model = compiled(mlp(k, 1), "sgd", MSE, metrics=["mae"], steps_per_execution=steps)
        begin(model)
        seen = []
        one = recording(k, seen)
        model.fit(X, TARGETS, batch_size=12, epochs=3, initial_epoch=1, verbose=0, callbacks=[one], validation_data=(X[:24], TARGETS[:24]))
        model.evaluate(X, TARGETS, batch_size=12, verbose=0, callbacks=[one])
        model.predict(X, batch_size=12, verbose=0, callbacks=[one])
        return seen

    ours, theirs = run_both(program)
    assert len(ours) > 30 and ours == theirs


@pytest.mark.parametrize("event", ["on_train_batch_begin", "on_train_batch_end", "on_epoch_begin", "on_test_batch_end"])
def test_stop_training_from_anywhere(event):
    def program(k, begin):
        model = compiled(mlp(k, 1), "sgd", MSE)
        begin(model)
        seen = []

        class Stop(k.callbacks.Callback):
            pass

        def stop(self, number, logs=None):
            seen.append(number)
            self.model.stop_training = number == 1

        setattr(Stop, event, stop)
        history = model.fit(
            X,
            TARGETS,
            batch_size=12,
            epochs=3,
            shuffle=False,
            verbose=0,
            callbacks=[Stop()],
            validation_data=(X[:24], TARGETS[:24]),
            validation_batch_size=12,
        )
        return [*history.history.values(), seen, *model.get_weights()]

    assert_close(*run_both(program))


def test_an_error_in_a_callback_leaves_a_model_that_goes_on():
    model = compiled(mlp(OURS, 1), "sgd", MSE)

    def fail(batch, logs):
        if batch == 2:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        model.fit(X, TARGETS, batch_size=12, verbose=0, callbacks=[OURS.callbacks.LambdaCallback(on_train_batch_end=fail)])
    assert int(model.optimizer.iterations) == 3
    assert len(model.fit(X, TARGETS, batch_size=12, verbose=0).history["loss"]) == 1


# ---- structures
def nested(k):
    """A Functional model with inputs in a dict and outputs ``{"a": number, "rest": {"b": classes, "c": number}}``."""
    one, two = k.Input((4,), name="one"), k.Input((1,), name="two")
    hidden = k.layers.Dense(8, activation="tanh")(k.layers.Concatenate()([one, two]))
    heads = [
        k.layers.Dense(units, activation=activation, name=name)(hidden)
        for name, units, activation in (("a", 1, None), ("b", 3, "softmax"), ("c", 1, None))
    ]
    return k.Model({"one": one, "two": two}, {"a": heads[0], "rest": {"b": heads[1], "c": heads[2]}})


NESTED_X = {"one": X, "two": WEIGHTS[:, None]}
NESTED_Y = {"a": TARGETS[:, None], "rest": {"b": CLASSES, "c": WEIGHTS[:, None]}}
NESTED_LOSS = {"a": MSE, "rest": {"b": SPARSE, "c": "mae"}}


@pytest.mark.parametrize(
    ("arguments", "fit"),
    [
        ({}, {"validation_split": 0.25}),
        ({"loss_weights": {"a": 0.5, "rest": {"b": 2.0, "c": 1.0}}}, {}),
        ({"metrics": {"a": ["mae"], "rest": {"b": ["accuracy"], "c": ["mse"]}}}, {}),
        ({"weighted_metrics": {"a": ["mae"], "rest": {"b": ["accuracy"], "c": ["mse"]}}}, {"sample_weight": WEIGHTS}),
    ],
)
def test_nested_structures(arguments, fit):
    assert_same_training(lambda k: compiled(nested(k), "sgd", NESTED_LOSS, **arguments), x=NESTED_X, y=NESTED_Y, **fit)


def test_predictions_are_nested_as_the_outputs():
    def program(k, begin):
        model = nested(k)
        begin(model)
        y = model.predict(NESTED_X, batch_size=12, verbose=0)
        assert list(y) == ["a", "rest"] and list(y["rest"]) == ["b", "c"]
        one = model.predict_on_batch({name: x[:12] for name, x in NESTED_X.items()})
        return [y["a"], y["rest"]["b"], y["rest"]["c"], one["rest"]["c"]]

    assert_close(*run_both(program))


@pytest.mark.parametrize(
    ("units", "activation", "loss", "y"),
    [(3, "softmax", SPARSE, CLASSES[:, None]), (1, "sigmoid", "binary_crossentropy", (CLASSES == 1).astype("float32")),
     (1, "sigmoid", "binary_crossentropy", (CLASSES == 1).astype("int32")[:, None])],
)  # fmt: skip
def test_class_weights_of_several_kinds_of_targets(units, activation, loss, y):
    assert_same_training(
        lambda k: compiled(mlp(k, units, activation), "sgd", loss, weighted_metrics=["accuracy"]),
        x=X, y=y, class_weight={0: 0.5, 1: 3.0}, validation_data=(X[:12], y[:12]),
    )  # fmt: skip


@pytest.mark.parametrize("y", [TARGETS, {"out": TARGETS}])
def test_names_and_values_of_metrics(y):
    def program(k, begin):
        x = k.Input((4,))
        model = k.Model(x, {"out": k.layers.Dense(1, name="out")(x)} if isinstance(y, dict) else k.layers.Dense(1, name="out")(x))
        metrics = ["mae", k.metrics.MeanSquaredError(name="own")]
        compiled(model, "sgd", MSE, metrics={"out": metrics} if isinstance(y, dict) else metrics, weighted_metrics=["mape"])
        begin(model)
        before = list(model.metrics_names)
        values = model.evaluate(X, y, sample_weight=WEIGHTS, batch_size=12, verbose=0)
        named = model.evaluate(X, y, sample_weight=WEIGHTS, batch_size=12, verbose=0, return_dict=True)
        now = {name: float(value) for name, value in model.get_metrics_result().items()}
        model.reset_metrics()
        return before, model.metrics_names, values, named, now, {name: float(v) for name, v in model.get_metrics_result().items()}

    ours, theirs = run_both(program)
    assert ours[:2] == theirs[:2]
    for a, b in zip(ours[2:], theirs[2:], strict=True):
        assert_close(a, b)


def test_tuples_of_a_subclassed_model():
    def program(k, begin):
        class Pair(k.Model):
            def __init__(self):
                super().__init__()
                self.a, self.b = k.layers.Dense(1), k.layers.Dense(3, activation="softmax")

            def call(self, x, training=False):
                return self.a(x["u"]), (self.b(x["v"]),)

        model, x = compiled(Pair(), "sgd", (MSE, (SPARSE,))), {"u": X, "v": X[:, ::-1].copy()}
        model({name: part[:1] for name, part in x.items()})
        begin(model)
        y = (TARGETS[:, None], (CLASSES,))
        history = model.fit(x, y, batch_size=12, shuffle=False, verbose=0, validation_split=0.25).history
        a, (b,) = model.predict(x, verbose=0, batch_size=12)
        return [*history.values(), a, b]

    assert_close(*run_both(program))


def test_masks_of_recurrent_layers_reach_losses_and_metrics():
    """Real Keras loses the mask for metrics in training, so these are compared in evaluation."""

    def program(k, begin):
        inputs = k.Input((6,), dtype="int32")
        x = k.layers.LSTM(4, return_sequences=True)(k.layers.Embedding(9, 4, mask_zero=True)(inputs))
        x = k.layers.TimeDistributed(k.layers.Dense(3, activation="softmax"))(x)
        model = compiled(k.Model(inputs, x), "adam", SPARSE, weighted_metrics=["accuracy"])
        begin(model)
        losses = model.fit(TOKENS, TOKENS % 3, batch_size=12, shuffle=False, verbose=0, epochs=2).history["loss"]
        return [losses, *model.evaluate(TOKENS, TOKENS % 3, batch_size=12, verbose=0), *model.get_weights()]

    assert_close(*run_both(program), tol=5e-5)


def test_loss_and_metrics_by_hand():
    """``compute_loss`` and ``compute_metrics`` on one's own predictions, with and without sample weights."""

    def program(k, begin):
        model = compiled(two_heads(k), "sgd", [MSE, SPARSE], loss_weights=[0.3, 0.7], metrics=[["mae"], ["accuracy"]])
        begin(model)
        y, y_pred = [k.ops.convert_to_tensor(TARGETS[:, None]), k.ops.convert_to_tensor(CLASSES)], model(X)
        losses = [float(model.compute_loss(X, y, y_pred, weights)) for weights in (None, [WEIGHTS, WEIGHTS])]
        return [*losses, *[float(value) for value in model.compute_metrics(X, y, y_pred).values()]]

    assert_close(*run_both(program))


def test_one_batch_after_another():
    def program(k, begin):
        schedule = k.optimizers.schedules.CosineDecay(0.1, 5)
        model = compiled(mlp(k, 1), k.optimizers.Adam(schedule), MSE, metrics=["mae"], weighted_metrics=["mse"])
        begin(model)
        steps = [model.train_on_batch(X, TARGETS, sample_weight=WEIGHTS) for _ in range(3)]
        rate = float(k.ops.convert_to_numpy(model.optimizer.learning_rate))
        return [*steps, model.test_on_batch(X, TARGETS), model.predict_on_batch(X[:5]), rate]

    assert_close(*run_both(program))


# ---- parts that are frozen, shared, or models themselves
@pytest.mark.parametrize("frozen", ["model", "layer"])
def test_transfer_learning(frozen):
    """A net with BatchNormalization, of which a part is frozen first, then trained as a whole after a new ``compile``."""

    def program(k, begin):
        layers = [k.Input((4,)), k.layers.Dense(6, use_bias=False), k.layers.BatchNormalization(momentum=0.5), k.layers.Activation("tanh")]
        base = k.Sequential(layers, name="base")
        inputs = k.Input((4,))
        model = k.Model(inputs, k.layers.Dense(1, kernel_regularizer="l2")(base(inputs)))
        if frozen == "model":
            base.trainable = False
        else:
            base.layers[1].trainable = False
        begin(model)
        out = []
        for _ in range(2):
            compiled(model, k.optimizers.Adam(0.01), MSE)
            history = model.fit(X, TARGETS, batch_size=12, epochs=2, shuffle=False, verbose=0).history["loss"]
            out += [history, len(model.trainable_weights), *model.get_weights()]
            base.trainable = True
        return out

    assert_close(*run_both(program), tol=5e-5)


def test_shared_layers_and_models_in_models():
    def make(k):
        encoder = k.Sequential([k.Input((2,)), k.layers.Dense(3, activation="tanh"), k.layers.Dense(2)], name="encoder")
        inputs = k.Input((4,))
        left, right = encoder(inputs[:, :2]), encoder(inputs[:, 2:])
        inner_in = k.Input((2,))
        inner = k.Model(inner_in, [k.layers.Dense(2)(inner_in), inner_in * 2.0], name="inner")
        a, b = inner(k.layers.Subtract()([left, right]))
        return compiled(k.Model(inputs, k.layers.Dense(1)(k.layers.Concatenate()([a, b]))), "adam", MSE)

    assert_same_training(make, x=X, y=TARGETS)


# ---- optimizers
@pytest.mark.parametrize(
    "make",
    [
        lambda k: k.optimizers.Muon(0.01),
        lambda k: k.optimizers.SGD(0.05, momentum=0.9, gradient_accumulation_steps=3),
        lambda k: k.optimizers.Adam(0.01, clipnorm=0.1, weight_decay=0.01),
        lambda k: k.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=3),
        lambda k: k.optimizers.ScheduleFreeAdamW(0.01),
        lambda k: k.optimizers.MultiOptimizer(k.optimizers.OptimizerMap(k.optimizers.SGD(0.05), {".*bias": k.optimizers.Adam(0.01)})),
    ],
)
def test_optimizers_in_fit(make):
    assert_same_training(lambda k: compiled(mlp(k, 1), make(k), MSE), x=X, y=TARGETS, epochs=3, validation_data=(X[:12], TARGETS[:12]))


def test_averaged_weights_are_swapped_in_for_validation():
    def make(k):
        return compiled(mlp(k, 1), k.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.5), MSE)

    assert_same_training(make, x=X, y=TARGETS, callbacks=lambda k: [k.callbacks.SwapEMAWeights()], validation_data=(X[:12], TARGETS[:12]))


# ---- pure functions
def test_a_loop_of_stateless_calls():
    """Nothing but ``stateless_*`` methods: the model's own state stays as it was."""

    def program(k, begin):
        model = k.Sequential(
            [k.Input((4,)), k.layers.Dense(6, use_bias=False), k.layers.BatchNormalization(momentum=0.5), k.layers.Dense(1)]
        )
        begin(model)
        optimizer, metric = k.optimizers.Adam(0.05), k.metrics.MeanAbsoluteError()
        optimizer.build(model.trainable_variables)
        groups = (model.trainable_variables, model.non_trainable_variables, optimizer.variables, metric.variables)
        trainable, others, slots, totals = ([v.value for v in group] for group in groups)
        y = k.ops.convert_to_tensor(TARGETS[:, None])

        def loss(trainable, others):
            return k.ops.mean((y - model.stateless_call(trainable, others, k.ops.convert_to_tensor(X), training=True)[0]) ** 2)

        losses = []
        for _ in range(3):
            value, slopes = k.value_and_grad(loss)(trainable, others)
            prediction, others = model.stateless_call(trainable, others, k.ops.convert_to_tensor(X), training=True)
            trainable, slots = optimizer.stateless_apply(slots, slopes, trainable)
            totals = metric.stateless_update_state(totals, y, prediction)
            losses.append(float(value))
        return [
            losses,
            float(metric.stateless_result(totals)),
            *map(np.asarray, model.get_weights()),
            *map(k.ops.convert_to_numpy, (*trainable, *others)),
        ]

    assert value_and_grad is OURS.value_and_grad
    assert_close(*run_both(program), tol=5e-5)


def test_own_metrics_by_compute_metrics():
    def make(k):
        class Own(k.Model):
            def __init__(self):
                super().__init__()
                self.dense, self.seen = k.layers.Dense(1), k.metrics.Sum(name="seen")

            def call(self, x):
                return self.dense(x)

            def compute_metrics(self, x, y, y_pred, sample_weight=None):
                self.seen.update_state(k.ops.ones_like(y))
                return {**super().compute_metrics(x, y, y_pred, sample_weight), "double": 2 * self.seen.result()}

        model = compiled(Own(), "sgd", MSE, metrics=["mae"])
        model(X[:1])
        return model

    assert_same_training(make, x=X, y=TARGETS[:, None], validation_split=0.25)


# ---- arguments that calls hand down
def test_registered_arguments_reach_layers_inside():
    """Through layers that know nothing of them, Functional and Sequential models too; the innermost value counts."""

    def program(k, begin):
        class Inner(k.Layer):
            def __init__(self):
                super().__init__()
                self._register_call_context_args("mode")

            def call(self, x, mode=None):
                return x + (1.0 if mode else 0.0)

        class Middle(k.Layer):
            def __init__(self):
                super().__init__()
                self.inner, self.fixed = Inner(), Inner()

            def call(self, x):
                return self.inner(x) + 10 * self.fixed(x, mode=True)

        inputs = k.Input((1,))
        functional, sequential = k.Model(inputs, Middle()(inputs)), k.Sequential([Inner(), Inner()])
        middle = Middle()
        out, zero = [], np.zeros((1, 1), "float32")
        for layer in (middle, functional, sequential):
            layer._register_call_context_args("mode")
            out += [float(layer(zero, mode=mode)[0, 0]) for mode in (True, False, None)] + [float(layer(zero)[0, 0])]
        try:
            middle._register_call_context_args("late")
        except RuntimeError:
            out.append(-1.0)
        return out

    ours, theirs = run_both(program)
    assert ours == theirs and ours[0] == 11.0
