"""Whole models: the file gives what ``predict`` gives, at several batch sizes; and what a file says of itself."""

import sys

import numpy as np
import onnx
import onnxruntime
import pytest

import kerasish
from kerasish import Input, InputSpec, Model, Sequential, layers, ops, tree
from kerasish.backend.autodiff.state import clear_session
from kerasish.export import ExportArchive
from tests.export.driver import OPTIONS, run


@pytest.fixture(autouse=True)
def _fresh():
    clear_session()
    kerasish.utils.set_random_seed(0)


# ---- models
def mlp():
    return Sequential([Input((8,)), layers.Dense(16, "relu"), layers.Dropout(0.5), layers.BatchNormalization(), layers.Dense(3, "softmax")])


def convnet():
    return Sequential([
        Input((12, 11, 3)), layers.Rescaling(1 / 255), layers.Conv2D(4, 3, strides=2, padding="same", activation="relu"), layers.MaxPooling2D(2),
        layers.SeparableConv2D(6, 3, padding="same"), layers.AveragePooling2D(2, 1, padding="same"), layers.DepthwiseConv2D(2),
        layers.GlobalAveragePooling2D(), layers.Dense(2),
    ])  # fmt: skip


def resnet():
    x = inputs = Input((8, 8, 3))
    for filters in (4, 8):
        y = layers.Conv2D(filters, 3, 2, padding="same", use_bias=False)(x)
        y = layers.LeakyReLU(0.1)(layers.BatchNormalization()(y))
        y = layers.Conv2D(filters, 3, padding="same")(y)
        x = layers.Add()([y, layers.Conv2D(filters, 1, 2)(x)])
        x = layers.GroupNormalization(2)(layers.Activation("gelu")(x))
    return Model(inputs, layers.Dense(3)(layers.Flatten()(x)))


def autoencoder():
    inputs = Input((None, None, 1))
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu")(inputs)
    x = layers.Conv2DTranspose(3, 3, strides=2, padding="same", activation="elu")(x)
    x = layers.UpSampling2D(2, interpolation="bilinear")(x)
    return Model(inputs, layers.Conv2D(1, 3, padding="same")(layers.MaxPooling2D(2)(x)))


def unet():
    x = inputs = Input((None, None, 1))
    down = layers.Conv2D(2, 3, padding="same")(x)
    x = layers.Conv2D(4, 3, padding="same")(layers.MaxPooling2D(2)(down))
    return Model(inputs, layers.Conv2D(1, 1)(layers.Concatenate()([layers.UpSampling2D(2)(x), down])))


def recurrent():
    x = inputs = Input((None, 5))
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(x)
    x, *_ = layers.GRU(3, return_sequences=True, return_state=True)(x)
    x = layers.SimpleRNN(3, return_sequences=True, activation="relu")(x)
    return Model(inputs, [x, layers.LSTM(4, go_backwards=True)(x), layers.GRU(3, reset_after=False, recurrent_activation="hard_sigmoid")(x)])


def text():
    x = inputs = Input((None,), dtype="int32", name="tokens")
    x = layers.Embedding(20, 6, mask_zero=True)(x)
    x = layers.Bidirectional(layers.GRU(4, return_sequences=True))(x)
    return Model(inputs, {"class": layers.Dense(2)(layers.LSTM(4)(x)), "mean": layers.GlobalAveragePooling1D()(x)})


def conv_lstm():
    return Sequential([Input((3, 6, 5, 2)), layers.ConvLSTM2D(2, 3, padding="same", return_sequences=True), layers.ConvLSTM2D(3, 2)])


class Positions(layers.Layer):
    supports_masking = True

    def build(self, shape):
        self.table = self.add_weight((32, shape[-1]), name="table")

    def call(self, x):
        return x + self.table[: ops.shape(x)[1]]


def transformer():
    tokens = Input((None,), dtype="int32")
    x = Positions()(layers.Embedding(20, 8, mask_zero=True)(tokens))
    for _ in range(2):
        y = layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
        x = layers.LayerNormalization()(x + y)
        x = layers.LayerNormalization()(x + layers.Dense(8)(layers.Dense(16, "gelu")(x)))
    return Model(tokens, layers.Dense(20)(x))


def several():
    a, b = Input((4,), name="a"), Input((3, 2), name="b")
    inner = Sequential([Input((4,)), layers.Dense(5, "tanh"), layers.Dense(2)], name="inner")
    y = inner(a)
    z = layers.Dot((1, 2))([y, b])
    return Model({"a": a, "b": b}, {"y": y, "z": z, "same": layers.Concatenate()([inner(a * 2.0), y])})


