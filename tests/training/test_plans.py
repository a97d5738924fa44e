"""Steps that are recorded and replayed train as eager steps do, and see every change that a user makes."""

import threading

import numpy as np
import pytest

import kerasish as keras
from kerasish import layers, ops

X = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
Y = (X @ np.arange(6, dtype="float32")[:, None] * 0.1).astype("float32")
CLASSES = (np.arange(40) % 3).astype("int32")


def dense():
    return keras.Sequential([keras.Input((6,)), layers.Dense(8, activation="relu"), layers.Dense(1)])


def normalized():
    return keras.Sequential([keras.Input((6,)), layers.Dense(8, use_bias=False), layers.BatchNormalization(), layers.Dropout(0.5, seed=1), layers.Dense(1)])


def regularized():
    return keras.Sequential([keras.Input((6,)), layers.Dense(8, kernel_regularizer="l2", activity_regularizer="l1"), layers.Dense(1)])


def recurrent():
    return keras.Sequential([keras.Input((6,)), layers.Reshape((3, 2)), layers.LSTM(4), layers.Dense(1)])


def classifier():
    return keras.Sequential([keras.Input((6,)), layers.Dense(8, activation="gelu"), layers.Dense(3, activation="softmax")])


def trained(make, eager, compile_args, fit_args):
    keras.utils.set_random_seed(0)
    model = make()
    model.compile(**compile_args, run_eagerly=eager)
    y = CLASSES if make is classifier else Y
    history = model.fit(X, y, batch_size=16, verbose=0, **{"epochs": 2, **fit_args}).history  # 40 = 2 * 16 + 8: a short last batch
    return [v.numpy() for v in [*model.variables, *model.optimizer.variables]], history


CASES = {
    "sgd": (dense, {"optimizer": "sgd", "loss": "mse", "metrics": ["mae"]}, {}),
    "adam, clipped": (dense, {"optimizer": keras.optimizers.Adam, "loss": "mse"}, {}),
    "validation": (dense, {"optimizer": "rmsprop", "loss": "mse"}, {"validation_split": 0.25}),
    "weights of samples": (dense, {"optimizer": "sgd", "loss": "mse", "weighted_metrics": ["mse"]}, {"sample_weight": np.linspace(0, 2, 40)}),
    "moving statistics, dropout": (normalized, {"optimizer": "adam", "loss": "mse"}, {}),
    "regularizers": (regularized, {"optimizer": "adamw", "loss": "huber"}, {}),
    "a sequence": (recurrent, {"optimizer": "nadam", "loss": "mse"}, {}),
    "classes": (classifier, {"optimizer": "adam", "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]},
                {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}}),
    "several steps at once": (dense, {"optimizer": "sgd", "loss": "mse", "steps_per_execution": 2}, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_plans_train_as_eager_steps(case):
    make, compile_args, fit_args = CASES[case]

    def options():
        optimizer = compile_args["optimizer"]
        return compile_args if isinstance(optimizer, str) else {**compile_args, "optimizer": optimizer(0.01, clipnorm=0.1, use_ema=True)}

    eager, eager_history = trained(make, True, options(), fit_args)
    plan, plan_history = trained(make, False, options(), fit_args)
    assert eager_history.keys() == plan_history.keys()
    for name, values in eager_history.items():
        np.testing.assert_allclose(plan_history[name], values, rtol=1e-4, atol=1e-6, err_msg=name)
    for a, b in zip(plan, eager, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-5)


def compiled(model=None, **kwargs):
    keras.utils.set_random_seed(0)
    model = model or dense()
    model.compile(**{"optimizer": "sgd", "loss": "mse", **kwargs})
    return model


def test_another_learning_rate_counts_at_once():
    model = compiled()
    model.train_on_batch(X, Y)
    before = model.get_weights()
    model.optimizer.learning_rate = 0.0
    model.train_on_batch(X, Y)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_layer_frozen_between_fits_stays_as_it_is():
    model = compiled()
    model.fit(X, Y, verbose=0)
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    kernel, other = model.layers[0].kernel.numpy(), model.layers[1].kernel.numpy()
    model.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(model.layers[0].kernel.numpy(), kernel)
    assert not np.array_equal(model.layers[1].kernel.numpy(), other)


def test_an_attribute_changed_between_steps_counts():
    model = keras.Sequential([keras.Input((6,)), layers.LeakyReLU(negative_slope=0.5)])
    np.testing.assert_allclose(model.predict(X, verbose=0), np.where(X > 0, X, 0.5 * X))
    model.layers[0].negative_slope = 0.0
    np.testing.assert_allclose(model.predict(X, verbose=0), np.maximum(X, 0))


def test_weights_set_between_steps_count():
    model = compiled()
    model.predict(X, verbose=0)
    model.set_weights([np.zeros(w.shape, "float32") for w in model.get_weights()])
    assert not model.predict(X, verbose=0).any()
    model.layers[1].bias.assign([3.0])
    assert (model.predict(X, verbose=0) == 3.0).all()


def test_a_layer_added_between_predictions_counts():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(6, kernel_initializer="identity", use_bias=False)])
    np.testing.assert_allclose(model.predict(X, verbose=0), X)
    model.add(layers.Rescaling(2.0) if hasattr(layers, "Rescaling") else layers.Lambda(lambda x: x * 2.0))
    np.testing.assert_allclose(model.predict(X, verbose=0), 2 * X)


