"""What callbacks do to a training: as in Keras, with the same numbers."""

import csv
import functools
import io
import logging
import math
import pathlib
import re
import types

import numpy as np
import pytest

import kerasish as ks
from kerasish import callbacks, config
from kerasish.callbacks.callback_list import CallbackList, pythonify_logs
from kerasish.callbacks.monitor import MonitorCallback
from kerasish.ops import convert_to_tensor
from tests.training.both import CLASSES, OURS, TARGETS, X, assert_close, compiled, mlp, run_both


def regression(k, rate=0.05):
    return compiled(mlp(k, 1), k.optimizers.SGD(rate), "mse", metrics=["mae"])


def bumpy(k):
    """A callback that makes the weights worse in some epochs, the same way in both libraries."""

    class Bump(k.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            factor = (1.0, 1.0, 3.0, 1.5, 0.2, 1.0, 2.0, 1.0)[epoch]
            self.model.set_weights([w * factor for w in self.model.get_weights()])

    return Bump()


EFFECTS = {
    "EarlyStopping": lambda k: [k.callbacks.EarlyStopping("loss", patience=1, restore_best_weights=True)],
    "EarlyStopping, from an epoch on": lambda k: [k.callbacks.EarlyStopping("mae", patience=2, start_from_epoch=2, mode="min")],
    "EarlyStopping, baseline": lambda k: [k.callbacks.EarlyStopping("val_loss", patience=2, baseline=0.0, restore_best_weights=True)],
    "EarlyStopping, min_delta": lambda k: [k.callbacks.EarlyStopping("val_mae", min_delta=0.2, patience=2)],
    "ReduceLROnPlateau": lambda k: [k.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, cooldown=1, min_lr=0.02)],
    "ReduceLROnPlateau, val": lambda k: [k.callbacks.ReduceLROnPlateau(factor=0.1, patience=2, min_delta=0.5)],
    "LearningRateScheduler": lambda k: [k.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5 if epoch % 2 else rate)],
    "LearningRateScheduler, epoch alone": lambda k: [k.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))],
    "both": lambda k: [k.callbacks.ReduceLROnPlateau("loss", patience=1), k.callbacks.EarlyStopping("loss", patience=4)],
}


@pytest.mark.parametrize("name", EFFECTS)
def test_effects_are_keras_s(name):
    def program(k, begin):
        model = regression(k)
        begin(model)
        added = [bumpy(k), *EFFECTS[name](k)]
        history = model.fit(
            X, TARGETS, epochs=8, batch_size=12, shuffle=False, verbose=0, callbacks=added, validation_data=(X[:12], TARGETS[:12])
        )
        return {**history.history, "epochs": history.epoch, "weights": np.concatenate([w.ravel() for w in model.get_weights()])}

    ours, theirs = run_both(program)
    assert_close(ours, theirs, 1e-4)
    assert name not in ("EarlyStopping", "EarlyStopping, baseline") or len(ours["epochs"]) < 8


def fed(callback, values, monitor="val_loss", **attributes):
    """The callback after epochs with these values, and its model."""
    model = types.SimpleNamespace(stop_training=False, metrics=[], get_weights=list, set_weights=list, **attributes)
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, {monitor: value})
        if model.stop_training:
            break
    callback.on_train_end()
    return callback, model


@pytest.mark.parametrize(
    ("options", "values", "stopped"),
    [
        ({}, [1.0, 0.5, 0.6, 0.4], 2),
        ({"patience": 2}, [1.0, 0.5, 0.6, 0.4, 0.5, 0.5, 0.1], 5),
        ({"mode": "max"}, [1.0, 2.0, 1.5], 2),
        ({"min_delta": 0.3}, [1.0, 0.9, 0.1], 1),
        ({"patience": 1, "baseline": 0.3}, [1.0, 0.9, 0.95], 2),
        ({"start_from_epoch": 2}, [1.0, 2.0, 3.0, 4.0], 3),
        ({}, [math.nan, math.nan], 1),
        ({}, [3.0, 2.0, 1.0], 0),
    ],
)
def test_early_stopping(options, values, stopped):
    callback, model = fed(callbacks.EarlyStopping(**options), values)
    assert callback.stopped_epoch == stopped and model.stop_training == bool(stopped)