class Subclassed(Model):
    def __init__(self):
        super().__init__()
        self.steps = [layers.Dense(4, "relu"), layers.Dense(4)]
        self.inner = several()

    def call(self, x, y, training=None):
        for step in self.steps:
            x = step(x, training=training)
        batch = ops.shape(x)[0]
        y = ops.reshape(y, (batch * 3, 2)) + ops.zeros((batch * 3, 1))
        return self.inner({"a": x, "b": ops.reshape(y, (batch, 3, 2))})["z"] / ops.shape(y)[0]


def subclassed():
    model = Subclassed()
    model(np.zeros((2, 4), "float32"), np.zeros((2, 3, 2), "float32"))
    return model


class Loops(Model):
    """Branches and loops whose ends depend on values, and one over an open axis."""

    def call(self, x):
        total = ops.sum(x)
        x = ops.cond(total > 0, lambda: x + 1.0, lambda: x - total)
        _, x = ops.while_loop(lambda i, x: i < 3 + ops.cast(total > 0, "int32"), lambda i, x: (i + 1, x * 0.5), (0, x))
        last, sums = ops.scan(lambda c, row: (c * 0.5 + row, c), x[0] * 0.0, x)
        return [last, sums, ops.fori_loop(0, 5, lambda i, v: v * 0.9 + ops.cast(i, "float32"), x)]


def loops():
    model = Loops()
    model(np.zeros((5, 2), "float32"))
    return model


def preprocessing():
    x = inputs = Input((None, None, 3))
    x = layers.RandomFlip()(layers.Resizing(6, 7)(x))
    return Model(inputs, layers.CenterCrop(4, 5)(layers.Normalization(mean=0.5, variance=2.0)(x)))


def mixed():
    return Sequential([Input((4,)), layers.Dense(6, "relu", dtype="mixed_float16"), layers.Dense(2, dtype="mixed_float16")])


SIZES = [(1, 6), (3, 9), (17, 4)]  # batch, and the size of open axes
MODELS = {f.__name__: f for f in (
    mlp, convnet, resnet, autoencoder, unet, recurrent, text, conv_lstm, transformer, several, subclassed, loops, preprocessing, mixed,
)}  # fmt: skip


def arrays_for(signature, batch, n):
    """Arrays for a signature. Images have even sizes, that differ."""
    rng, arrays = np.random.default_rng(n), []
    for spec in tree.flatten(signature):
        sizes = [n * 2 + 2 * axis if len(spec.shape) == 4 else n for axis in range(len(spec.shape))]
        shape = [(batch if axis == 0 else sizes[axis]) if k is None else k for axis, k in enumerate(spec.shape)]
        arrays.append(rng.integers(0, 20, shape).astype(spec.dtype) if "int" in (spec.dtype or "") else rng.normal(size=shape).astype(spec.dtype or "float32"))
    return arrays


@pytest.mark.parametrize("name", MODELS)
def test_model(name, tmp_path):
    model, path = MODELS[name](), tmp_path / "model.onnx"
    before, compiled = [v.numpy() for v in model.variables], model.losses
    signature = [InputSpec(shape=(None, 4)), InputSpec(shape=(None, 3, 2))] if name == "subclassed" else None
    model.export(path, verbose=False, input_signature=signature)
    assert all((a == v.numpy()).all() for a, v in zip(before, model.variables, strict=True))
    assert model.losses == compiled
    first = path.read_bytes()
    model.export(path, verbose=False, input_signature=signature)
    assert path.read_bytes() == first, "exported twice, and the bytes differ"
    signature = signature or kerasish.export.onnx.input_signature_of(model)
    for batch, n in SIZES:
        arrays = arrays_for(signature, batch, n)
        args = tree.pack_sequence_as(signature, arrays)
        expected = tree.flatten(model.predict(args[0], verbose=0) if len(args) == 1 else model(*args, training=False))
        found = run(path, arrays)
        assert len(found) == len(expected)
        for y, wanted in zip(found, expected, strict=True):
            tol = 1e-5 if y.dtype == np.float32 else 5e-3
            np.testing.assert_allclose(y, np.asarray(wanted), rtol=tol, atol=tol, err_msg=f"batch {batch}")


def test_a_file_has_the_models_names(tmp_path):
    model = several()
    model.export(tmp_path / "model.onnx", verbose=False)
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert [x.name for x in graph.input] == ["a", "b"]
    assert [x.name for x in graph.output] == ["same", "y", "z"]
    assert {v.path for v in model.variables} <= {x.name for x in graph.initializer}
    assert [[d.dim_param or d.dim_value for d in x.type.tensor_type.shape.dim] for x in graph.input] == [["batch", 4], ["batch", 3, 2]]
    assert any("/inner/dense/" in node.name for node in graph.node)


