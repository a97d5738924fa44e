"""Kill trainings at random moments, start them again, and compare the end with that of a training that nobody killed.

    python tools/kill_test.py --kills 200 [--models dropout,rnn] [--seed 0]

Each training (a process of its own) backs itself up with BackupAndRestore and writes checkpoints of three kinds. It is killed with
SIGKILL after a random time, wherever it stands then; after each kill every checkpoint must load, and be the last one that was
written, or the one that was about to be. In the end all variables of model, optimizer and metrics, the random generators, the
history and the log file must be those of the training that ran through, bit for bit. See docs/resume.md.
"""

import argparse
import hashlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np

import kerasish as ks
from kerasish import callbacks, layers, optimizers
from kerasish.backend.random import global_seed_generator
from kerasish.saving.backup import Backup

CHECKPOINTS = ["model.keras", "model.h5", "model.weights.h5"]
ROWS, BATCH, EPOCHS = 96, 8, 8
MOST_KILLS = 6  # of one training
FREQUENCIES = ["epoch", 5]
DATA = np.random.default_rng(5)
X = DATA.normal(size=(ROWS, 6)).astype("float32")
Y = (X[:, :1] * X[:, 1:2] - X[:, 2:3]).astype("float32")


@ks.saving.register_keras_serializable("kill_test")
class Unseeded(layers.Layer):
    """Noise of the generator that all draws without a seed share."""

    def call(self, x, training=False):
        return x + 0.1 * ks.random.normal(ks.ops.shape(x)) if training else x


class Batches(ks.utils.PyDataset):
    """Batches by number; ``fit`` shuffles their order."""

    def __len__(self):
        return ROWS // BATCH

    def __getitem__(self, index):
        rows = slice(index * BATCH, (index + 1) * BATCH)
        return X[rows], Y[rows]


class Wave(callbacks.Callback):
    """A user's own callback with a state: it changes the learning rate at every third batch."""

    state_attributes = ("count",)

    def on_train_begin(self, logs=None):
        self.count = 0

    def on_train_batch_end(self, batch, logs=None):
        self.count += 1
        if self.count % 3 == 0:
            self.model.optimizer.learning_rate = 0.01 + 0.001 * (self.count % 5)


# ---- what is trained: name -> (model, compiled; arguments of fit; callbacks)
def dropout():
    model = ks.Sequential([
        layers.Input((6,)), layers.Dense(16), layers.BatchNormalization(), layers.Activation("relu"), layers.Dropout(0.3), Unseeded(),
        layers.Dense(1),
    ])  # fmt: skip
    model.compile(optimizers.Adam(0.01), "mse", metrics=["mae"])
    added = [callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=0, min_delta=0.1),
             callbacks.EarlyStopping(patience=5, restore_best_weights=True)]  # fmt: skip
    return model, {"x": X, "y": Y, "batch_size": BATCH, "validation_split": 0.25}, added


def rnn():
    model = ks.Sequential([
        layers.Input(batch_shape=(BATCH, 6, 1)), layers.LSTM(5, stateful=True, recurrent_dropout=0.2), layers.Dense(1),
    ])  # fmt: skip
    model.compile(optimizers.SGD(0.05, momentum=0.9), "mse")
    return model, {"x": X[..., None], "y": Y, "batch_size": BATCH, "steps_per_epoch": 6}, [callbacks.TerminateOnNaN()]


def float16():
    x = layers.Input((6,))
    hidden = layers.Dense(16, activation="tanh", dtype="mixed_float16")(x)
    model = ks.Model(x, layers.Dense(1, dtype="mixed_float16")(layers.Dropout(0.1, dtype="mixed_float16")(hidden)))
    model.compile(optimizers.LossScaleOptimizer(optimizers.Adam(0.01), dynamic_growth_steps=9), "mse")
    return model, {"x": X, "y": Y, "batch_size": BATCH}, [callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9)]


def averages():
    model = ks.Sequential([layers.Input((6,)), layers.Dense(16, activation="relu"), layers.Dense(1)])
    model.compile(optimizers.AdamW(0.01, use_ema=True, ema_momentum=0.9), "mse", metrics=["mae"])
    return model, {"x": Batches(), "shuffle": True, "validation_data": (X, Y)}, [callbacks.SwapEMAWeights(swap_on_epoch=True), Wave()]


MODELS = {f.__name__: f for f in (dropout, rnn, float16, averages)}


class Noting(callbacks.ModelCheckpoint):
    """A ModelCheckpoint that notes what it has written: the number of updates that the file's optimizer has made."""

    def _save_model(self, epoch, batch, logs):
        super()._save_model(epoch, batch, logs)
        with open(f"{self.filepath}.log", "a") as log:
            log.write(f"{int(self.model.optimizer.iterations)}\n")