def test_early_stopping_can_be_used_again():
    callback, _ = fed(callbacks.EarlyStopping(), [1.0, 2.0])
    fed(callback, [5.0, 4.0])
    assert callback.best == 4.0 and callback.stopped_epoch == 0


@pytest.mark.parametrize("kind", [callbacks.EarlyStopping, callbacks.ReduceLROnPlateau])
def test_a_number_that_is_not_there_is_told(kind):
    model = types.SimpleNamespace(metrics=[], optimizer=types.SimpleNamespace(learning_rate=0.1))
    callback = kind("val_loss")
    callback.set_model(model)
    with pytest.warns(UserWarning, match="watches `val_loss`, but the logs have only: loss"):
        callback.on_epoch_end(0, {"loss": 1.0})


@pytest.mark.parametrize(
    ("name", "better"),
    [("loss", "down"), ("accuracy", "up"), ("mae", "down"), ("val_auc", "up"), ("mean_squared_error", "down")],
)
def test_the_metric_knows_which_way_is_better(name, better):
    model = compiled(mlp(OURS, 1, "sigmoid"), "sgd", "mse", metrics=["accuracy", "mae", "mean_squared_error", OURS.metrics.AUC(name="auc")])
    model.fit(X, (TARGETS > 0).astype("float32"), verbose=0)
    callback = MonitorCallback(name)
    callback.set_model(model)
    callback._set_monitor_op()
    assert callback._is_improvement(2.0, 1.0) == (better == "up")


def test_a_metric_that_does_not_know_is_told():
    callback = MonitorCallback("val_own")
    callback.set_model(types.SimpleNamespace(metrics=[]))
    with pytest.raises(ValueError, match="Pass `mode='max'` or `mode='min'`"):
        callback._set_monitor_op()
    with pytest.warns(UserWarning, match="mode 'best' is unknown"):
        assert MonitorCallback(mode="best").mode == "auto"


def test_messages(capsys):
    optimizer = types.SimpleNamespace(learning_rate=0.1)
    fed(callbacks.EarlyStopping(verbose=1, restore_best_weights=True), [1.0, 2.0])
    fed(callbacks.ReduceLROnPlateau(verbose=1, patience=1), [1.0, 2.0], optimizer=optimizer)
    fed(callbacks.LearningRateScheduler(lambda epoch: 0.5, verbose=1), [1.0], optimizer=optimizer)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "Epoch 2: early stopping",
        "Going back to the weights of epoch 1, the best one.",
        "",
        "Epoch 2: ReduceLROnPlateau reducing learning rate to 0.010000000000000002.",
        "",
        "Epoch 1: LearningRateScheduler setting learning rate to 0.5.",
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: callbacks.ReduceLROnPlateau(factor=1.0), "does not support a factor >= 1.0"),
        (lambda: callbacks.ModelCheckpoint("a.txt"), "must end in `.keras`"),
        (lambda: callbacks.ModelCheckpoint("a.keras", save_weights_only=True), "must end in `.weights.h5`"),
        (lambda: callbacks.ModelCheckpoint("a.keras", save_freq="often"), "Unrecognized save_freq: often"),
        (lambda: callbacks.LambdaCallback(on_epoch_ends=print), "`on_epoch_ends` is not a method of Callback"),
        (lambda: fed(callbacks.LearningRateScheduler(lambda epoch, rate: "fast"), [1], optimizer=types.SimpleNamespace(learning_rate=1.0)),
         "must give a float, got fast"),
        (lambda: fed(callbacks.LearningRateScheduler(lambda epoch, rate: 1.0), [1], optimizer=types.SimpleNamespace()), "learning_rate"),
    ],
)  # fmt: skip
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_options_that_mean_nothing_are_refused():
    with pytest.raises(TypeError, match="epsilon"):
        callbacks.ReduceLROnPlateau(epsilon=1e-4)


def test_several_learning_rates():
    parts = [types.SimpleNamespace(name=name, learning_rate=rate) for name, rate in (("a", 0.4), ("b", 0.2))]
    logs = {}
    callback = callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    callback.set_model(types.SimpleNamespace(optimizer=types.SimpleNamespace(optimizers=parts)))
    callback.on_epoch_begin(0)
    callback.on_epoch_end(0, logs)
    assert logs == {"learning_rate_a": 0.2, "learning_rate_b": 0.1}


