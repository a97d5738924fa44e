"""Files of weights: what is said where they do not fit, parts of models, shards, safetensors, and nothing half-written."""

import io
import json
import os
import sys

import keras
import numpy as np
import pytest
import safetensors
import safetensors.numpy

import kerasish as ks
from kerasish import layers
from kerasish.saving import safetensors_file

ENDINGS = ["weights.h5", "safetensors", "h5", "keras"]


def model(units=3, name="net", extra=0):
    more = [layers.Dense(2, name=f"extra_{i}") for i in range(extra)]
    return ks.Sequential([ks.Input((4,)), layers.Dense(units, name="first"), layers.Dense(2, name="second"), *more], name=name)


def saved(model, path):
    (model.save_weights if path.name.endswith(("weights.h5", "safetensors")) else model.save)(path)
    return path


# ---- what does not fit
@pytest.mark.parametrize("ending", ENDINGS)
def test_every_difference_is_listed_by_path(tmp_path, ending):
    path, target = saved(model(units=5), tmp_path / f"m.{ending}"), model()
    before = target.get_weights()
    with pytest.raises(ValueError) as error:
        target.load_weights(path)
    text = str(error.value)
    for part in ("net", "first", "second", "kernel", "(4, 3)", "(4, 5)", "(3, 2)", "(5, 2)", "must match"):
        assert part in text
    for a, b in zip(target.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.warns(UserWarning) as caught:
        target.load_weights(path, skip_mismatch=True)
    assert "(4, 3)" in str(caught[0].message)


@pytest.mark.parametrize("ending", ["weights.h5", "safetensors", "keras"])
def test_missing_and_extra_weights(tmp_path, ending):
    small, large = saved(model(), tmp_path / f"s.{ending}"), saved(model(extra=1), tmp_path / f"l.{ending}")
    with pytest.raises(ValueError, match=r"(?s)extra_0.*missing from the file"):
        model(extra=1).load_weights(small)
    target = model(extra=1)
    with pytest.warns(UserWarning, match="extra_0"):
        target.load_weights(small, skip_mismatch=True)
    if ending == "safetensors":
        with pytest.raises(ValueError, match=r"(?s)not in the model:.*extra_0/kernel: \(2, 2\)"):
            model().load_weights(large)
    else:
        model().load_weights(large)  # as in Keras, what the file has more does not matter


def test_what_the_file_has_more_is_told_when_something_is_missing(tmp_path):
    path = saved(ks.Sequential([ks.Input((4,)), layers.EinsumDense("ab,bc->ac", 3)]), tmp_path / "m.weights.h5")
    with pytest.raises(ValueError, match=r"(?s)received 0 variables.*not in the model:\n    layers/einsum_dense: 0 \(4, 3\)"):
        model().load_weights(path)


def test_h5_with_other_layers(tmp_path):
    path = saved(model(), tmp_path / "m.h5")
    with pytest.raises(ValueError, match=r"(?s)Layer count mismatch.*3 in the model, 2 in the file.*extra_0 .*only in the model"):
        model(extra=1).load_weights(path)
    other = ks.Sequential([ks.Input((4,)), layers.Dense(3, use_bias=False, name="first"), layers.Dense(2, name="second")])
    with pytest.raises(ValueError, match=r"(?s)Weight count mismatch for layer #0 \(first.*Layer expects 1 weight.*Received 2"):
        other.load_weights(path)


def test_set_weights_says_which():
    net = model()
    values = net.get_weights()
    with pytest.raises(ValueError, match=r"(?s)length 3, but it has 4.*3 \(net/second/bias\): \(2,\) in the model, missing"):
        net.set_weights(values[:3])
    with pytest.raises(ValueError, match=r"(?s)other shapes than.*0 \(net/first/kernel\): \(4, 3\) in the model, \(3, 4\) in the list"):
        net.set_weights([values[0].T, *values[1:]])
    with pytest.raises(ValueError, match=r"4: missing from the model, \(1,\)"):
        net.set_weights([*values, np.ones(1)])


def test_parts_of_models(tmp_path):
    source, target = model(), model()
    path = tmp_path / "m.weights.h5"
    source.save_weights(path)
    second = target.layers[1].get_weights()
    ks.saving.load_weights(target, path, objects_to_skip=[target.layers[1]])
    np.testing.assert_array_equal(target.get_weights()[0], source.get_weights()[0])
    np.testing.assert_array_equal(target.layers[1].get_weights()[0], second[0])
    ks.saving.save_weights(source, path, objects_to_skip=[source.layers[1]])
    with pytest.raises(ValueError, match="second"):
        target.load_weights(path)
    target.load_weights(path, objects_to_skip=[target.layers[1]])
    source.save(tmp_path / "m.keras")
    for bad in ("m.keras", "m.h5"):
        with pytest.raises(ValueError, match=r"only supports loading '\.weights\.h5' files"):
            target.load_weights(tmp_path / bad, objects_to_skip=[])
    for bad in ("m.keras", "m.weights.h5", "m.safetensors"):
        with pytest.raises(ValueError, match="`by_name` only supports"):
            target.load_weights(tmp_path / bad, by_name=True)
    with pytest.raises(ValueError, match="Invalid keyword arguments"):
        target.load_weights(path, other=1)


def parts(library):
    """A model with attributes before and behind "layers" in the alphabet, private ones, and layers in tuples in lists."""
    dense = library.layers.Dense

    class Parts(library.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.blocks = [(dense(4),), (dense(4),)]
            self.out, self.a, self._p, self.extra = dense(2), dense(4), dense(4), {"k": dense(4)}

        def call(self, x):
            for (layer,) in self.blocks:
                x = layer(x)
            return self.out(self._p(self.extra["k"](self.a(x))))

    return Parts()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_subclassed_models_both_ways(tmp_path):
    x = np.ones((2, 3), "float32")
    ours, theirs = parts(ks), parts(keras)
    ours.build((None, 3))
    theirs(x)
    ours.save_weights(tmp_path / "ours.weights.h5")
    theirs.load_weights(tmp_path / "ours.weights.h5")
    for name in ("out", "a", "_p"):
        np.testing.assert_array_equal(getattr(ours, name).kernel.numpy(), np.asarray(getattr(theirs, name).kernel.value))
    theirs.set_weights([np.asarray(w) * 2 for w in theirs.get_weights()])
    theirs.save_weights(tmp_path / "theirs.weights.h5")
    ours.load_weights(tmp_path / "theirs.weights.h5")
    np.testing.assert_allclose(ours(x).numpy(), np.asarray(theirs(x)), rtol=1e-5)


# ---- several files
def names(folder):
    return sorted(os.listdir(folder))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_shards_both_ways(tmp_path):
    size = 50 / 2**30  # a kernel of 48 bytes is one file, its bias goes to the next
    ours = model()
    ours.save_weights(tmp_path / "m.weights.json", max_shard_size=size)
    assert names(tmp_path) == ["m.weights.json", *[f"m_0000{i}.weights.h5" for i in range(2)]]
    index = json.loads((tmp_path / "m.weights.json").read_text())
    assert index["metadata"]["total_size"] == 92 and index["weight_map"]["/layers/dense/vars"] == [f"m_0000{i}.weights.h5" for i in range(2)]
    theirs = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])
    theirs.load_weights(tmp_path / "m.weights.json")
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, np.asarray(b))
    theirs.set_weights([np.asarray(w) + 1 for w in theirs.get_weights()])
    theirs.save_weights(tmp_path / "theirs.weights.json", max_shard_size=size)
    ours.load_weights(tmp_path / "theirs.weights.json")
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, np.asarray(b))


