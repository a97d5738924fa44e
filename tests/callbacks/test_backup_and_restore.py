"""A training that is broken off and started again ends as one that ran through: see also test_kill.py."""

import json
import pathlib
import warnings

import h5py
import keras
import numpy as np
import pytest

import kerasish as ks
from kerasish import callbacks, layers
from kerasish.saving import backup as backups
from kerasish.saving.backup import Backup, DamagedBackupError
from tools.kill_test import BATCH, MODELS, ROWS, X, Y, train

STEPS = ROWS // BATCH


class Interrupt(callbacks.Callback):
    """Raises at the given batch of all, or at the given moment the so manieth time."""

    def __init__(self, moment, count, error=RuntimeError):
        super().__init__()
        self.moment, self.left, self.error = moment, count, error

    def _count(self, moment):
        self.left -= moment == self.moment
        if moment == self.moment and self.left == 0:
            raise self.error("interrupted")

    def on_train_batch_end(self, batch, logs=None):
        self._count("batch")

    def on_epoch_begin(self, epoch, logs=None):
        self._count("epoch begin")

    def on_epoch_end(self, epoch, logs=None):
        self._count("epoch end")

    def on_test_batch_end(self, batch, logs=None):
        self._count("validation")

    def on_train_end(self, logs=None):
        self._count("end")


# ---- exact resume
@pytest.mark.parametrize("frequency", ["epoch", 5])
@pytest.mark.parametrize("name", MODELS)
def test_the_end_is_the_same_wherever_it_was_broken_off(name, frequency, tmp_path):
    def run(folder, *added):
        return train(name, frequency, tmp_path / folder, epochs=3, checkpoints=(), more=added)

    for at, error in ((14, KeyboardInterrupt), (3, RuntimeError)):
        with pytest.raises(error):
            run("broken", Interrupt("batch", at, error))
    end, expected = run("broken"), run("through")
    assert [key for key in expected if json.dumps(end[key]) != json.dumps(expected[key])] == []


@pytest.mark.parametrize(
    ("moment", "count", "frequency"),
    [("epoch begin", 2, 1), ("epoch end", 2, 1), ("validation", 3, 1), ("epoch end", 2, "epoch"), ("validation", 3, "epoch"), ("end", 1, "epoch")],
)
def test_between_two_batches(moment, count, frequency, tmp_path):
    """With a backup at every batch, this goes on behind the last batch of an epoch."""

    def run(folder, frequency, *added):
        model, backup = small(), callbacks.BackupAndRestore(tmp_path / folder, frequency)
        plateau = callbacks.ReduceLROnPlateau(patience=0, min_delta=0.2)
        history = fit(model, backup, plateau, *added, epochs=3, batch_size=24, validation_split=0.5)
        return history.history, weights_of(model)

    with pytest.raises(RuntimeError):
        run("broken", frequency, Interrupt(moment, count))
    assert run("broken", frequency) == run("through", False)


