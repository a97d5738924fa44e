"""KerasFileEditor: what it shows, what it changes, and files that real Keras reads."""

import io

import h5py
import keras
import numpy as np
import pytest
from rich.console import Console

import kerasish as ks
from kerasish import layers, tree
from kerasish.saving import KerasFileEditor, UnsafeFileError


def source():
    x = ks.Input((2,))
    return ks.Model(x, layers.Dense(3, name="output_layer")(layers.Dense(3, name="mydense")(x)))


def target():
    x = ks.Input((2,))
    y = layers.Dense(3, name="myotherdense")(layers.Dense(3, name="mydense")(x))
    return ks.Model(x, layers.Dense(3, name="output_layer")(y))


def opened(path):
    """An editor, and what it prints from now on."""
    editor = KerasFileEditor(path)
    editor.console = Console(file=io.StringIO(), highlight=False, width=200)
    return editor, editor.console.file


def status(editor, model):
    found = editor.compare(model)
    assert set(found) == {"status", "error_count", "match_count"}
    return found["status"], found["error_count"]


def test_an_old_file_for_a_changed_model(tmp_path):
    source().save(tmp_path / "m.keras")
    editor, shown = opened(tmp_path / "m.keras")
    assert editor.compare(source()) == {"status": "success", "error_count": 0, "match_count": 4}
    assert status(editor, target()) == ("error", 1)
    assert "/layers/dense_2 present in reference model, missing from saved file" in shown.getvalue()
    editor.add_object("layers/dense_3", weights={"0": np.ones((3, 3))})
    assert status(editor, target()) == ("error", 2)
    editor.rename_object("dense_3", "dense_4")
    editor.rename_object("layers/dense_4", "dense_2")
    editor.add_weights("dense_2", weights={"1": np.full((7,), 2.0)})
    assert status(editor, target()) == ("error", 1)
    assert "Weight shape mismatch for /layers/dense_2/1" in shown.getvalue()
    editor.delete_weight("dense_2", "1")
    editor.add_weights("dense_2", weights={"1": np.full((3,), 2.0)})
    assert status(editor, target()) == ("success", 0)
    editor.add_object("layers/dense_3", weights={"0": np.ones((3, 3))})
    editor.delete_object("layers/dense_3")
    editor.resave_weights(tmp_path / "new.weights.h5")
    model = target()
    model.load_weights(tmp_path / "new.weights.h5")
    np.testing.assert_array_equal(model.get_layer("output_layer").kernel.numpy(), np.ones((3, 3)))


def test_summary_shows_names_shapes_and_dtypes(tmp_path, capsys):
    source().save(tmp_path / "m.keras")
    editor = KerasFileEditor(str(tmp_path / "m.keras"))
    assert "m.keras" in capsys.readouterr().out.replace("\n", "")
    assert editor.metadata["keras_version"] == "3.15.1" and editor.config["class_name"] == "Functional"
    editor, shown = opened(tmp_path / "m.keras")
    editor.summary()
    text = shown.getvalue()
    assert "Weights structure" in text and "dense ('mydense')" in text and "0: shape=(2, 3), dtype=float32" in text


