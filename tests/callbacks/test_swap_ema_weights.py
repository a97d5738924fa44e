"""SwapEMAWeights: what is evaluated and saved are the averages, what is trained the weights."""

import numpy as np
import pytest

import kerasish as ks
from kerasish import callbacks, layers
from tests.training.both import TARGETS, X, assert_close, compiled, run_both


def averaged(k, optimizer=None):
    """A model whose optimizer keeps averages."""
    model = k.Sequential([k.Input((4,)), k.layers.Dense(1)])
    return compiled(model, optimizer or k.optimizers.SGD(0.05, use_ema=True, ema_momentum=0.8), "mse")


@pytest.mark.parametrize("swap_on_epoch", [False, True])
def test_it_does_what_keras_does(swap_on_epoch):
    def program(k, begin):
        model, at_ends = averaged(k), []
        begin(model)
        ends = k.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: at_ends.append(model.get_weights()[0]))
        history = model.fit(X, TARGETS, epochs=3, batch_size=12, shuffle=False, verbose=0, validation_data=(X[:12], TARGETS[:12]),
                            callbacks=[k.callbacks.SwapEMAWeights(swap_on_epoch), ends])  # fmt: skip
        return {**history.history, "ends": np.stack(at_ends), "weights": np.concatenate([w.ravel() for w in model.get_weights()])}

    ours, theirs = run_both(program)
    assert_close(ours, theirs, 1e-4)


def test_evaluate_and_predict_see_the_averages_and_leave_the_weights():
    model = averaged(ks)
    model.fit(X, TARGETS, epochs=1, verbose=0)
    model.optimizer._model_variables_moving_average[0].assign(np.full((4, 1), 2.0))
    before = model.get_weights()
    swap = callbacks.SwapEMAWeights()
    found = model.predict(X, verbose=0, callbacks=[swap])
    np.testing.assert_allclose(found, X @ np.full((4, 1), 2.0) + model.optimizer._model_variables_moving_average[1].numpy(), rtol=1e-5)
    loss = model.evaluate(X, TARGETS, verbose=0, callbacks=[swap])
    np.testing.assert_allclose(loss, np.mean((found[:, 0] - TARGETS) ** 2), rtol=1e-5)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_early_stop_leaves_the_averages_in_the_model():
    model = averaged(ks)
    stop = callbacks.EarlyStopping("loss", patience=0, min_delta=1e9)
    seen = []
    last = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.get_weights()[0]))
    model.fit(X, TARGETS, epochs=9, verbose=0, callbacks=[stop, callbacks.SwapEMAWeights(swap_on_epoch=True), last])
    assert len(seen) == 2
    np.testing.assert_array_equal(model.get_weights()[0], seen[-1])


def test_optimizers_within_optimizers():
    scaled = averaged(ks, ks.optimizers.LossScaleOptimizer(ks.optimizers.SGD(0.05, use_ema=True)))
    parts = ks.optimizers.OptimizerMap(ks.optimizers.SGD(0.1), {".*kernel": ks.optimizers.SGD(0.05, use_ema=True)})
    several = averaged(ks, ks.optimizers.MultiOptimizer(parts))
    for model in (scaled, several):
        swap, seen = callbacks.SwapEMAWeights(), []
        look = callbacks.LambdaCallback(on_test_begin=lambda logs, m=model, s=seen: s.append(m.get_weights()[0]))
        model.fit(X, TARGETS, epochs=1, verbose=0)
        average = model.get_weights()[0]  # at the end of the training
        model.layers[0].kernel.assign(np.zeros((4, 1)))
        model.evaluate(X, TARGETS, verbose=0, callbacks=[swap, look])
        assert np.array_equal(seen[0], average) and not model.get_weights()[0].any()


def test_without_averages_it_is_refused():
    none = ks.optimizers.MultiOptimizer(ks.optimizers.OptimizerMap(ks.optimizers.SGD(0.1)))
    for optimizer, message in (("sgd", "`use_ema=True` is set on the optimizer"), (none, "at least one inner optimizer has `use_ema=True`")):
        with pytest.raises(ValueError, match=f"SwapEMAWeights must be used when {message}"):
            averaged(ks, optimizer).fit(X, TARGETS, verbose=0, validation_data=(X, TARGETS), callbacks=[callbacks.SwapEMAWeights()])
    unbuilt = ks.Sequential([layers.Dense(1)])
    unbuilt.compile(ks.optimizers.SGD(use_ema=True), "mse")
    swap = callbacks.SwapEMAWeights()
    swap.set_model(unbuilt)
    with pytest.raises(ValueError, match="has not trained yet"):
        swap.on_predict_begin()
