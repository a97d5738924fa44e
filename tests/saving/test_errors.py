"""Bad files and bad calls: a clear error that names the file or the layer, nothing lost, nothing run."""

import io
import json
import os
import pathlib
import zipfile

import h5py
import numpy as np
import pytest

import kerasish as ks
from kerasish import layers
from kerasish.saving import limits


def model(units=3, name="net"):
    return ks.Sequential([ks.Input((4,)), layers.Dense(units, name="first"), layers.Dense(2, name="second")], name=name)


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_missing_truncated_and_foreign_files(tmp_path, ending):
    path = tmp_path / f"m.{ending}"
    with pytest.raises((ValueError, FileNotFoundError), match="not found"):
        ks.models.load_model(path)
    model().save(path)
    whole = path.read_bytes()
    for part in (whole[: len(whole) // 2], b"hello", b""):
        path.write_bytes(part)
        with pytest.raises(ValueError, match=str(path.name)):
            ks.models.load_model(path)


def test_unknown_endings(tmp_path):
    with pytest.raises(ValueError, match="extension"):
        model().save(tmp_path / "m.txt")
    with pytest.raises(ValueError, match=r"\.weights\.h5"):
        model().save_weights(tmp_path / "m.h5")
    (tmp_path / "m.txt").write_text("x")
    with pytest.raises(ValueError, match="not supported"):
        ks.models.load_model(tmp_path / "m.txt")


@pytest.mark.parametrize("ending", ["weights.h5", "h5"])
def test_shapes_that_do_not_fit_are_named_and_change_nothing(tmp_path, ending):
    path = tmp_path / f"m.{ending}"
    source = model(units=5)
    (source.save_weights if ending == "weights.h5" else source.save)(path)
    target = model()
    before = target.get_weights()
    with pytest.raises(ValueError, match=r"(?s)first.*\(4, 3\).*\(4, 5\)"):
        target.load_weights(path)
    for a, b in zip(before, target.get_weights(), strict=True):  # all or nothing
        np.testing.assert_array_equal(a, b)


def test_skip_mismatch_and_by_name(tmp_path):
    source = model(units=5)
    source.save(tmp_path / "m.h5")
    target = model()
    with pytest.warns(UserWarning, match="first"):
        target.load_weights(tmp_path / "m.h5", skip_mismatch=True)
    other = ks.Sequential([ks.Input((5,)), layers.Dense(7), layers.Dense(2), layers.Dense(2, name="unrelated")])
    other.load_weights(tmp_path / "m.h5", by_name=True)
    same = ks.Sequential([ks.Input((5,)), layers.Dense(2, name="second")])
    same.load_weights(tmp_path / "m.h5", by_name=True)
    np.testing.assert_array_equal(same.get_weights()[0], source.get_weights()[2])


def test_unbuilt_models(tmp_path):
    lazy = ks.Sequential([layers.Dense(2)])
    with pytest.raises(ValueError, match="not yet been built"):
        lazy.save_weights(tmp_path / "m.weights.h5")
    model().save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(ValueError, match="not yet been built"):
        lazy.load_weights(tmp_path / "m.weights.h5")


@pytest.mark.parametrize("ending", ["keras", "h5", "weights.h5"])
def test_a_crash_leaves_the_old_file(tmp_path, monkeypatch, ending):
    path = tmp_path / f"m.{ending}"
    save = "save_weights" if ending == "weights.h5" else "save"
    getattr(model(), save)(path)
    old = path.read_bytes()

    def crash(self, store):
        raise RuntimeError("power cut")

    monkeypatch.setattr(layers.Dense, "save_own_variables", crash)
    monkeypatch.setattr("kerasish.saving.legacy_h5._write_arrays", crash)
    with pytest.raises(RuntimeError, match="power cut"):
        getattr(model(), save)(path)
    assert path.read_bytes() == old
    assert os.listdir(tmp_path) == [path.name]


def test_no_overwriting_without_consent(tmp_path, monkeypatch):
    path = tmp_path / "m.keras"
    model().save(path)
    old = path.read_bytes()
    monkeypatch.setattr("builtins.input", lambda *_: "n")
    model().save(path, overwrite=False)
    assert path.read_bytes() == old

    def nobody(*_):
        raise EOFError

    monkeypatch.setattr("builtins.input", nobody)
    with pytest.raises(FileExistsError, match="nobody is there"):
        model().save(path, overwrite=False)


def rewritten(path, change):
    """The archive with its config changed."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    change(config)
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


@pytest.mark.parametrize(
    "entry",
    [
        {"module": "os", "class_name": "system", "config": {}},
        {"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "function"},
        {"module": "keras.saving", "class_name": "load_model", "config": {}},
        {"module": "keras.utils", "class_name": "function", "config": "get_file", "registered_name": "get_file"},
        {"module": "keras.config", "class_name": "function", "config": "enable_unsafe_deserialization", "registered_name": None},
        {"module": None, "class_name": "Unheard", "config": {}, "registered_name": "mine>Unheard"},
    ],
)
def test_names_resolve_through_the_registry_alone(tmp_path, entry):
    path = tmp_path / "m.keras"
    model().save(path)

    def change(config):
        config["config"]["layers"][1]["config"]["activation"] = entry

    rewritten(path, change)
    with pytest.raises((TypeError, ValueError), match="ould not|unknown|Unknown|not interpret"):
        ks.models.load_model(path)


def test_lambda_code_needs_consent(tmp_path):
    net = ks.Sequential([ks.Input((2,)), layers.Lambda(lambda x: x * 2.0)])
    net.save(tmp_path / "m.keras")
    with pytest.raises((ValueError, TypeError), match="safe_mode|unsafe|lambda"):
        ks.models.load_model(tmp_path / "m.keras")
    again = ks.models.load_model(tmp_path / "m.keras", safe_mode=False)
    assert again.predict(np.ones((1, 2), "float32"), verbose=0).tolist() == [[2.0, 2.0]]


def test_links_and_outside_storage_are_refused(tmp_path):
    outside = tmp_path / "outside.h5"
    with h5py.File(outside, "w") as file:
        file["secret"] = np.ones((4, 3), "float32")
    path = tmp_path / "m.weights.h5"
    for make in (
        lambda group: group.__setitem__("0", h5py.ExternalLink(str(outside), "/secret")),
        lambda group: group.__setitem__("0", h5py.SoftLink("/elsewhere")),
        lambda group: group.create_dataset("0", (4, 3), "float32", external=[(str(outside), 0, 48)]),
    ):
        model().save_weights(path)
        with h5py.File(path, "r+") as file:
            group = file["layers/dense/vars"]
            del group["0"]
            make(group)
        with pytest.raises(ValueError, match="refused"):
            model().load_weights(path)


def test_bombs_are_refused(tmp_path):
    path = tmp_path / "m.weights.h5"
    model().save_weights(path)
    with h5py.File(path, "r+") as file:
        group = file["layers/dense/vars"]
        del group["0"]
        group.create_dataset("0", (2**20, 2**14), "float32", chunks=(1024, 1024), compression="gzip")
    with pytest.raises(ValueError, match="first|bomb"):
        model().load_weights(path)


def test_archive_members_stay_inside(tmp_path):
    for name in ("../x", "/x", "assets/../../x", "C:/x", "..\\x"):
        with pytest.raises(limits.UnsafeFileError):
            limits.safe_name(name)
    assert limits.safe_name("assets/a/b.txt") == pathlib.PurePosixPath("assets/a/b.txt")


def test_weights_in_shards(tmp_path):
    source = model()
    source.save_weights(tmp_path / "m.weights.json", max_shard_size=6e-8)
    assert len(list(tmp_path.glob("*.weights.h5"))) > 1
    target = model()
    target.load_weights(tmp_path / "m.weights.json")
    for a, b in zip(source.get_weights(), target.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_folder_form_and_assets_names(tmp_path):
    source = model()
    source.save(tmp_path / "m", zipped=False)
    assert (tmp_path / "m").is_dir()
    again = ks.models.load_model(tmp_path / "m")
    np.testing.assert_array_equal(again.get_weights()[0], source.get_weights()[0])
    source.save(tmp_path / "m", zipped=False)  # over the old one


def test_models_with_layers_of_ones_own(tmp_path):
    @ks.saving.register_keras_serializable("tests")
    class Scale(ks.Layer):
        def __init__(self, factor, **kwargs):
            super().__init__(**kwargs)
            self.factor = factor

        def build(self, input_shape):
            self.offset = self.add_weight(shape=input_shape[-1:], initializer="ones", name="offset")

        def call(self, x):
            return x * self.factor + self.offset

    class Unregistered(Scale):
        pass

    for cls, custom in ((Scale, None), (Unregistered, {"Unregistered": Unregistered})):
        net = ks.Sequential([ks.Input((2,)), cls(3.0)])
        for ending in ("keras", "h5"):
            path = tmp_path / f"m.{ending}"
            net.save(path)
            again = ks.models.load_model(path, custom_objects=custom, compile=False)
            assert again.predict(np.ones((1, 2), "float32"), verbose=0).tolist() == [[4.0, 4.0]]
    with pytest.raises(TypeError, match="Unregistered"):
        ks.models.load_model(tmp_path / "m.keras")


def test_subclassed_models_by_their_config(tmp_path):
    @ks.saving.register_keras_serializable("tests")
    class Net(ks.Model):
        def __init__(self, units=3, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.b = layers.Dense(units)
            self.a = [layers.Dense(2), {"k": layers.Dense(1)}]

        def call(self, x):
            return self.a[1]["k"](self.a[0](self.b(x)))

        def get_config(self):
            return {**super().get_config(), "units": self.units}

    net = Net()
    x = np.ones((2, 4), "float32")
    expected = net.predict(x, verbose=0)
    net.save(tmp_path / "m.keras")
    again = ks.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), expected)
    with zipfile.ZipFile(tmp_path / "m.keras") as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        assert sorted(file) == ["_layers" if "_layers" in file else "a", "b", "vars"]