def test_nothing_is_lost(tmp_path):
    """Layers without variables of their own have others inside: Keras's editor drops them."""
    x = ks.Input((3, 2))
    model = ks.Model(x, layers.Dense(1)(layers.SpectralNormalization(layers.Dense(3))(layers.Bidirectional(layers.LSTM(2))(x))))
    model.compile("adam", "mse")
    model.train_on_batch(np.ones((2, 3, 2), "float32"), np.ones((2, 1), "float32"))
    model.save_weights(tmp_path / "m.weights.h5")
    editor, _ = opened(tmp_path / "m.weights.h5")
    files = len(tree.flatten(editor.weights_dict))
    assert editor.compare(model) == {"status": "success", "error_count": 0, "match_count": files}
    editor.save(tmp_path / "again.weights.h5")
    wanted = [v.numpy() for v in [*model.weights, *model.optimizer.variables]]
    for v in [*model.weights, *model.optimizer.variables]:
        v.assign(np.zeros(v.shape, v.dtype))
    model.load_weights(tmp_path / "again.weights.h5")
    for v, value in zip([*model.weights, *model.optimizer.variables], wanted, strict=True):
        np.testing.assert_array_equal(v.numpy(), value)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_files_of_keras_and_for_keras(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    model.save_weights(tmp_path / "theirs.weights.h5")
    editor, _ = opened(tmp_path / "theirs.weights.h5")
    editor.weights_dict["layers"]["dense"]["1"] = np.arange(3, dtype="float32")
    editor.save(tmp_path / "edited.weights.h5")
    model.load_weights(tmp_path / "edited.weights.h5")
    np.testing.assert_array_equal(np.asarray(model.layers[0].bias.value), [0, 1, 2])


def test_bfloat16_and_half(tmp_path):
    model = ks.Sequential([ks.Input((2,)), layers.Dense(3, dtype="bfloat16"), layers.Dense(2, dtype="float16")])
    model.save_weights(tmp_path / "m.weights.h5")
    editor, _ = opened(tmp_path / "m.weights.h5")
    assert editor.weights_dict["layers"]["dense"]["0"].dtype.name == "bfloat16"
    editor.save(tmp_path / "n.weights.h5")
    wanted = model.get_weights()
    model.set_weights([w * 0 for w in wanted])
    model.load_weights(tmp_path / "n.weights.h5")
    for a, b in zip(model.get_weights(), wanted, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda e: e.rename_object("dense", "a/b"), "leaf name"),
        (lambda e: e.rename_object("0", "1"), "more than once"),
        (lambda e: e.rename_object("dense", "dense_1"), "already"),
        (lambda e: e.delete_object("nothing"), "does not appear"),
        (lambda e: e.delete_object("layers/nothing"), "not found in model"),
        (lambda e: e.delete_object("nothing/dense"), "not found in model"),
        (lambda e: e.add_object("nothing/x", {"0": np.ones(2)}), "'nothing' not found"),
        (lambda e: e.add_object("layers/x", np.ones(2)), "should be a dict"),
        (lambda e: e.add_weights("dense", [np.ones(2)]), "should be a dict"),
        (lambda e: e.add_weights("dense", {0: np.ones(2)}), "name must be a string"),
        (lambda e: e.add_weights("dense", {"2": "abc"}), "array of numbers"),
        (lambda e: e.add_object("/layers/x/", {"inner": {"0": None}}), "array of numbers"),
        (lambda e: e.add_object("/", {}), "must name an object"),
        (lambda e: e.delete_weight("dense", "7"), "Weight 7 not found in object dense"),
        (lambda e: e.add_weights("layers/dense/0", {"0": np.ones(2)}), "a weight, not an object"),
        (lambda e: e.save("m.h5"), r"\.weights\.h5"),
    ],
)
def test_mistakes_are_said(tmp_path, edit, message):
    source().save_weights(tmp_path / "m.weights.h5")
    editor, _ = opened(tmp_path / "m.weights.h5")
    with pytest.raises(ValueError, match=message):
        edit(editor)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="Invalid filename"):
        KerasFileEditor("m.h5")
    path = tmp_path / "bad.weights.h5"
    with h5py.File(path, "w") as file:
        file["layers"] = h5py.SoftLink("/elsewhere")
    with pytest.raises(ValueError, match="SoftLink"):
        KerasFileEditor(path)
    with h5py.File(path, "w") as file:
        file.create_group("a")["b"] = file["/"]  # a loop
    with pytest.raises(UnsafeFileError, match="two names"):
        KerasFileEditor(path)


def test_names_in_a_file_are_no_markup(tmp_path):
    path = tmp_path / "m.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("[red]x\x1b[2J/vars/0", data=np.ones(2))
    editor, shown = opened(path)
    editor.summary()
    assert "[red]x?" in shown.getvalue() and "\x1b" not in shown.getvalue()