# ---- one training
def train(name, frequency, folder, epochs=EPOCHS, checkpoints=CHECKPOINTS, more=()):
    """Train in this process, going on from what is in the folder, with ``more`` callbacks; at the end write what is to be compared."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "backup").exists():  # it begins, or begins anew after an end that nobody was told of
        for file in CHECKPOINTS:
            (folder / f"{file}.log").unlink(missing_ok=True)
    ks.utils.set_random_seed(11)
    model, data, added = MODELS[name]()
    added += [
        callbacks.BackupAndRestore(folder / "backup", frequency, double_checkpoint=frequency == "epoch"),
        callbacks.CSVLogger(folder / "log.csv"),
        *[Noting(folder / file, save_weights_only=".weights" in file, save_freq=frequency if ".keras" in file else "epoch")
          for file in checkpoints],
    ]  # fmt: skip
    print("fit", flush=True)
    history = model.fit(**data, epochs=epochs, verbose=0, callbacks=[*added, *more])
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables, global_seed_generator().state]
    end = {
        "variables": [hashlib.sha256(v.numpy().tobytes()).hexdigest() for v in variables],
        "random": [random.random(), np.random.rand()],
        "epochs": history.epoch,
        "history": history.history,
        "log": (folder / "log.csv").read_text(),
    }
    temporary = folder / "end.tmp"
    temporary.write_text(json.dumps(end))
    temporary.replace(folder / "end.json")
    return end


def start(name, frequency, folder):
    """A process that has come as far as ``fit``."""
    command = [sys.executable, __file__, "--train", name, str(frequency), str(folder)]
    paths = [str(pathlib.Path(ks.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)}, stdout=subprocess.PIPE)
    process.stdout.readline()
    return process


def run_through(name, frequency, folder):
    """What a training ends with that nobody kills, and the seconds that ``fit`` takes."""
    process = start(name, frequency, folder)
    begun = time.perf_counter()
    if process.wait():
        sys.exit(f"{name}, save_freq={frequency}: the training failed")
    return json.loads((folder / "end.json").read_text()), time.perf_counter() - begun


def run_killed(name, frequency, folder, seconds, kills, rng):
    """The same of a training that is killed again and again, at most ``kills`` times; and a Counter of what happened."""
    count = {"kills": 0, "in a save": 0, "files loaded": 0}
    while True:
        process = start(name, frequency, folder)
        try:
            process.wait(rng.uniform(0, seconds / 2) if count["kills"] < kills else None)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            count["kills"] += 1
            halves = list(folder.rglob("*.tmp"))
            count["in a save"] += bool(halves)
            for half in halves:
                half.unlink()
            count["files loaded"] += check_files(name, folder)
            continue
        if process.returncode:
            sys.exit(f"{name}, save_freq={frequency}: the training failed when it was started again, after {count['kills']} kills")
        return json.loads((folder / "end.json").read_text()), count


def check_files(name, folder):
    """Load every checkpoint and backup; each must be the last one written, or the next. Returns how many there are."""
    found = 0
    for file in CHECKPOINTS:
        log, path = folder / f"{file}.log", folder / file
        written = log.read_text().split() if log.exists() else []
        if not path.exists():
            if written:
                sys.exit(f"{path} was written and is gone")
            continue
        if ".weights" in file:
            model, *_ = MODELS[name]()
            model.optimizer.build(model.trainable_variables)
            model.load_weights(path)
        else:
            model = ks.saving.load_model(path)
        updates = int(model.optimizer.iterations)
        if written and not 0 <= updates - int(written[-1]) <= ROWS // BATCH:
            sys.exit(f"{path} has {updates} updates; the last one written had {written[-1]}")
        found += 1
    for path in (folder / "backup").glob("*.weights.h5*"):
        Backup(path)
        found += 1
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--frequencies", default=",".join(map(str, FREQUENCIES)))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", nargs=3, metavar=("MODEL", "SAVE_FREQ", "FOLDER"), help="(the process that gets killed)")
    arguments = parser.parse_args()
    if arguments.train:
        name, frequency, folder = arguments.train
        train(name, frequency if frequency == "epoch" else int(frequency), folder)
        return
    rng = random.Random(arguments.seed)
    kinds = [(name, f if f == "epoch" else int(f)) for name in arguments.models.split(",") for f in arguments.frequencies.split(",")]
    total, runs = {}, 0
    with tempfile.TemporaryDirectory() as root:
        expected = {kind: run_through(*kind, pathlib.Path(root, "through", *map(str, kind))) for kind in kinds}
        while total.get("kills", 0) < arguments.kills:
            name, frequency = kind = kinds[runs % len(kinds)]
            end, seconds = expected[kind]
            folder = pathlib.Path(root, str(runs))
            kills = min(MOST_KILLS, arguments.kills - total.get("kills", 0))
            got, count = run_killed(name, frequency, folder, seconds, kills, rng)
            different = [key for key in end if end[key] != got[key]]
            if different:
                sys.exit(f"{name}, save_freq={frequency}: after {count['kills']} kills these differ: {different}")
            runs += 1
            total = {key: total.get(key, 0) + n for key, n in count.items()}
            print(f"{name}, save_freq={frequency}: {count['kills']} kills, the same end", flush=True)
    print(f"{runs} trainings, {total['kills']} kills, {total['in a save']} of them in the middle of a save; {total['files loaded']} "
          "files loaded whole; every end is that of the training that ran through, bit for bit.")  # fmt: skip


if __name__ == "__main__":
    main()
