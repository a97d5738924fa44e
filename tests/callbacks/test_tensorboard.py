"""TensorBoard: what its own reader finds in the files."""

import io
import json
import struct
import zlib

import numpy as np
import pytest

import kerasish as ks
from kerasish import callbacks, layers
from kerasish.callbacks.event_files import png
from kerasish.callbacks.tensorboard import _as_images
from tests.training.both import TARGETS, X

tensorboard = pytest.importorskip("tensorboard")
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: E402
from tensorboard.util import tensor_util  # noqa: E402


def read(folder):
    """All that the files of a folder hold."""
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    return events


def tags(folder):
    return set(read(folder).Tags()["tensors"])


def values(folder, tag):
    """Step -> number."""
    return {event.step: tensor_util.make_ndarray(event.tensor_proto).item() for event in read(folder).Tensors(tag)}


def model_of(*added, **options):
    model = ks.Sequential([layers.Input((4,)), *added, layers.Dense(1, name="last")])
    model.compile("sgd", "mse", metrics=["mae"], **options)
    return model


def fit(model, *added, **options):
    return model.fit(**{"x": X, "y": TARGETS, "epochs": 2, "batch_size": 12, "verbose": 0, "callbacks": [*added], **options})


def test_numbers_of_epochs(tmp_path):
    history = fit(model_of(), callbacks.TensorBoard(tmp_path), validation_data=(X[:12], TARGETS[:12])).history
    train, validation = tmp_path / "train", tmp_path / "validation"
    assert tags(train) == {"keras", "epoch_loss", "epoch_mae", "epoch_learning_rate"}
    assert tags(validation) == {"epoch_loss", "epoch_mae", "evaluation_loss_vs_iterations", "evaluation_mae_vs_iterations"}
    assert values(train, "epoch_mae") == pytest.approx(dict(enumerate(history["mae"])))
    assert values(validation, "epoch_loss") == pytest.approx(dict(enumerate(history["val_loss"])))
    assert values(validation, "evaluation_loss_vs_iterations") == pytest.approx({4: history["val_loss"][0], 8: history["val_loss"][1]})
    assert values(train, "epoch_learning_rate") == pytest.approx({0: 0.01, 1: 0.01})


def test_no_file_without_need(tmp_path):
    fit(model_of(), callbacks.TensorBoard(tmp_path, write_graph=False))
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


@pytest.mark.parametrize(
    ("update_freq", "options", "steps"),
    [("batch", {}, range(1, 9)), (3, {}, [3, 6]), (2, {"steps_per_execution": 4}, [4, 8]), (100, {}, None), ("epoch", {}, None)],
)
def test_numbers_of_batches(tmp_path, update_freq, options, steps):
    board = callbacks.TensorBoard(tmp_path, update_freq=update_freq, write_steps_per_second=True)
    fit(model_of(**options), board)
    found = {tag for tag in tags(tmp_path / "train") if tag.startswith("batch_")}
    assert found == ({"batch_loss", "batch_mae", "batch_steps_per_second"} if steps else set())
    if steps:
        assert list(values(tmp_path / "train", "batch_loss")) == list(steps)
        assert all(speed > 0 for speed in values(tmp_path / "train", "batch_steps_per_second").values())
    assert all(speed > 0 for speed in values(tmp_path / "train", "epoch_steps_per_second").values())


def test_values_of_batches_are_read_only_when_they_are_written(tmp_path):
    class Number:
        read = 0

        def __float__(self):
            self.read += 1
            return 1.0

    number = Number()
    board = callbacks.TensorBoard(tmp_path, update_freq=3)
    board.set_model(model_of())
    for batch in range(4):
        board.on_train_batch_begin(batch)
        board.on_train_batch_end(batch, {"loss": number})
    board.close()
    assert number.read == 1