@pytest.mark.parametrize("opset", [17, 18, 20, 21, 23, 26])
def test_opset_version(opset, tmp_path):
    model = resnet()
    model.export(tmp_path / "model", format="onnx", verbose=False, opset_version=opset)
    assert onnx.load(tmp_path / "model").opset_import[0].version == opset
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(run(tmp_path / "model", [x])[0], model.predict(x, verbose=0), atol=1e-5)


@pytest.mark.parametrize("opset", [16, 27, "17"])
def test_unknown_opset(opset, tmp_path):
    with pytest.raises(ValueError, match="must be from 17 to 26"):
        mlp().export(tmp_path / "model.onnx", opset_version=opset)


def test_what_is_said(tmp_path, capsys):
    mlp().export(tmp_path / "model.onnx")
    assert "Saved artifact at" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"format='onnx'.*\.keras"):
        mlp().export(tmp_path / "model")
    with pytest.raises(ValueError, match="Unsupported format=litert"):
        mlp().export(tmp_path / "model.onnx", format="litert")
    with pytest.raises(ValueError, match="Unknown arguments"):
        mlp().export(tmp_path / "model.onnx", is_static=True)
    with pytest.raises(ValueError, match="has no variables yet"):
        Sequential([layers.Dense(2)]).export(tmp_path / "model.onnx")


@pytest.mark.parametrize("kind", [list, tuple, dict])
def test_structures_of_inputs(kind, tmp_path):
    class Sum(Model):
        def call(self, inputs):
            x, y = inputs.values() if kind is dict else inputs
            return [x + y, {"difference": x - y}]

    given = [np.full((3, 2), i, "float32") for i in (1, 2)]
    model = Sum()
    model(dict(x=given[0], y=given[1]) if kind is dict else kind(given))
    model.export(tmp_path / "model.onnx", verbose=False)
    np.testing.assert_array_equal(run(tmp_path / "model.onnx", given), [given[0] + given[1], given[0] - given[1]])


def test_input_signature(tmp_path):
    model = Sequential([layers.Dense(2)])
    model.build((None, 3))
    model.export(tmp_path / "model.onnx", verbose=False, input_signature=[InputSpec(shape=(4, 3), dtype="float32", name="own")])
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", OPTIONS)
    assert [(x.name, x.shape) for x in session.get_inputs()] == [("own", [4, 3])]
    with pytest.raises(ValueError, match="with shapes"):
        model.export(tmp_path / "model.onnx", input_signature=[InputSpec(ndim=2)])
    for specs in ([], [InputSpec(shape=(4, 3))] * 2):
        with pytest.raises(ValueError, match=f"for {len(specs)} arguments"):
            model.export(tmp_path / "model.onnx", input_signature=specs)
    with pytest.raises(ValueError, match=r"called with \['x', 'y'\]: give `input_signature`"):
        subclassed().export(tmp_path / "model.onnx")


class Named(layers.Layer):
    def __init__(self, function, **kwargs):
        super().__init__(**kwargs)
        self.function = function

    def call(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: ops.inv(x), r"Layer 'outer/odd' \(Named\) can't be exported to ONNX: op 'inv': it has no ONNX form"),
        (lambda x: x[ops.nonzero(x)], r"Layer 'outer/odd' \(Named\).*op 'nonzero': the shape of what it returns depends on values"),
        (lambda x: x * float(ops.sum(x)), r"Layer 'outer/odd' \(Named\) can't be exported to ONNX: .*has no value here"),
        (lambda x: x * np.full((x.shape[0], 1, 1), 2.0, "float32"), "sizes .* do not match"),
        (lambda x: {"y": x, "name": "odd"}, "its call returns 'odd', which is no tensor"),
        (lambda x: None, "its call returns no tensor"),
        (lambda x: x * float(x.shape[0] + 0), "its code made a fixed number of one"),
    ],
)
def test_what_cannot_be_exported_is_named(function, message, tmp_path):
    model = _with_layer(function)
    with pytest.raises(ValueError, match=message):
        model.export(tmp_path / "model.onnx", input_signature=[InputSpec(shape=(None, 3, 3), dtype="float32")])
    assert not list(tmp_path.iterdir())


def _with_layer(function):
    class Outer(Model):
        def __init__(self):
            super().__init__(name="outer")
            self.odd = Named(function, name="odd")

        def call(self, x):
            return self.odd(x)

    model = Outer()
    model(np.random.default_rng(0).uniform(size=(2, 3, 3)).astype("float32"))
    return model