# ---- files
def test_csv_logger_writes_keras_s_file(tmp_path):
    def program(k, begin):
        model = regression(k)
        begin(model)
        path = tmp_path / f"{id(k)}.csv"
        for append in (False, True):
            model.fit(X, TARGETS, epochs=2, batch_size=48, shuffle=False, verbose=0, callbacks=[k.callbacks.CSVLogger(path, ";", append)])
        return list(csv.reader(path.read_text().splitlines(), delimiter=";"))

    ours, theirs = run_both(program)
    assert ours[0] == theirs[0] == ["epoch", "loss", "mae", "val_loss", "val_mae"] and len(ours) == len(theirs) == 5
    for a, b in zip(ours[1:], theirs[1:], strict=True):
        assert a[3:] == b[3:] == ["NA", "NA"]
        np.testing.assert_allclose([float(v) for v in a[:3]], [float(v) for v in b[:3]], rtol=1e-4)


def test_csv_logger_rows_are_there_at_once_and_the_file_is_closed(tmp_path):
    logger = callbacks.CSVLogger(tmp_path / "log.csv")
    logger.on_train_begin()
    logger.on_epoch_end(0, {"loss": 1.0, "several": np.array([1, 2]), "val_loss": 2.0})
    assert (tmp_path / "log.csv").read_text().splitlines() == ["epoch,loss,several,val_loss", '0,1.0,"""[1, 2]""",2.0']
    file = logger.csv_file
    CallbackList([logger]).close()
    assert file.closed and logger.csv_file is None


class Saves:
    """A model that notes what it is told to save."""

    metrics = ()

    def __init__(self):
        self.saved = []

    def save(self, path, overwrite):
        assert overwrite and pathlib.Path(path).parent.is_dir()
        self.saved.append(pathlib.Path(path).name)

    save_weights = save


def checkpoints(tmp_path, name, epochs, batches=4, **options):
    """What is saved for epochs with these values of ``val_loss``."""
    callback, model = callbacks.ModelCheckpoint(tmp_path / "made" / name, **options), Saves()
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(epochs):
        callback.on_epoch_begin(epoch)
        for batch in range(batches):
            callback.on_train_batch_end(batch, {"loss": batch / 10})
        callback.on_epoch_end(epoch, {"loss": 0.5, "val_loss": value})
    return model.saved


@pytest.mark.parametrize(
    ("name", "options", "saved"),
    [
        ("m.keras", {}, ["m.keras"] * 3),
        ("{epoch:02d}-{val_loss:.1f}.keras", {}, ["01-3.0.keras", "02-4.0.keras", "03-2.0.keras"]),
        ("{epoch}.keras", {"save_best_only": True}, ["1.keras", "3.keras"]),
        ("{epoch}.keras", {"save_best_only": True, "mode": "max"}, ["1.keras", "2.keras"]),
        ("{epoch}.keras", {"save_best_only": True, "initial_value_threshold": 2.5}, ["3.keras"]),
        ("{epoch}.weights.h5", {"save_weights_only": True}, ["1.weights.h5", "2.weights.h5", "3.weights.h5"]),
        ("{epoch}-{batch}.keras", {"save_freq": 5}, ["2-1.keras", "3-2.keras"]),
        ("{epoch}.h5", {"save_freq": 12}, ["3.h5"]),
    ],
)
def test_what_is_saved_when(tmp_path, name, options, saved):
    assert checkpoints(tmp_path, name, [3.0, 4.0, 2.0], **options) == saved


def test_checkpoint_messages_and_warnings(tmp_path, capsys):
    checkpoints(tmp_path, "m.keras", [3.0, 4.0], save_best_only=True, verbose=1)
    path = tmp_path / "made" / "m.keras"
    assert [line for line in capsys.readouterr().out.splitlines() if line] == [
        f"Epoch 1: val_loss improved from None to 3.00000, saving model to {path}",
        f"Epoch 1: finished saving model to {path}",
        "Epoch 2: val_loss did not improve from 3.00000",
    ]
    with pytest.warns(UserWarning, match="Can save best model only with val_accuracy available"):
        assert checkpoints(tmp_path, "m.keras", [1.0], monitor="val_accuracy", mode="max", save_best_only=True) == ["m.keras"]
    with pytest.warns(UserWarning, match="a scalar value"):
        assert checkpoints(tmp_path, "m.keras", [np.ones(2)], save_best_only=True) == ["m.keras"]
    with pytest.raises(KeyError, match="Failed to format this callback filepath.*Reason: .*accuracy"):
        checkpoints(tmp_path, "{accuracy}.keras", [1.0])