def test_weights(tmp_path):
    model = model_of(layers.Dense(8, name="first"))
    fit(model, callbacks.TensorBoard(tmp_path, histogram_freq=2, write_images=True), epochs=3)
    path = model.get_layer("first").kernel.path
    events = read(tmp_path / "train")
    assert {f"{path}/histogram", f"{path}/image"} <= set(events.Tags()["tensors"])
    assert [event.step for event in events.Tensors(f"{path}/histogram")] == [0, 2]
    last = tensor_util.make_ndarray(events.Tensors(f"{path}/histogram")[-1].tensor_proto)
    kernel = model.get_layer("first").kernel.numpy()
    assert last[:, 2].sum() == kernel.size
    np.testing.assert_allclose([last[0, 0], last[-1, 1]], [kernel.min(), kernel.max()], rtol=1e-6)
    width, height, image = tensor_util.make_ndarray(events.Tensors(f"{path}/image")[-1].tensor_proto)[:3]
    assert (width, height) == (b"8", b"4") and image.startswith(b"\x89PNG")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_are_png_files(channels):
    pillow = pytest.importorskip("PIL.Image")
    image = np.random.default_rng(0).integers(0, 256, (5, 7, channels)).astype("uint8")
    with pillow.open(io.BytesIO(png(image))) as read_back:
        np.testing.assert_array_equal(np.asarray(read_back).reshape(image.shape), image)
    data = zlib.decompress(png(image).split(b"IDAT")[1][:-16])
    assert len(data) == 5 * (7 * channels + 1) and struct.unpack(">II", png(image)[16:24]) == (7, 5)


@pytest.mark.parametrize(
    ("shape", "images"),
    [((5,), (1, 5, 1, 1)), ((3, 5), (1, 3, 5, 1)), ((5, 3), (1, 3, 5, 1)), ((3, 4, 6), (6, 3, 4, 1)), ((2, 3, 4, 3), (2, 3, 4, 3)),
     ((1, 3, 1, 6), (1, 3, 6, 1)), ((2, 3, 4, 6), None), ((2, 2, 2, 2, 3), None), ((), None)],
)  # fmt: skip
def test_weights_as_images(shape, images):
    found = _as_images(np.arange(np.prod(shape, dtype=int), dtype="float32").reshape(shape))
    assert (found is None and images is None) or (found.shape == images and found.min() == 0 and found.max() == 255)


def test_weights_that_are_no_numbers_don_t_stop_it(tmp_path):
    model = model_of()
    model.get_layer("last").kernel.assign([[np.nan], [np.inf], [1.0], [2.0]])
    board = callbacks.TensorBoard(tmp_path, histogram_freq=1, write_images=True)
    board.set_model(model)
    board.on_epoch_end(0, {"loss": 1.0})
    board.close()
    path = f"{model.get_layer('last').kernel.path}/histogram"
    assert tensor_util.make_ndarray(read(tmp_path / "train").Tensors(path)[0].tensor_proto)[:, 2].sum() == 2


def test_the_graph(tmp_path):
    x = layers.Input((4,), name="x")
    a = layers.Dense(3, name="a")(x)
    model = ks.Model(x, layers.Add(name="sum")([a, layers.Dense(3, name="b")(a)]), name="net")
    model.compile("sgd", "mse")
    model.fit(X, X[:, :3], verbose=0, callbacks=[callbacks.TensorBoard(tmp_path)])
    events = read(tmp_path / "train")
    nodes = {node.name: list(node.input) for node in events.Graph().node}
    assert nodes == {"net/x": [], "net/a": ["net/x"], "net/b": ["net/a"], "net/sum": ["net/a", "net/b"]}
    config = tensor_util.make_ndarray(events.Tensors("keras")[0].tensor_proto).item()
    assert json.loads(config)["config"]["name"] == "net"
    assert events.SummaryMetadata("keras").plugin_data.plugin_name == "graph_keras_model"


def test_the_graph_of_a_subclass_is_its_layers(tmp_path):
    class Own(ks.Model):
        def __init__(self):
            super().__init__(name="own")
            self.dense = layers.Dense(1, name="dense")

        def call(self, x):
            return self.dense(x)

    model = Own()
    model.compile("sgd", "mse")
    fit(model, callbacks.TensorBoard(tmp_path))
    assert [node.name for node in read(tmp_path / "train").Graph().node] == ["own", "own/dense"] and "keras" not in tags(tmp_path / "train")