@pytest.mark.parametrize(
    ("layer", "dtype"),
    [
        (lambda: layers.StringLookup(vocabulary=["a", "b"]), "string"),
        (lambda: layers.TextVectorization(vocabulary=["a", "b"]), "string"),
        (lambda: layers.IntegerLookup(vocabulary=[3, 5]), "int64"),
        (lambda: layers.Hashing(5), "int64"),
    ],
)
def test_layers_that_run_in_python_are_named(layer, dtype, tmp_path):
    layer = layer()
    model = Sequential([Input((1,), dtype=dtype), layer])
    with pytest.raises(ValueError, match=rf"Layer '.*' \({type(layer).__name__}\) can't be exported to ONNX: .*before the model gets it"):
        model.export(tmp_path / "model.onnx")


def test_state_is_named(tmp_path):
    model = Sequential([Input(batch_shape=(2, 4, 3)), layers.LSTM(2, stateful=True)])
    with pytest.raises(ValueError, match="its call assigns .*holds no state"):
        model.export(tmp_path / "model.onnx")


def test_random_numbers_are_the_runtimes(tmp_path):
    class Sampling(layers.Layer):
        def __init__(self):
            super().__init__()
            self.seed_generator = kerasish.random.SeedGenerator(1)

        def call(self, x):
            return x + kerasish.random.normal(ops.shape(x), seed=self.seed_generator)

    inputs = Input((500,))
    model = Model(inputs, Sampling()(inputs))
    model.export(tmp_path / "model.onnx", verbose=False)
    y = run(tmp_path / "model.onnx", [np.full((20, 500), 3.0, "float32")])[0]
    assert abs(y.mean() - 3) < 0.05
    assert abs(y.std() - 1) < 0.05


def test_archive(tmp_path):
    model = mlp()
    archive = ExportArchive(format="onnx")
    archive.track_and_add_endpoint("serve", model, None)
    archive.add_endpoint("logits", lambda x: model.layers[0](x) * 2.0, [InputSpec(shape=(None, 8), dtype="float32")])
    archive.write_out(tmp_path / "both", verbose=False)
    x = np.random.default_rng(0).normal(size=(2, 8)).astype("float32")
    np.testing.assert_allclose(run(tmp_path / "both" / "serve.onnx", [x])[0], model.predict(x, verbose=0), atol=1e-6)
    np.testing.assert_allclose(run(tmp_path / "both" / "logits.onnx", [x])[0], np.asarray(model.layers[0](x)) * 2, atol=1e-6)
    with pytest.raises(ValueError, match="can hold one endpoint"):
        archive.write_out(tmp_path / "both.onnx")
    with pytest.raises(ValueError, match="already taken"):
        archive.add_endpoint("serve", model)
    with pytest.raises(ValueError, match="`options` are for SavedModels"):
        archive.write_out(tmp_path, options=1)
    with pytest.raises(ValueError, match="no collections of variables"):
        archive.add_variable_collection("weights", model.variables)
    with pytest.raises(ValueError, match="`input_signature` is needed"):
        archive.add_endpoint("other", lambda x: x)


@pytest.mark.parametrize("format", [(), ("tf_saved_model",)])
def test_archives_are_onnx(format):
    with pytest.raises(ValueError, match="ExportArchive\\(format='onnx'\\)"):
        ExportArchive(*format)


def test_empty_archive(tmp_path):
    with pytest.raises(ValueError, match="No endpoints have been set"):
        ExportArchive(format="onnx").write_out(tmp_path)


def test_large_models_have_their_weights_beside_them(tmp_path, monkeypatch):
    monkeypatch.setattr(kerasish.export.onnx, "_LIMIT", 1000)
    model = Sequential([Input((30,)), layers.Dense(40)])
    for _ in range(2):
        model.export(tmp_path / "model.onnx", verbose=False)
        assert {p.name for p in tmp_path.iterdir()} == {"model.onnx", "model.onnx.data"}
        assert (tmp_path / "model.onnx.data").stat().st_size >= 30 * 40 * 4
    x = np.ones((2, 30), "float32")
    expected = model.predict(x, verbose=0)
    model.layers[0].kernel.assign(np.zeros((30, 40)))

    def crash(*args):
        raise OSError("no space left")

    monkeypatch.setattr(kerasish.export.onnx, "_check", crash)
    with pytest.raises(OSError, match="no space left"):
        model.export(tmp_path / "model.onnx", verbose=False)
    assert {p.name for p in tmp_path.iterdir()} == {"model.onnx", "model.onnx.data"}  # both those of before
    np.testing.assert_allclose(run(tmp_path / "model.onnx", [x])[0], expected, atol=1e-5)


def test_without_onnx(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "kerasish\[onnx\]"'):
        mlp().export(tmp_path / "model.onnx")