def test_a_checkpoint_holds_the_best_weights(tmp_path):
    model, path = regression(OURS), tmp_path / "best.weights.h5"
    best = callbacks.ModelCheckpoint(path, "loss", save_best_only=True, save_weights_only=True)
    history = model.fit(X, TARGETS, epochs=5, batch_size=48, shuffle=False, verbose=0, callbacks=[bumpy(OURS), best]).history
    again = regression(OURS)
    again.load_weights(path)
    model.load_weights(path)
    assert best.best == min(history["loss"])
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not [name for name in tmp_path.iterdir() if name != path]


# ---- the rest
@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_terminate_on_nan(loss, capsys):
    callback = callbacks.TerminateOnNaN()
    callback.set_model(model := types.SimpleNamespace(stop_training=False))
    callback.on_train_batch_end(0, {"loss": 1.0})
    assert not model.stop_training
    callback.on_train_batch_end(3, {"loss": loss})
    assert model.stop_training and capsys.readouterr().out == "Batch 3: Invalid loss, terminating training\n"
    with pytest.raises(RuntimeError, match="NaN or Inf loss encountered at batch 3"):
        callbacks.TerminateOnNaN(raise_error=True).on_train_batch_end(3, {"loss": loss})


def test_a_training_that_explodes_is_ended():
    model = compiled(mlp(OURS, 1), OURS.optimizers.SGD(1e30), "mse")
    with np.errstate(all="ignore"):
        history = model.fit(X, TARGETS, epochs=9, batch_size=12, verbose=0, callbacks=[callbacks.TerminateOnNaN()])
    assert len(history.epoch) == 1


MOMENTS = [name for name in vars(callbacks.Callback) if name.startswith("on_")]


def test_moments_come_in_keras_s_order():
    def program(k, begin):
        seen = []

        def note(moment, *args, logs=None):
            seen.append((moment, args[0] if "batch" in moment or "epoch" in moment else None))

        callback = k.callbacks.LambdaCallback(**{name: functools.partial(note, name) for name in MOMENTS})
        model = regression(k)
        begin(model)
        model.fit(X, TARGETS, batch_size=12, epochs=2, verbose=0, callbacks=[callback], validation_split=0.25)
        model.evaluate(X[:24], TARGETS[:24], batch_size=12, verbose=0, callbacks=[callback])
        model.predict(X[:24], batch_size=12, verbose=0, callbacks=[callback])
        return seen

    ours, theirs = run_both(program)
    assert ours == theirs and len(ours) > 30