def test_shards_of_different_saves_are_not_mixed(tmp_path):
    source = model()
    source.save_weights(tmp_path / "m.weights.json", max_shard_size=50 / 2**30)
    old = (tmp_path / "m_00001.weights.h5").read_bytes()
    with pytest.warns(UserWarning, match=r"requires `\*\.json`"):
        source.save_weights(tmp_path / "m.weights.h5", max_shard_size=1)
    assert names(tmp_path) == ["m.weights.json", "m_00000.weights.h5"]  # what the earlier save had more is gone
    source.save_weights(tmp_path / "m.weights.json", max_shard_size=50 / 2**30)
    (tmp_path / "m_00001.weights.h5").write_bytes(old)
    with pytest.raises(ValueError, match="another save"):
        model().load_weights(tmp_path / "m.weights.json")
    with pytest.raises(ValueError, match="exceeds the maximum shard size"):
        source.save_weights(tmp_path / "n.weights.json", max_shard_size=10 / 2**30)
    assert not [name for name in names(tmp_path) if name.startswith(("n", "."))]


# ---- safetensors
def test_safetensors_hold_paths_for_others(tmp_path):
    source = model()
    source.save_weights(tmp_path / "m.safetensors")
    arrays = safetensors.numpy.load_file(tmp_path / "m.safetensors")
    assert sorted(arrays) == ["net/first/bias", "net/first/kernel", "net/second/bias", "net/second/kernel"]
    safetensors.numpy.save_file({name: array * 2 for name, array in arrays.items()}, tmp_path / "other.safetensors")
    target = model()
    target.load_weights(tmp_path / "other.safetensors")
    for a, b in zip(target.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b * 2)


