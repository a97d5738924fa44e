"""Steps, losses and metrics of the user's own."""

import keras
import numpy as np
import pytest

from kerasish.backend.autodiff.gradient import GradientTape
from kerasish.backend.autodiff.tensor import Tensor
from tests.training.both import OURS, TARGETS, THEIRS, X, assert_close, assert_same_training, compiled, mlp, run_both


def sequential_with(k, **methods):
    """A Sequential class with these methods."""
    cls = type("Own", (k.Sequential,), methods)
    return cls([k.Input((4,)), k.layers.Dense(8, activation="tanh"), k.layers.Dense(1)])


def tape_step(self, data):
    x, y = data
    with GradientTape() as tape:
        y_pred = self(x, training=True)
        loss = self.compute_loss(y=y, y_pred=y_pred)
    weights = self.trainable_variables
    self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
    for metric in self.metrics:
        if metric.name == "loss":
            metric.update_state(loss, sample_weight=x.shape[0])
        else:
            metric.update_state(y, y_pred)
    return self.get_metrics_result()


def backward_step(self, data):
    x, y = data
    y_pred = self(x, training=True)
    loss = self.compute_loss(y=y, y_pred=y_pred)
    self.zero_grad()
    loss.backward()
    weights = self.trainable_weights
    self.optimizer.apply([w.value.grad for w in weights], weights)
    self._loss_tracker.update_state(loss, sample_weight=x.shape[0])
    return self.compute_metrics(x, y, y_pred)


@pytest.mark.parametrize("step", [tape_step, backward_step])
def test_own_train_step_is_keras_s_training(step):
    def program(k, begin):
        model = mlp(k, 1) if k is THEIRS else sequential_with(k, train_step=step)
        compiled(model, "adam", "mse", metrics=["mae"])
        begin(model)
        return model.fit(X, TARGETS, shuffle=False, epochs=2, verbose=0, batch_size=12).history

    assert_close(*run_both(program))


def pure_steps(k):
    """The steps of Keras's guide for JAX, on either library."""

    class Pure(k.Model):
        def __init__(self):
            super().__init__()
            self.dense, self.norm = k.layers.Dense(1), k.layers.BatchNormalization(momentum=0.5)

        def call(self, x, training=False):
            return self.dense(self.norm(x, training=training))

        def loss_and_updates(self, trainable, rest, x, y, training):
            y_pred, rest = self.stateless_call(trainable, rest, x, training=training)
            return self.compute_loss(x, y, y_pred), (y_pred, rest)

        def logs(self, values, loss, y, y_pred):
            logs, out = {}, []
            for metric in self.metrics:
                own = values[len(out) : len(out) + len(metric.variables)]
                own = metric.stateless_update_state(own, *((loss,) if metric.name == "loss" else (y, y_pred)))
                result = metric.stateless_result(own)
                logs.update(result if isinstance(result, dict) else {metric.name: result})
                out += own
            return logs, out

        def train_step(self, state, data):
            trainable, rest, slots, values = state
            x, y, _ = k.unpack(data)
            grad = k.value_and_grad(self.loss_and_updates, has_aux=True)
            (loss, (y_pred, rest)), slopes = grad(trainable, rest, x, y, True)
            trainable, slots = self.optimizer.stateless_apply(slots, slopes, trainable)
            logs, values = self.logs(values, loss, y, y_pred)
            return logs, (trainable, rest, slots, values)

        def test_step(self, state, data):
            trainable, rest, values = state
            x, y, _ = k.unpack(data)
            loss, (y_pred, rest) = self.loss_and_updates(trainable, rest, x, y, False)
            logs, values = self.logs(values, loss, y, y_pred)
            return logs, (trainable, rest, values)

        def predict_step(self, state, data):
            trainable, rest = state
            x, _, _ = k.unpack(data)
            y_pred, rest = self.stateless_call(trainable, rest, x, training=False)
            return y_pred + 100.0, rest

    return Pure()


def test_pure_steps_as_keras_has_them_on_jax():
    def program(k, begin):
        model = pure_steps(k)
        compiled(model, k.optimizers.Adam(0.01), "mse", metrics=["mae"])
        model(X[:2])
        begin(model)
        history = model.fit(X, TARGETS, batch_size=12, shuffle=False, epochs=2, verbose=0, validation_data=(X[:12], TARGETS[:12])).history
        return [*history.values(), *model.get_weights(), model.predict(X[:12], verbose=0)]

    assert_close(*run_both(program))


