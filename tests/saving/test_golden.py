"""Files written by real Keras open here: predictions, optimizer state, and training that goes on as it would have there."""

import pathlib
import zipfile

import numpy as np
import pytest

import kerasish as ks
from kerasish import tree

GOLDEN = pathlib.Path(__file__).parent.parent / "golden"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.zip"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    for name in NAMES:
        with zipfile.ZipFile(GOLDEN / f"{name}.zip") as archive:
            archive.extractall(folder)
    return folder


def reference(folder, name):
    with np.load(folder / f"{name}.npz") as file:
        return dict(file)


def group(reference, prefix):
    """Arrays under a prefix: one, a list, or a dict, as they were given to the model."""
    found = {key.removeprefix(prefix): value for key, value in reference.items() if key.startswith(prefix)}
    if set(found) == {"0"}:
        return found["0"]
    return [found[key] for key in sorted(found)] if all(key.isdigit() for key in found) else found


def assert_predicts(model, reference, tol=1e-5):
    ours = tree.flatten(model.predict(group(reference, "input/"), verbose=0))
    theirs = tree.flatten(group(reference, "prediction/"))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=tol, atol=tol)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["{}.keras", "{}.h5", "{}_compiled.keras", "{}_compiled.h5"])
@pytest.mark.filterwarnings("ignore:No training configuration")
def test_whole_models(folder, name, form):
    expected = reference(folder, name)
    model = ks.models.load_model(folder / form.format(name))
    assert_predicts(model, expected)
    if "_compiled" in form:
        own = [v.numpy() for v in model.optimizer.variables]
        saved = [expected[key] for key in sorted(expected) if key.startswith("optimizer/")]
        assert len(own) == len(saved)
        for a, b in zip(own, saved, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "convnet"])  # dropout draws other numbers here
@pytest.mark.parametrize("form", ["{}_compiled.keras", "{}_compiled.h5"])
def test_training_goes_on(folder, name, form):
    expected = reference(folder, name)
    model = ks.models.load_model(folder / form.format(name))
    x, y = group(expected, "input/"), group(expected, "target/")
    losses = [model.train_on_batch(x, y, return_dict=True)["loss"] for _ in range(2)]
    model.reset_metrics()
    np.testing.assert_allclose(losses[0], expected["resumed_loss"].flat[0], rtol=1e-4)
    after = tree.flatten(model.predict(x, verbose=0))
    for a, b in zip(after, tree.flatten(group(expected, "resumed_prediction/")), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", ["{}.weights.h5", "{}_compiled.weights.h5", "{}.h5", "{}.keras"])
def test_weights_alone(folder, name, form):
    expected = reference(folder, name)
    model = ks.models.clone_model(ks.models.load_model(folder / f"{name}.keras"))
    model.load_weights(folder / form.format(name))
    assert_predicts(model, expected)