def test_safetensors_of_a_model_whose_layers_are_numbered_anew(tmp_path):
    def unnamed():
        return ks.Sequential([ks.Input((4,)), layers.Dense(3), layers.BatchNormalization(), layers.Dense(3)])

    source, target = unnamed(), unnamed()
    assert source.weights[0].path != target.weights[0].path
    source.save_weights(tmp_path / "m.safetensors")
    target.load_weights(tmp_path / "m.safetensors")
    for a, b in zip(target.get_weights(), source.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_safetensors_dtypes(tmp_path):
    net = ks.Sequential([ks.Input((2,)), layers.Dense(3, dtype="bfloat16"), layers.Dense(2, dtype="float16"), layers.Dense(1, dtype="float64")])
    net.save_weights(tmp_path / "m.safetensors")
    wanted = net.get_weights()
    net.set_weights([w * 0 for w in wanted])
    net.load_weights(tmp_path / "m.safetensors")
    for a, b in zip(net.get_weights(), wanted, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def header(text, data=b""):
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize(
    "content",
    [
        b"", b"hello", b"\xff" * 16, (10**12).to_bytes(8, "little") + b"{}", header(b"[1, 2]"), header(b'{"a": 1}'),
        header(b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4]}}', b"1234"),
        header(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'),
        header(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}', b"1234"),
        header(b'{"a":{"dtype":"F32","shape":[18446744073709551615, 2],"data_offsets":[0,4]}}', b"1234"),
        header(b'{"a":{"dtype":"PICKLE","shape":[1],"data_offsets":[0,4]}}', b"1234"),
        header(b"[" * 100000),
    ],
)  # fmt: skip
def test_hostile_safetensors(tmp_path, content):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.safetensors"):
        model().load_weights(path)


def test_safetensors_metadata_is_not_trusted(tmp_path):
    source = model()
    source.save_weights(tmp_path / "m.safetensors")
    arrays = safetensors.numpy.load_file(tmp_path / "m.safetensors")
    for order in ("[" * 5000, '{"a": 1}', "[1, 2]", json.dumps(["x"] * 4)):
        safetensors.numpy.save_file(arrays, tmp_path / "n.safetensors", {"order": order})
        model().load_weights(tmp_path / "n.safetensors")
        with pytest.raises(ValueError, match="missing from the file"):
            model(name="other").load_weights(tmp_path / "n.safetensors")


def test_safetensors_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"kerasish\[safetensors\]"):
        safetensors_file.save_weights(model(), tmp_path / "m.safetensors")
    monkeypatch.undo()
    lazy = ks.Sequential([layers.Dense(2)])
    for act in (lazy.save_weights, lazy.load_weights):
        with pytest.raises(ValueError, match="not yet been built"):
            act(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="not for `.safetensors`"):
        model().save_weights(tmp_path / "m.safetensors", max_shard_size=1)
    with pytest.raises(FileNotFoundError, match="not found"):
        model().load_weights(tmp_path / "m.safetensors")


# ---- where files are
@pytest.mark.parametrize("path", ["gs://bucket/m.keras", "hf://me/model", "s3://b/m.h5", "https://x.org/m.weights.h5"])
def test_remote_paths_are_refused(path):
    for act in (lambda: model().save(path), lambda: ks.saving.load_model(path), lambda: model().save_weights(path), lambda: model().load_weights(path)):
        with pytest.raises(ValueError, match="remote path"):
            act()


def test_open_files(tmp_path):
    source, buffer = model(), io.BytesIO()
    ks.saving.save_model(source, buffer)
    buffer.seek(0)
    again = ks.saving.load_model(buffer)
    np.testing.assert_array_equal(again.get_weights()[0], source.get_weights()[0])
    with open(tmp_path / "m.keras", "wb") as file:
        source.save(file)
    ks.saving.load_model(tmp_path / "m.keras")