def test_the_profile(tmp_path):
    def trained(*added):
        ks.utils.set_random_seed(3)
        model = model_of()
        fit(model, *added)
        return model.get_weights()[0].tobytes()

    assert trained(callbacks.TensorBoard(tmp_path, profile_batch=(2, 5))) == trained()  # it changes nothing
    event = read(tmp_path / "train").Tensors("batch_5")[0]
    assert "matmul" in tensor_util.make_ndarray(event.tensor_proto).item().decode() and event.step == 5


def test_no_profile_of_eager_steps(tmp_path):
    with pytest.warns(UserWarning, match="No profile of batch 1: .*run eagerly"):
        fit(model_of(run_eagerly=True), callbacks.TensorBoard(tmp_path, profile_batch=1))


@pytest.mark.parametrize(("given", "expected"), [(0, (0, 0)), (5, (5, 5)), ((2, 4), (2, 4)), ("3,7", (3, 7)), ("4", (4, 4))])
def test_ranges_of_batches(given, expected):
    board = callbacks.TensorBoard(profile_batch=given)
    assert (board._start_batch, board._stop_batch) == expected


@pytest.mark.parametrize("wrong", [-1, (3, 2), (1, 2, 3), "x", 1.5, None])
def test_ranges_that_are_none(wrong):
    with pytest.raises(ValueError, match="profile_batch is a non-negative integer or the pair"):
        callbacks.TensorBoard(profile_batch=wrong)


def test_embeddings(tmp_path):
    def run(folder, metadata):
        model = ks.Sequential([layers.Input((4,)), layers.Embedding(9, 2, name="words"), layers.Flatten(), layers.Dense(1)])
        model.compile("sgd", "mse")
        board = callbacks.TensorBoard(folder, embeddings_freq=2, embeddings_metadata=metadata)
        model.fit(np.abs(X).astype("int32"), TARGETS, epochs=3, verbose=0, callbacks=[board])
        return model

    given = {"words": "words.tsv"}
    model = run(tmp_path / "a", given)
    lines = (tmp_path / "a" / "projector_config.pbtxt").read_text().splitlines()
    name = '  tensor_name: "layer_with_weights-0/embeddings/.ATTRIBUTES/VARIABLE_VALUE"'
    assert lines == ["embeddings {", name, '  metadata_path: "words.tsv"', "}"] and given == {"words": "words.tsv"}
    saved = sorted(path.name for path in (tmp_path / "a" / "train").glob("*.weights.h5"))
    assert saved == ["keras_embedding.ckpt-0.weights.h5", "keras_embedding.ckpt-2.weights.h5"]
    model.load_weights(tmp_path / "a" / "train" / saved[1])
    run(tmp_path / "b", "all.tsv")
    assert 'metadata_path: "all.tsv"' in (tmp_path / "b" / "projector_config.pbtxt").read_text()
    with pytest.raises(ValueError, match=r"no `Embedding` of the model.*\['other'\]"):
        run(tmp_path / "c", {"other": "x.tsv"})


def test_files_are_closed_after_an_error(tmp_path):
    board = callbacks.TensorBoard(tmp_path)

    def fail(epoch, logs):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fit(model_of(), board, callbacks.LambdaCallback(on_epoch_end=fail))
    assert not board._files and set(values(tmp_path / "train", "epoch_loss")) == {0}


def test_steps_go_on_after_a_break(tmp_path):
    def run(*added):
        board = callbacks.TensorBoard(tmp_path / "logs", update_freq=1)
        fit(model_of(), callbacks.BackupAndRestore(tmp_path / "backup"), board, *added)

    def fail(epoch, logs):
        if epoch == 1:
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError):
        run(callbacks.LambdaCallback(on_epoch_begin=fail))
    run()
    assert list(values(tmp_path / "logs" / "train", "batch_loss")) == list(range(1, 9))
