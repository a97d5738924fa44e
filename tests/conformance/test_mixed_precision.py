"""Training in half precision: losses, weights, the loss scale and the steps that are left out are real Keras's, in a plan as eagerly."""

import numpy as np
import pytest

import kerasish
from tests.conformance.layer_driver import real_keras, with_their_warnings

STEPS, OVERFLOW, NAN = 6, 2, 4  # how many there are, and which of them go wrong


@with_their_warnings
def trained(library, policy, growth=None, run_eagerly=False):
    """The dtypes, the optimizer's counts after each step, each step's loss, and the weights at the end."""
    layers, before = library.layers, library.config.dtype_policy()
    if policy == "map":  # some layers compute in other dtypes than the model
        others = {".*last": library.DTypePolicy("mixed_bfloat16"), ".*normal": library.DTypePolicy("float32")}
        policy = library.dtype_policies.DTypePolicyMap("mixed_float16", others)
    library.config.set_dtype_policy(policy)
    try:
        model = library.Sequential([
            layers.Input((4,)), layers.Dense(8, activation="tanh"), layers.BatchNormalization(name="normal"), layers.Dense(1, name="last"),
        ])  # fmt: skip
    finally:
        library.config.set_dtype_policy(before)
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.1, 0.5, v.shape).astype("float32") for v in model.weights])
    optimizer = library.optimizers.Adam(0.01, epsilon=1e-3)
    if growth:
        optimizer = library.optimizers.LossScaleOptimizer(optimizer, initial_scale=256.0, dynamic_growth_steps=growth)
    model.compile(optimizer, "mse", run_eagerly=run_eagerly)
    losses, counts = [], []
    for step in range(STEPS):
        x, y = rng.uniform(-1, 1, (8, 4)).astype("float32"), rng.uniform(-1, 1, (8, 1)).astype("float32")
        y[0] = {OVERFLOW: 1e6, NAN: np.nan}.get(step, y[0])
        losses.append(float(model.train_on_batch(x, y)))
        counted = {v.path.split("/")[-1]: float(np.asarray(v.value)) for v in model.optimizer.variables if not v.shape}
        counts.append([counted.get(name) for name in ("iteration", "dynamic_scale", "step_counter")])
    kinds = [layer.compute_dtype for layer in model.layers], [v.dtype for v in model.weights], type(model.optimizer).__name__
    return kinds, counts, np.array(losses), np.concatenate([np.ravel(np.asarray(v.value)).astype("float64") for v in model.weights])


CASES = [(policy, growth) for policy in ("mixed_float16", "mixed_bfloat16", "float16") for growth in (None, 2)]


@pytest.mark.parametrize(("policy", "growth"), [*CASES, ("map", 2)])
def test_training(policy, growth):
    theirs = trained(real_keras(), policy, growth)
    plan, eager = (trained(kerasish, policy, growth, run_eagerly) for run_eagerly in (False, True))
    tol = 1e-2 if policy in ("mixed_float16", "float16") else 5e-2
    for found, expected in ((plan, eager), (eager, theirs)):
        assert found[:2] == expected[:2]
        np.testing.assert_allclose(found[2], expected[2], rtol=tol, atol=tol)
        np.testing.assert_allclose(found[3], expected[3], rtol=tol, atol=tol)


def test_steps_that_go_wrong_change_nothing_but_the_scale():
    _, counts, losses, weights = trained(kerasish, "mixed_float16", growth=2)
    assert np.isnan(losses[NAN]) and np.isfinite(weights).all()
    assert counts == [[1, 256, 1], [2, 512, 0], [2, 256, 0], [3, 256, 1], [3, 128, 0], [4, 128, 1]]