def test_logs_are_python_numbers_and_shared():
    class First(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["more"] = 1

    class Second(callbacks.Callback):
        def on_batch_end(self, batch, logs=None):
            self.batch = logs

        def on_epoch_end(self, epoch, logs=None):
            self.epoch = logs

    second, history = Second(), callbacks.History()
    both = CallbackList([First(), second], add_history=True)
    both.on_train_batch_end(0, {"b": convert_to_tensor(2.0), "a": {"c": np.float32(1)}, "d": convert_to_tensor([1.0, 2.0])})
    assert {n: type(v).__name__ for n, v in second.batch.items()} == {"c": "float", "b": "float", "d": "ndarray"}
    both.on_epoch_end(0, {"b": convert_to_tensor(2.0)})
    assert second.epoch == {"b": 2.0, "more": 1} and list(both._find(callbacks.History).history) == ["b", "more"]
    history.on_epoch_end(3)
    assert history.epoch == [3] and history.history == {}


def test_nobody_listening_reads_no_value():
    class Unread:
        def __float__(self):
            raise AssertionError("a value was read")

    quiet = CallbackList([callbacks.History(), callbacks.CSVLogger("x")], add_progbar=True, verbose=2, epochs=1, steps=3)
    quiet.on_epoch_begin(0)
    quiet.on_train_batch_end(0, {"loss": Unread()})
    with pytest.raises(AssertionError):
        CallbackList([callbacks.TerminateOnNaN()]).on_train_batch_end(0, {"loss": Unread()})


def test_a_list_can_be_built_by_hand():
    seen = []
    model = types.SimpleNamespace()
    group = CallbackList([callbacks.LambdaCallback(on_train_end=seen.append)], add_history=True, model=model, epochs=1)
    group.append(callbacks.LambdaCallback(on_train_end=lambda logs: seen.append("second")))
    group.on_train_begin()
    group.on_train_end({"loss": 1})
    assert seen == [{"loss": 1.0}, "second"] and isinstance(model.history, callbacks.History)
    assert all(c.model is model and c.params == {"epochs": 1} for c in group.callbacks)


def test_history_of_a_second_training_goes_on():
    model = regression(OURS)
    first = model.fit(X, TARGETS, epochs=2, verbose=0)
    second = model.fit(X, TARGETS, initial_epoch=2, epochs=3, verbose=0, callbacks=[first])
    assert second is first and second.epoch == [2] and len(second.history["loss"]) == 3


def test_pythonify_sorts():
    assert list(pythonify_logs({"b": 1, "a": 2, "c": "text"}).items()) == [("a", 2.0), ("b", 1.0), ("c", "text")]
    assert pythonify_logs(None) == {}


# ---- what is seen of a training
def lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_without_a_terminal_there_is_one_line_for_each_epoch(capsys):
    model = compiled(mlp(OURS, 3, "softmax"), "sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    for verbose in ("auto", 1, 2):
        model.fit(X, CLASSES, epochs=2, batch_size=12, verbose=verbose, validation_split=0.25)
        first, second = lines(capsys)
        assert re.match(r"Epoch 1/2 - 3/3 - \d+s - ", first) and re.match(r"Epoch 2/2 - 3/3 - \d+s - ", second)
        assert [part.split(":")[0] for part in second.split(" - ")[4:]] == ["accuracy", "loss", "val_accuracy", "val_loss"]
    model.evaluate(X, CLASSES, batch_size=12)
    (line,) = lines(capsys)
    assert re.match(r"4/4 - \d+s - ", line) and " - loss: " in line
    model.predict(X, batch_size=12)
    (line,) = lines(capsys)
    assert re.match(r"4/4 - \d+s - ", line) and line.endswith("/step")
    model.fit(X, CLASSES, verbose=0, validation_split=0.25)
    model.evaluate(X, CLASSES, verbose=0)
    model.predict(X, verbose=0)
    assert lines(capsys) == []


def test_an_unknown_number_of_steps_is_known_at_the_end(capsys):
    model = regression(OURS)
    model.fit(((X, TARGETS) for _ in range(3)), epochs=1)
    (line,) = lines(capsys)
    assert line.startswith("3/3 - ")


def test_logging_takes_what_the_terminal_does_not(caplog, capsys):
    config.disable_interactive_logging()
    try:
        with caplog.at_level(logging.INFO, logger="kerasish"):
            regression(OURS).fit(X, TARGETS, epochs=2)
    finally:
        config.enable_interactive_logging()
    assert [r.getMessage()[:9] for r in caplog.records] == ["Epoch 1/2", "Epoch 2/2"]
    assert lines(capsys) == []


def test_a_line_is_ended_when_an_error_breaks_it_off(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    class Break(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr("sys.stdout", terminal := Terminal())
    monkeypatch.setenv("TERM", "xterm")
    with pytest.raises(KeyboardInterrupt):
        regression(OURS).fit(X, TARGETS, batch_size=12, callbacks=[Break()])
    assert terminal.getvalue().startswith("\r1/4 ") and terminal.getvalue().endswith("\n")


def test_checkpoint_of_a_number_that_nobody_knows(tmp_path):
    model = ks.Sequential([ks.Input((2,)), ks.layers.Dense(1)])
    model.compile("sgd", "mse")
    checkpoint = ks.callbacks.ModelCheckpoint(tmp_path / "best.keras", monitor="val_foo", save_best_only=True)
    with pytest.raises(ValueError, match="val_foo"):
        model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0, callbacks=[checkpoint])