def test_predictions_of_one_call_are_not_those_of_the_next():
    model = compiled()
    first = model.predict_on_batch(X[:4])
    copy = first.copy()
    model.predict_on_batch(X[4:8])
    np.testing.assert_array_equal(first, copy)


def test_an_error_in_the_middle_of_a_step_leaves_weights_alone():
    model = compiled(keras.Sequential([keras.Input((3,), dtype="int32"), layers.Embedding(5, 2), layers.Flatten(), layers.Dense(1)]))
    good, bad = np.ones((4, 3), "int32"), np.full((4, 3), 99, "int32")
    y = np.ones((4, 1), "float32")
    model.train_on_batch(good, y)
    before = [v.numpy() for v in [*model.variables, *model.optimizer.variables]]
    eager = keras.models.clone_model(model)
    eager.compile("sgd", "mse", run_eagerly=True)
    try:
        eager.train_on_batch(bad, y)
    except Exception as error:
        with pytest.raises(type(error)):
            model.train_on_batch(bad, y)
        for variable, value in zip([*model.variables, *model.optimizer.variables], before, strict=True):
            np.testing.assert_array_equal(variable.numpy(), value)
    assert np.isfinite(model.train_on_batch(good, y))


class Taped(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(1)
        self.calls = 0

    def call(self, x):
        return self.dense(x)

    def train_step(self, data):
        x, y = data
        with keras.GradientTape() as tape:
            loss = ops.mean((self(x, training=True) - y) ** 2)
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        self.calls += 1
        return {"mine": loss}


def test_a_step_of_ones_own_with_a_tape_is_recorded():
    keras.utils.set_random_seed(0)
    model = Taped()
    model.compile(keras.optimizers.SGD(0.1))
    losses = model.fit(X, Y, batch_size=20, epochs=5, verbose=0).history["mine"]
    assert losses[-1] < losses[0]
    assert model.calls < 10  # Python ran while recording, not at every step


class Reading(Taped):
    def train_step(self, data):
        logs = super().train_step(data)
        self.seen = float(logs["mine"])
        return logs


def test_a_step_that_reads_a_value_goes_on_eagerly_and_says_so_once():
    model = Reading()
    model.compile(keras.optimizers.SGD(0.1))
    with pytest.warns(UserWarning, match="runs eagerly") as caught:
        model.fit(X, Y, batch_size=20, epochs=3, verbose=0)
    assert len(caught) == 1
    assert "test_plans.py" in str(caught[0].message) and 'self.seen = float(logs["mine"])' in str(caught[0].message)
    assert isinstance(model.seen, float)


def test_models_in_several_threads_do_not_disturb_each_other():
    def work(seed, out):
        rng = np.random.default_rng(seed)
        model = keras.Sequential([keras.Input((6,)), layers.Dense(64, activation="tanh", kernel_initializer="ones"), layers.Dense(1)])
        model.layers[1].set_weights([rng.normal(size=(64, 1)).astype("float32"), np.zeros(1, "float32")])
        model.compile("adam", "mse")
        model.fit(X, Y, batch_size=8, epochs=5, verbose=0, shuffle=False)
        out[seed] = model.predict(X, verbose=0)

    alone: dict = {}
    together: dict = {}
    for seed in range(4):
        work(seed, alone)
    threads = [threading.Thread(target=work, args=(seed, together)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(4):
        np.testing.assert_array_equal(together[seed], alone[seed])


def test_one_model_may_predict_in_several_threads():
    model = compiled()
    expected = model.predict(X, verbose=0)
    results: list = []
    threads = [threading.Thread(target=lambda: results.extend(model.predict_on_batch(X) for _ in range(20))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 80
    for result in results:
        np.testing.assert_array_equal(result, expected)


def test_a_profile_names_the_calls_and_changes_nothing():
    model = compiled()
    model.train_on_batch(X, Y)
    before = [v.numpy() for v in [*model.variables, *model.optimizer.variables]]
    profile = model.profile_step(X, Y, steps=3)
    for variable, value in zip([*model.variables, *model.optimizer.variables], before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert any(row.name == "matmul" for row in profile.rows) and profile.whole_ms > 0
    assert "matmul" in profile.table() and all(len(line) <= 200 for line in str(profile).splitlines())
    model.compile("sgd", "mse", run_eagerly=True)
    with pytest.raises(ValueError, match="run eagerly"):
        model.profile_step(X, Y)


def test_a_profile_can_be_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    compiled().profile_step(X, Y, steps=2).plot(tmp_path / "step.png")
    assert (tmp_path / "step.png").stat().st_size > 1000


def test_flags_of_variables_are_seen():
    model = compiled()
    model.train_on_batch(X, Y)
    kernel = model.layers[0].kernel
    kernel.trainable = False
    before = kernel.numpy()
    model.train_on_batch(X, Y)
    np.testing.assert_array_equal(kernel.numpy(), before)
    kernel.trainable = True
    kernel.constraint = lambda w: w * 0.0
    model.train_on_batch(X, Y)
    assert not kernel.numpy().any()


def test_eager_steps_may_be_asked_for_at_any_time():
    calls = []

    class Counting(layers.Layer):
        def call(self, x):
            calls.append(1)
            return x

    model = keras.Sequential([keras.Input((6,)), Counting()])
    model.predict(X, verbose=0)
    model.predict(X, verbose=0)
    recorded = len(calls)
    model.run_eagerly = True
    model.predict(X, verbose=0)
    model.predict(X, verbose=0)
    assert len(calls) >= recorded + 4
    model.run_eagerly = False
    model.predict(X, verbose=0)
    eager = len(calls)
    model.predict(X, verbose=0)
    assert len(calls) == eager


def test_the_inner_optimizers_options_are_seen():
    model = dense()
    model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)), "mse")
    model.train_on_batch(X, Y)
    before = model.get_weights()
    model.optimizer.inner_optimizer.clipvalue = 1e-30
    model.train_on_batch(X, Y)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_allclose(a, b)


def test_batches_are_converted_as_eagerly():
    model = compiled()
    np.testing.assert_allclose(model.train_on_batch(X.astype("float64"), Y.astype(object)), compiled().train_on_batch(X, Y), rtol=1e-5)