def small(seed=1):
    """A model with something random in it."""
    ks.utils.set_random_seed(seed)
    model = ks.Sequential([layers.Input((6,)), layers.Dense(4, activation="relu"), layers.Dropout(0.5), layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    return model


def fit(model, *added, epochs=4, **options):
    return model.fit(**{"x": X, "y": Y, "batch_size": BATCH, **options}, epochs=epochs, verbose=0, callbacks=[*added])


def weights_of(model):
    return [v.numpy().tobytes() for v in [*model.variables, *model.optimizer.variables]]


@pytest.mark.parametrize("frequency", ["epoch", 5])
def test_the_same_objects_can_go_on_too(frequency, tmp_path):
    expected = small()
    history = fit(expected).history
    model, backup = small(), callbacks.BackupAndRestore(tmp_path / "backup", frequency)
    with pytest.raises(KeyboardInterrupt):
        fit(model, backup, Interrupt("batch", 2 * STEPS + 7, KeyboardInterrupt))
    assert fit(model, backup).history == history
    assert weights_of(model) == weights_of(expected)
    fit(model, epochs=1)
    assert model.history.epoch == [0]  # the place to begin is forgotten


def test_a_stop_is_remembered(tmp_path):
    """It ends before the last epoch, and dies when all is over but the end."""
    logs = []

    def run(folder, *added):
        stop = callbacks.EarlyStopping("loss", patience=1, min_delta=1e9, restore_best_weights=True)
        seen = callbacks.LambdaCallback(on_train_end=logs.append)
        model = small()
        history = fit(model, callbacks.BackupAndRestore(tmp_path / folder), stop, seen, *added)
        return model, history

    with pytest.raises(RuntimeError):
        run("broken", Interrupt("end", 1))
    model, history = run("broken")
    expected, expected_history = run("through")
    assert weights_of(model) == weights_of(expected) and history.history == expected_history.history and history.epoch == [0, 1]
    assert logs[0] == logs[1] == logs[2] != {}


def test_a_stop_within_an_epoch_is_remembered(tmp_path):
    def run(folder, *added):
        class Stop(callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                self.model.stop_training = batch == 4

        model = small()
        history = fit(model, callbacks.BackupAndRestore(tmp_path / folder, 5), Stop(), *added)
        return weights_of(model), history.history

    with pytest.raises(RuntimeError):
        run("broken", Interrupt("epoch end", 1))
    assert run("broken") == run("through")


def test_what_is_shown_of_an_epoch_that_goes_on(tmp_path, capsys):
    with pytest.raises(RuntimeError):
        fit(small(), callbacks.BackupAndRestore(tmp_path / "backup", 5), Interrupt("batch", STEPS + 7))
    model, seen = small(), []
    model.fit(X, Y, batch_size=BATCH, epochs=3, verbose=2, callbacks=[
        callbacks.BackupAndRestore(tmp_path / "backup", 5), callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch)),
    ])  # fmt: skip
    shown = [line.split(" - ")[:2] for line in capsys.readouterr().out.splitlines()]
    assert shown == [[f"Epoch {n}/3", f"{STEPS}/{STEPS}"] for n in (2, 3)]
    assert seen == [*range(3, STEPS), *range(STEPS)]  # the last backup was that of the 15th batch


def test_several_batches_at_once(tmp_path):
    def run(folder, *added):
        model = small()
        model.steps_per_execution = 3
        return fit(model, callbacks.BackupAndRestore(tmp_path / folder, 5), *added).history, weights_of(model)

    with pytest.raises(RuntimeError):
        run("broken", Interrupt("batch", 7))
    assert run("broken") == run("through")


class Made(ks.utils.PyDataset):
    def __len__(self):
        return STEPS

    def __getitem__(self, index):
        return X[index * BATCH :][:BATCH], Y[index * BATCH :][:BATCH]


def stored(tmp_path):
    """The data in an HDF5 file."""
    with h5py.File(tmp_path / "data.h5", "a") as file:
        if "x" not in file:
            file.create_dataset("x", data=X, chunks=(16, 6))
            file.create_dataset("y", data=Y, chunks=(16, 1))
    file = h5py.File(tmp_path / "data.h5")
    return {"x": file["x"], "y": file["y"], "batch_size": BATCH}


def batches():
    while True:
        yield from Made()


KINDS = {
    "arrays, mixed within batches": lambda tmp_path: {"x": X, "y": Y, "batch_size": BATCH, "shuffle": "batch"},
    "HDF5": stored,
    "PyDataset": lambda tmp_path: {"x": Made(), "shuffle": True},
    "PyDataset with threads": lambda tmp_path: {"x": Made(workers=2), "shuffle": True},
    "PyDataset, a pass in two epochs": lambda tmp_path: {"x": Made(), "shuffle": True, "steps_per_epoch": STEPS // 2},
    "generator": lambda tmp_path: {"x": batches(), "steps_per_epoch": STEPS - 1},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data(kind, tmp_path):
    def run(folder, *added):
        model = small()
        added = [callbacks.BackupAndRestore(tmp_path / folder, 5), *added]
        history = model.fit(**KINDS[kind](tmp_path), epochs=3, verbose=0, callbacks=added)
        return history.history, weights_of(model)

    for at in (14, 3):
        with pytest.raises(RuntimeError):
            run("broken", Interrupt("batch", at))
    assert run("broken") == run("through")


def test_validation_that_is_read_on_in_every_epoch(tmp_path):
    def run(folder, *added):
        validation = ((X[i % 48 : i % 48 + 8], Y[i % 48 : i % 48 + 8]) for i in range(1000))
        model = small()
        backup = callbacks.BackupAndRestore(tmp_path / folder, 5)
        return fit(model, backup, *added, validation_data=validation, validation_steps=3).history, weights_of(model)

    for at in (2 * STEPS + 3, 3):
        with pytest.raises(RuntimeError):
            run("broken", Interrupt("batch", at))
    assert run("broken") == run("through")


def test_optimizers_and_variables_that_a_model_keeps_beside_the_compiled_ones(tmp_path):
    class Two(ks.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(1)
            self.second = ks.optimizers.Adam(0.01)
            self.second.build([ks.Variable([1.0], name="own")])

        def call(self, x):
            return self.dense(x)

        def train_step(self, data):
            logs = super().train_step(data)
            own = self.second._trainable_variables[0]
            self.second.apply([own.value], [own])
            return logs

    def run(folder, *added):
        ks.utils.set_random_seed(2)
        model = Two()
        model.compile("sgd", "mse")
        model.build((None, 6))
        fit(model, callbacks.BackupAndRestore(tmp_path / folder, 5), *added)
        return weights_of(model), [v.numpy().tobytes() for v in model.second.variables]

    with pytest.raises(RuntimeError):
        run("broken", Interrupt("batch", 20))
    assert run("broken") == run("through")


# ---- callbacks with a state
def test_a_callback_of_ones_own(tmp_path):
    class Mine(callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seen = []

        def on_epoch_end(self, epoch, logs=None):
            self.seen.append((epoch, logs["loss"]))

        def get_state(self):
            return {"seen": self.seen, "array": np.arange(3.0), "nested": {"x": [None, True, "text", float("nan"), np.float32(0.1)]}}

        def set_state(self, state):
            self.seen = [tuple(pair) for pair in state["seen"]]
            self.state = state

    first, second, other = Mine(), Mine(), callbacks.EarlyStopping("loss")
    with pytest.raises(RuntimeError):
        fit(small(), callbacks.BackupAndRestore(tmp_path / "backup"), Mine(), other, Mine(), Interrupt("epoch begin", 3))
    fit(small(), callbacks.BackupAndRestore(tmp_path / "backup"), first, second)  # another callback is gone: that is no error
    assert [epoch for epoch, _ in first.seen] == [0, 1, 2, 3] and first.seen == second.seen
    assert first.state["array"].tolist() == [0.0, 1.0, 2.0] and first.state["nested"]["x"][4] == np.float32(0.1)
    assert np.isnan(first.state["nested"]["x"][3]) and first.state["nested"]["x"][:3] == [None, True, "text"]


def test_a_state_that_no_file_can_hold_is_refused(tmp_path):
    class Mine(callbacks.Callback):
        state_attributes = ("thing",)
        thing = {"a": [object()]}

    with pytest.raises(TypeError, match=r"\['Mine'\]\['thing'\]\['a'\]\[0\] can't be backed up"):
        fit(small(), callbacks.BackupAndRestore(tmp_path / "backup"), Mine())


def test_rows_of_a_log_that_are_trained_again_are_taken_out(tmp_path):
    path = tmp_path / "log.csv"
    for append in (False, True):
        path.unlink(missing_ok=True)
        with pytest.raises(RuntimeError):  # the row of epoch 2 is written, its backup is not
            fit(small(), callbacks.BackupAndRestore(tmp_path / "backup"), callbacks.CSVLogger(path, append=append), Interrupt("epoch end", 2))
        assert len(path.read_text().splitlines()) == 3
        fit(small(), callbacks.BackupAndRestore(tmp_path / "backup"), callbacks.CSVLogger(path, append=append))
        assert [line.split(",")[0] for line in path.read_text().splitlines()] == ["epoch", "0", "1", "2", "3"]


def test_a_log_that_is_gone_is_told(tmp_path):
    path = tmp_path / "log.csv"
    with pytest.raises(RuntimeError):
        fit(small(), callbacks.BackupAndRestore(tmp_path / "backup"), callbacks.CSVLogger(path), Interrupt("epoch begin", 3))
    path.unlink()
    with pytest.warns(UserWarning, match="are gone"):
        fit(small(), callbacks.BackupAndRestore(tmp_path / "backup"), callbacks.CSVLogger(path))
    assert [line.split(",")[0] for line in path.read_text().splitlines()] == ["epoch", "2", "3"]


# ---- the files
def kept(tmp_path, epochs=2, frequency="epoch", **options):
    """A model, and the folder with the backup of its training."""
    model, folder = small(), tmp_path / "backup"
    fit(model, callbacks.BackupAndRestore(folder, frequency, delete_checkpoint=False, **options), epochs=epochs)
    return model, folder


def test_the_layout_is_keras_s(tmp_path):
    model, folder = kept(tmp_path)
    assert sorted(p.name for p in folder.iterdir()) == ["latest.weights.h5", "training_metadata.json"]
    assert json.loads((folder / "training_metadata.json").read_text()) == {"epoch": 2, "batch": 0}
    other = small(seed=5)
    other.optimizer.build(other.trainable_variables)
    other.load_weights(folder / "latest.weights.h5")
    assert other.get_weights()[0].tobytes() == model.get_weights()[0].tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4), keras.layers.Dropout(0.5), keras.layers.Dense(1)])
        theirs.load_weights(folder / "latest.weights.h5")
        values = theirs.get_weights()
    assert [a.tobytes() for a in values] == [b.tobytes() for b in model.get_weights()]


def test_nothing_is_stored_twice(tmp_path):
    ks.utils.set_random_seed(0)
    model = ks.Sequential([layers.Input((300,)), layers.Dense(300)])
    model.compile("adam", "mse")
    x = np.zeros((8, 300), "float32")
    model.fit(x, x, verbose=0, callbacks=[callbacks.BackupAndRestore(tmp_path / "backup", delete_checkpoint=False)])
    assert (tmp_path / "backup" / "latest.weights.h5").stat().st_size < 3 * 300 * 301 * 4 + 100_000


def test_a_backup_of_real_keras_is_gone_on_with(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
        theirs.compile("sgd", "mse")
        theirs.fit(X, Y, batch_size=48, epochs=2, verbose=0, callbacks=[keras.callbacks.BackupAndRestore(tmp_path / "b", delete_checkpoint=False)])
        (kernel, _) = theirs.get_weights()
    model = ks.Sequential([layers.Input((6,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    seen = []
    first = callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append((epoch, model.get_weights()[0])))
    fit(model, callbacks.BackupAndRestore(tmp_path / "b"), first)
    assert [epoch for epoch, _ in seen] == [2, 3] and seen[0][1].tobytes() == kernel.tobytes()
    assert int(model.optimizer.iterations) == 4 + 2 * STEPS


DAMAGES = {
    "cut off": lambda data: data[: len(data) // 2],
    "empty": lambda data: b"",
    "foreign": lambda data: b"0",
    "a bit": lambda data: data[:5000] + bytes([data[5000] ^ 1]) + data[5001:],
    "no checksum": lambda data: bytes(512) + data[512:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_found(damage, tmp_path):
    _, folder = kept(tmp_path, epochs=3, double_checkpoint=True)
    latest = folder / "latest.weights.h5"
    latest.write_bytes(DAMAGES[damage](latest.read_bytes()))
    with pytest.warns(UserWarning, match="Going on from the backup before it"):
        model = small()
        history = fit(model, callbacks.BackupAndRestore(folder))
    expected = small()
    assert history.history == fit(expected).history and weights_of(model) == weights_of(expected)
    _, folder = kept(tmp_path)
    latest.write_bytes(DAMAGES[damage](latest.read_bytes()))
    with pytest.raises(DamagedBackupError, match=r"latest.weights.h5.*Delete .*backup to begin the training anew"):
        fit(small(), callbacks.BackupAndRestore(folder))


def test_a_damaged_backup_never_takes_the_place_of_a_good_one(tmp_path):
    _, folder = kept(tmp_path, double_checkpoint=True)
    latest = folder / "latest.weights.h5"
    latest.write_bytes(b"0")
    with pytest.raises(RuntimeError), pytest.warns(UserWarning, match="Going on"):
        fit(small(), callbacks.BackupAndRestore(folder, double_checkpoint=True), Interrupt("batch", 3))
    assert Backup(latest).state["epoch"] == 1 and not latest.with_suffix(".h5.bkp").exists()


def test_the_one_before_is_there_from_the_beginning(tmp_path):
    folder = tmp_path / "backup"
    with pytest.raises(RuntimeError):
        fit(small(), callbacks.BackupAndRestore(folder, double_checkpoint=True), Interrupt("batch", 3))
    assert Backup(folder / "latest.weights.h5").state["epoch"] == 0
    model = small(seed=9)  # even other weights to begin with don't matter then
    fit(model, callbacks.BackupAndRestore(folder, double_checkpoint=True))
    expected = small()
    fit(expected)
    assert weights_of(model) == weights_of(expected)


def test_killed_between_the_old_backup_and_the_new(tmp_path):
    _, folder = kept(tmp_path, double_checkpoint=True)
    (folder / "latest.weights.h5").unlink()
    (folder / ".latest.weights.h5.1234.tmp").write_bytes(b"half")
    history = fit(small(), callbacks.BackupAndRestore(folder, delete_checkpoint=False), epochs=3)
    assert history.epoch == [0, 1, 2] and not list(folder.glob(".*"))


def test_another_model_is_refused_and_stays_as_it_is(tmp_path):
    _, folder = kept(tmp_path)
    for units, message in ((5, r"has shape \(6, 5\) float32, the backup's has shape \(6, 4\)"), (4, "it has 19 variables; the model")):
        model = ks.Sequential([layers.Input((6,)), layers.Dense(units), layers.Dense(1)] + [layers.Dense(1)] * (units == 4))
        model.compile("adam", "mse", metrics=["mae"])
        before = model.get_weights()
        with pytest.raises(ValueError, match=message):
            fit(model, callbacks.BackupAndRestore(folder))
        assert [w.tobytes() for w in before] == [w.tobytes() for w in model.get_weights()]


def test_links_in_a_backup_are_refused(tmp_path):
    _, folder = kept(tmp_path)
    path = folder / "latest.weights.h5"
    with h5py.File(path, "r+") as file:
        numbered = file[backups._GROUP]["variables"]
        del numbered["0"]
        numbered["0"] = h5py.ExternalLink("/etc/passwd", "x")
    backups._seal(path)
    with pytest.raises(DamagedBackupError, match="ExternalLink"):
        Backup(path)


def test_files_are_deleted_or_kept(tmp_path):
    _, folder = kept(tmp_path)
    assert folder.exists()
    history = fit(small(), callbacks.BackupAndRestore(folder), epochs=2)  # all is done: nothing is trained
    assert history.epoch == [0, 1] and not folder.exists()


def test_save_freq_false_only_restores(tmp_path):
    _, folder = kept(tmp_path)
    before = (folder / "latest.weights.h5").read_bytes()
    fit(small(), callbacks.BackupAndRestore(folder, save_freq=False, delete_checkpoint=False))
    assert (folder / "latest.weights.h5").read_bytes() == before


def test_without_a_list_it_writes_at_once(tmp_path):
    model = small()
    model.optimizer.build(model.trainable_variables)
    backup = callbacks.BackupAndRestore(tmp_path / "backup")
    backup.set_model(model)
    backup.on_train_begin()
    backup.on_epoch_end(4)
    found = Backup(pathlib.Path(backup.backup_dir, "latest.weights.h5"))
    assert found.state["epoch"] == 5 and found.state["positions"] == {"_eval_epochs": None, "_train_epochs": None}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backup_dir": ""}, "Empty `backup_dir` argument passed"),
        ({"backup_dir": None}, "Empty `backup_dir` argument passed"),
        ({"backup_dir": "x", "save_freq": "batch"}, "Invalid value for argument `save_freq`.*batch"),
        ({"backup_dir": "x", "save_freq": 0.5}, "Invalid value for argument `save_freq`"),
        ({"backup_dir": "x", "save_freq": 0}, "a positive number of batches"),
    ],
)
def test_options(options, message):
    with pytest.raises(ValueError, match=message):
        callbacks.BackupAndRestore(**options)


def test_an_unbuilt_model_can_not_be_restored(tmp_path):
    _, folder = kept(tmp_path)
    backup = callbacks.BackupAndRestore(folder)
    backup.set_model(ks.Sequential([layers.Dense(1)]))
    with pytest.raises(ValueError, match="must be built before you call"):
        backup.on_train_begin()