def test_formats_and_folders(tmp_path):
    with pytest.warns(DeprecationWarning, match="`save_format` argument is deprecated"):
        model().save(tmp_path / "m.keras", save_format="keras")
    with pytest.raises(ValueError, match="`save_format` argument is deprecated"):
        model().save(tmp_path / "m", save_format="tf")
    with pytest.raises(ValueError, match=r"should not end in `\.keras`"):
        model().save(tmp_path / "m.keras", zipped=False)
    with pytest.raises(ValueError, match="must end in `.weights.json`"):
        model().save_weights(tmp_path / "m.h5", max_shard_size=1)
    with pytest.warns(UserWarning, match="not yet been built"):
        ks.Sequential([layers.Dense(2)]).save(tmp_path / "lazy.keras")
    assert not ks.saving.load_model(tmp_path / "lazy.keras").built
    with pytest.raises(ValueError, match="File format not supported"):
        ks.saving.load_model(tmp_path)


def test_a_folder_with_other_files_is_not_replaced(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "data.csv").write_text("1")
    with pytest.raises(ValueError, match=r"no part of a model: \['data\.csv'\]"):
        model().save(tmp_path / "mine", zipped=False)
    with pytest.raises(ValueError, match="is a file"):
        model().save(tmp_path / "mine" / "data.csv", zipped=False)
    assert [p.name for p in tmp_path.rglob("*")] == ["mine", "data.csv"]


@pytest.mark.parametrize("where", ["m.keras", "m", "file"])
def test_a_model_without_how_it_was_compiled(tmp_path, where):
    net = model()
    net.compile("adam", "mse")
    net.fit(np.ones((2, 4)), np.ones((2, 2)), verbose=0)
    file = io.BytesIO() if where == "file" else tmp_path / where
    ks.saving.save_model(net, file, zipped=False if where == "m" else None, include_optimizer=False)
    if where == "file":
        file.seek(0)
    loaded = ks.saving.load_model(file)
    assert loaded.optimizer is None and not loaded.compiled
    for a, b in zip(net.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_open_file_takes_one_format():
    for options in ({"zipped": False}, {"save_format": "h5"}):
        with pytest.raises(ValueError, match="Into an open file"):
            ks.saving.save_model(model(), io.BytesIO(), **options)


@pytest.mark.parametrize("size", [0, -1, "1GB", True, float("nan")])
def test_sizes_of_shards(tmp_path, size):
    with pytest.raises(ValueError, match="positive number of gigabytes"):
        model().save_weights(tmp_path / "m.weights.json", max_shard_size=size)


def test_an_index_is_not_overwritten_unasked(tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda text: "n")
    model().save_weights(tmp_path / "m.weights.json", max_shard_size=1)
    old = (tmp_path / "m.weights.json").read_bytes()
    with pytest.warns(UserWarning, match="becomes"):
        model().save_weights(tmp_path / "m.weights.h5", overwrite=False, max_shard_size=1)
    assert (tmp_path / "m.weights.json").read_bytes() == old


@pytest.mark.parametrize("ending", ["keras", "h5", "weights.h5"])
def test_models_that_are_not_built(tmp_path, ending):
    net = model()
    (net.save_weights if "weights" in ending else net.save)(tmp_path / f"m.{ending}")
    with pytest.raises(ValueError, match="not yet been built"):
        ks.Sequential([layers.Dense(3)]).load_weights(tmp_path / f"m.{ending}")


def test_the_file_is_named_where_weights_do_not_fit(tmp_path):
    model().save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match=r"the weights in \S*m\.keras do not fit"):
        ks.Sequential([ks.Input((4,)), layers.Dense(9)]).load_weights(tmp_path / "m.keras")


def test_a_config_that_does_not_build(tmp_path):
    @ks.saving.register_keras_serializable("tests")
    class Unbuilt(ks.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    net = Unbuilt()
    net(np.ones((1, 3)))
    net.save(tmp_path / "m.h5")
    with pytest.raises(ValueError, match=r"'unbuilt.*' \(Unbuilt\) doesn't build it"):
        ks.saving.load_model(tmp_path / "m.h5")


@pytest.mark.parametrize("ending", ["m", "m.weights.json", "m.safetensors", "m.h5", "m.keras", "m.weights.h5"])
def test_a_failing_save_leaves_the_old_files_and_no_litter(tmp_path, monkeypatch, ending):
    path = tmp_path / ending

    def save(net):
        if ending.startswith("m.weights.json"):
            net.save_weights(path, max_shard_size=50 / 2**30)
        elif "weights" in ending or "safetensors" in ending:
            net.save_weights(path)
        else:
            net.save(path, zipped=False if ending == "m" else None)

    def contents():
        return {str(p.relative_to(tmp_path)): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    save(model())
    old = contents()

    def crash(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", crash)
    with pytest.raises(OSError, match="no space left"):
        save(model())
    assert contents() == old and len(list(tmp_path.iterdir())) == (3 if ending == "m.weights.json" else 1)
