"""OrbaxCheckpoint: the same folders as real Keras's, read there and here."""

import os
import warnings

import keras
import numpy as np
import pytest

import kerasish as ks
from kerasish import callbacks, layers
from tests.training.both import TARGETS, X

pytest.importorskip("orbax.checkpoint")
pytestmark = pytest.mark.filterwarnings("ignore")  # of orbax and JAX


def model_of(k=ks, **options):
    model = k.Sequential([k.Input((4,), name="input"), k.layers.Dense(3, name="first"), k.layers.BatchNormalization(name="norm"),
                          k.layers.Dense(1, name="last")], name="net")  # fmt: skip
    model.compile("adam", "mse", **options)
    return model


def fit(model, *added, **options):
    return model.fit(**{"x": X, "y": TARGETS, "epochs": 2, "batch_size": 12, "verbose": 0, "callbacks": [*added], **options})


def steps(folder):
    return sorted(int(name) for name in os.listdir(folder) if name.isdigit())


def same(one, other):
    return all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, [1]), ({"max_to_keep": None}, [0, 1]), ({"save_freq": 3, "max_to_keep": 5}, [3, 6]), ({"save_on_background": False}, [1])],
)
def test_what_is_kept(options, expected, tmp_path):
    fit(model_of(), callbacks.OrbaxCheckpoint(tmp_path, **options))
    assert steps(tmp_path) == expected


def test_best_only(tmp_path):
    for threshold, expected in ((None, [0, 2]), (0.7, [2])):
        folder = tmp_path / str(threshold)
        saver = callbacks.OrbaxCheckpoint(folder, save_best_only=True, initial_value_threshold=threshold, max_to_keep=None)
        saver.set_model(model_of())
        for epoch, loss in enumerate([1.0, 2.0, 0.5]):
            saver.on_epoch_end(epoch, {"val_loss": loss})
        saver.on_train_end()
        assert steps(folder) == expected and saver.best == 0.5
    with pytest.warns(UserWarning, match="there is no val_loss to compare, so nothing is saved at epoch 0"):
        fit(model_of(), callbacks.OrbaxCheckpoint(tmp_path / "none", mode="min", save_best_only=True), epochs=1)


def test_the_model_comes_back(tmp_path):
    model = model_of()
    fit(model, callbacks.OrbaxCheckpoint(tmp_path))
    loaded = ks.saving.load_model(tmp_path)
    assert loaded.compiled and same(loaded.get_weights(), model.get_weights())
    assert same([v.numpy() for v in loaded.optimizer.variables], [v.numpy() for v in model.optimizer.variables])
    assert not ks.saving.load_model(tmp_path, compile=False).compiled
    other = model_of()
    other.load_weights(tmp_path)
    assert same(other.get_weights(), model.get_weights())
    more = callbacks.OrbaxCheckpoint(tmp_path, save_freq=4, max_to_keep=None)
    fit(loaded, more, epochs=1)
    assert steps(tmp_path)[-1] == 12  # it goes on counting


def test_weights_alone_are_no_model(tmp_path):
    model = model_of()
    fit(model, callbacks.OrbaxCheckpoint(tmp_path, save_weights_only=True))
    other = model_of()
    other.load_weights(tmp_path / "1")
    assert same(other.get_weights(), model.get_weights())
    with pytest.raises(ValueError, match=r"does not contain a model's configuration.*save_weights_only"):
        ks.saving.load_model(tmp_path)


def test_real_keras_reads_it_and_is_read(tmp_path):
    x = layers.Input((4,))  # real Keras finds the variables of a Functional model only, by their names
    model = ks.Model(x, layers.Dense(1, name="last")(layers.Dropout(0.2, name="drop")(layers.Dense(3, name="first")(x))), name="net")
    model.compile("adam", "mse")
    fit(model, callbacks.OrbaxCheckpoint(tmp_path / "ours"))
    theirs = keras.saving.load_model(tmp_path / "ours")
    assert theirs.name == "net" and same(theirs.get_weights(), model.get_weights())
    assert same([v.numpy() for v in theirs.optimizer.variables], [v.numpy() for v in model.optimizer.variables])
    fit(theirs, keras.callbacks.OrbaxCheckpoint(str(tmp_path / "theirs")), epochs=1)
    loaded = ks.saving.load_model(tmp_path / "theirs")
    assert same(loaded.get_weights(), theirs.get_weights())
    assert int(loaded.optimizer.iterations) == 12


def test_another_model_is_refused(tmp_path):
    fit(model_of(), callbacks.OrbaxCheckpoint(tmp_path))
    other = ks.Sequential([layers.Input((4,)), layers.Dense(2)])
    with pytest.raises(ValueError, match=r"The checkpoint's variables don't fit the model's. The checkpoint has .*net/first/bias \(3,\)"):
        other.load_weights(tmp_path)


def test_assets_and_code(tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("cat\ndog")
    model = ks.Sequential([layers.Input((1,), dtype="string"), layers.StringLookup(vocabulary=str(words), name="look"), layers.Embedding(9, 2)])
    model.compile("adam", "mse")
    saver = callbacks.OrbaxCheckpoint(tmp_path / "checkpoints")
    saver.set_model(model)
    saver._save_checkpoint(0)
    saver.wait_until_finished()
    words.unlink()
    assert ks.saving.load_model(tmp_path / "checkpoints").get_layer("look").get_vocabulary() == ["[UNK]", "cat", "dog"]
    code = ks.Sequential([layers.Input((4,)), layers.Lambda(lambda x: x + 1), layers.Dense(1)])
    code.compile("sgd", "mse")
    fit(code, callbacks.OrbaxCheckpoint(tmp_path / "code"))
    with pytest.raises(ValueError, match="safe_mode"):
        ks.saving.load_model(tmp_path / "code")


def test_options(tmp_path):
    with pytest.raises(ValueError, match="Unrecognized save_freq: batch"):
        callbacks.OrbaxCheckpoint(tmp_path, save_freq="batch")
    with pytest.raises(ValueError, match="No valid checkpoints found"):
        os.makedirs(tmp_path / "empty" / "0")
        ks.saving.load_model(tmp_path / "empty")
    saver = callbacks.OrbaxCheckpoint(tmp_path)
    assert saver.is_primary_host() and not saver.is_multihost_enabled()
    with warnings.catch_warnings():
        saver.close()