def test_own_loss_and_metrics():
    def make(k):
        class Own(k.Sequential):
            def __init__(self, layers):
                super().__init__(layers)
                self.mean_of_outputs = k.metrics.Mean(name="outputs")

            def compute_loss(self, x, y, y_pred, sample_weight=None):
                return k.ops.mean(k.ops.abs(k.ops.squeeze(y_pred, -1) - y)) + 0.1 * k.ops.mean(x**2)

            def compute_metrics(self, x, y, y_pred, sample_weight=None):
                self.mean_of_outputs.update_state(y_pred)
                return super().compute_metrics(x, y, y_pred, sample_weight)

        return compiled(Own([k.Input((4,)), k.layers.Dense(1)]), "sgd", metrics=["mse"])

    assert_same_training(make, x=X, y=TARGETS)


def test_a_step_gets_tensors():
    seen = []

    def step(self, data):
        seen.append(data)
        return {"answer": 42}

    model = sequential_with(OURS, train_step=step)
    model.compile()
    history = model.fit({"a": X.astype("float64")}, [TARGETS, X], sample_weight=[TARGETS, TARGETS], batch_size=48, verbose=0)
    assert history.history == {"answer": [42.0]}
    (x, y, weight), leaves = seen[0], []
    leaves += [x["a"], *y, *weight]
    assert all(type(leaf) is Tensor and leaf.dtype == "float32" for leaf in leaves)


def test_a_model_whose_step_calls_its_parts():
    """As in a GAN or an autoencoder: there is no `call`, and the parts are built by the step."""

    class Autoencoder(OURS.Model):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = OURS.layers.Dense(2), OURS.layers.Dense(4)
            self.error = OURS.metrics.Mean(name="error")

        def train_step(self, data):
            with GradientTape() as tape:
                loss = OURS.ops.mean((self.decoder(self.encoder(data)) - data) ** 2)
            weights = self.trainable_weights
            self.optimizer.apply(tape.gradient(loss, weights), weights)
            self.error.update_state(loss)
            return {"error": self.error.result()}

        def test_step(self, data):
            return {"largest": OURS.ops.max(data)}

        def predict_step(self, data):
            return self.encoder(data)

    model = Autoencoder()
    model.compile("adam")
    error = model.fit(X, epochs=3, batch_size=12, verbose=0).history["error"]
    assert error[0] > error[1] > error[2]
    assert model.evaluate(X, batch_size=48, verbose=0) == pytest.approx(float(X.max()))
    assert model.predict(X, verbose=0).shape == (48, 2) and model.train_on_batch(X) > 0


def test_a_step_must_return_logs():
    model = sequential_with(OURS, train_step=lambda self, data: None)
    model.compile()
    with pytest.raises(ValueError, match="`train_step` must return a dict"):
        model.fit(X, verbose=0)


def test_functions_may_be_overridden():
    def make_train_function(self, force=False):
        def train_function(iterator):
            return {"seen": float(next(iterator)[0].sum())}

        self.train_function = train_function  # and returns nothing, as in Keras

    model = sequential_with(OURS, make_train_function=make_train_function)
    model.compile(loss="mse")
    assert model.fit(X, TARGETS, batch_size=48, verbose=0).history["seen"] == [pytest.approx(float(X.sum()), rel=1e-5)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of real Keras
def test_stateless_compute_loss():
    model, theirs = mlp(OURS, 1, kernel_regularizer="l2"), mlp(THEIRS, 1, kernel_regularizer="l2")
    results = []
    for m in (model, theirs):
        compiled(m, "sgd", "mse")
        m.set_weights([np.full(w.shape, 0.5, "float32") for w in theirs.get_weights()])
        doubled = [2 * v.value for v in m.trainable_variables]
        loss, (trainable, rest, metrics) = m.stateless_compute_loss(
            doubled, [], [v.value for v in m.metrics_variables], x=X, y=TARGETS, y_pred=np.zeros((48, 1), "float32")
        )
        assert len(trainable) == 4 and rest == [] and len(metrics) == 2
        results.append(float(loss))
    assert results[0] == pytest.approx(results[1], rel=1e-5)


def test_the_default_training_reads_no_value(monkeypatch):
    """Nothing in a step asks for a number in Python: only then can it be recorded and replayed."""
    model = mlp(OURS, 3, "softmax")
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], weighted_metrics=["accuracy"])
    data = (X[:8], np.arange(8) % 3, np.ones(8))
    model.train_on_batch(*data)
    step = model.make_train_function()

    def read(self):
        raise AssertionError("a value was read")

    monkeypatch.setattr(Tensor, "numpy", read)
    assert set(step(iter([data]))) == {"loss", "accuracy", "weighted_accuracy"}


def test_one_program_for_real_keras_and_kerasish_names_the_same_metrics():
    names = []
    for k in (OURS, THEIRS):
        model = mlp(k, 1)
        assert model.metrics_names == []
        model.compile("sgd", "mse", metrics=["mae"])
        names.append(model.metrics_names)
    assert names[0] == names[1] == ["loss", "compile_metrics"]
    assert keras.backend.backend() == "jax"
