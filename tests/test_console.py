"""The progress bar, looked at through a real terminal of 80 columns, and the plain lines elsewhere."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import textwrap
import warnings

import pytest

from kerasish import config
from kerasish.console import Progbar, print_msg
from kerasish.console import _duration as duration
from kerasish.console import _per_step as per_step

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from keras.utils import Progbar as KerasProgbar


def in_terminal(code, columns=80, **environment):
    """What a program writes to a terminal, as the list of the lines that it drew, a line for each drawing."""
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")} | {"TERM": "xterm", **environment}
    program = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    written = b""
    while True:
        try:
            part = os.read(screen, 65536)
        except OSError:  # the program has ended
            break
        if not part:
            break
        written += part
    os.close(screen)
    assert program.wait() == 0, written.decode()
    return [line.rstrip() for line in re.split("[\r\n]+", written.decode()) if line.strip()]


CODE = """
    from kerasish.console import Progbar
    for target in {targets}:
        bar = Progbar(target, stateless_metrics=(), interval=0)
        for step in range(1, 5):
            bar.update(step, [("accuracy", 0.5), ("loss", 0.25)], finalize=False)
        logs = {{"accuracy": 0.5, "loss": 0.25, "val_accuracy": 0.125, "val_loss": 1e-5}}
        bar.update(4, list(logs.items()), finalize=True)
"""


def test_a_bar_grows_in_one_line():
    *drawn, last = in_terminal(CODE.format(targets=[4]), columns=120)
    assert len(drawn) == 4
    for step, line in enumerate(drawn, 1):
        assert re.fullmatch(rf"{step}/4 ━{{{5 * step}}} {{{20 - 5 * step}}} 0s \d+[mu]s/step - accuracy: 0.5000 - loss: 0.2500", line)
    assert re.fullmatch(r"4/4 ━{8,20} 0s \d+[mu]s/step - accuracy: .* - val_accuracy: 0.1250 - val_loss: 1.0000e-05", last)


@pytest.mark.parametrize("columns", [40, 60, 80, 100])
def test_every_line_fits(columns):
    lines = in_terminal(CODE.format(targets=[4, 4000, None]), columns=columns)
    assert max(map(len, lines)) < columns
    finished = [line for line in lines if re.search(r"val_loss: 1.0000e-05|loss 0.2500 \(val 1.0000e-05\)", line)]
    assert len(finished) == 3
    assert any("…" in line for line in lines) == (columns == 40)


def test_a_training_in_a_terminal():
    lines = in_terminal("""
        import numpy as np
        from kerasish import layers, models
        model = models.Sequential([layers.Dense(3, activation="softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        x, y = np.ones((90, 4), "float32"), np.arange(90) % 3
        model.fit(x, y, epochs=2, validation_split=0.5)
        model.predict(x)
        model.fit(x, y, verbose=2)
    """)
    assert lines[0] == "Epoch 1/2" and lines.count("Epoch 2/2") == 1
    assert all(len(line) < 80 for line in lines)
    assert re.match(r"2/2 0s \d+[mu]s/step accuracy [\d.]+ \(val [\d.]+\) loss [\d.]+ \(val [\d.]+\)$", lines[lines.index("Epoch 2/2") - 1])
    assert re.match(r"3/3 ━{20} 0s \d+[mu]s/step$", lines[-2])
    assert re.match(r"3/3 - 0s - \d+[mu]s/step - accuracy: [\d.]+ - loss: [\d.]+$", lines[-1])


def test_a_terminal_without_unicode_gets_ascii():
    *_, drawn, _ = in_terminal(CODE.format(targets=[4]), columns=120, PYTHONIOENCODING="ascii")
    assert drawn.startswith("4/4 ==================== 0s")


def test_nothing_is_drawn_where_lines_can_not_be_drawn_again():
    (line,) = in_terminal(CODE.format(targets=[4]), columns=200, TERM="dumb")
    assert line.startswith("4/4 - 0s - ")
    code = CODE.format(targets=[4])
    out = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True).stdout
    assert "\r" not in out and "\x1b" not in out and out.count("\n") == 1
    assert out.endswith(" - accuracy: 0.5000 - loss: 0.2500 - val_accuracy: 0.1250 - val_loss: 1.0000e-05\n")


def test_tqdm_and_rich_are_imported_only_when_a_bar_is_drawn():
    code = "import sys, kerasish.console, kerasish.callbacks; print([n for n in ('tqdm', 'rich') if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


VALUES = [(1, [("a", 1.0), ("b", 5.0)]), (3, [("a", 4.0), ("b", 6.0)]), (4, [("a", 2.0), ("b", 7.0)])]


@pytest.mark.parametrize("options", [{}, {"stateful_metrics": ["b"]}, {"stateless_metrics": ["b"]}])
def test_averages_are_keras_s(options):
    ours, theirs = Progbar(9, verbose=0, **options), KerasProgbar(9, verbose=0, **options)
    for bar in (ours, theirs):
        for step, values in VALUES:
            bar.update(step, values)
        bar.add(2, [("a", 0.0)])
    assert {name: total / count for name, (total, count) in ours._totals.items()} == {
        name: total / count for name, (total, count) in theirs._values.items()
    }


def test_both_kinds_of_names_are_refused():
    with pytest.raises(ValueError, match="Only one of `stateful_metrics` and `stateless_metrics`"):
        Progbar(1, stateful_metrics=[], stateless_metrics=[])


def test_verbose(capsys):
    for verbose, lines in ((0, 0), (1, 1), (2, 1)):
        bar = Progbar(3, verbose=verbose, unit_name="file")
        bar.add(1, [("size", 2)])
        assert capsys.readouterr().out == ""
        bar.add(2, [("size", 4)])
        out = capsys.readouterr().out
        assert out.count("\n") == lines and (not lines or re.fullmatch(r"3/3 - 0s - \d+us/file - size: 4.0000\n", out))
        assert not bar.due()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0s"), (59, "59s"), (61, "1:01"), (3599, "59:59"), (3661, "1:01:01"), (90000, "25:00:00")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0s/step"), (2.4, "2s/step"), (0.0123, "12ms/step"), (1.23e-5, "12us/step")])
def test_time_per_step(seconds, text):
    assert per_step(seconds, "step") == text


def test_values_of_any_kind(capsys):
    Progbar(1, verbose=2, stateless_metrics=()).update(1, [("nan", float("nan")), ("text", "good"), ("less", -0.5)])
    assert capsys.readouterr().out.endswith(" - nan: nan - text: good - less: -0.5000\n")


def test_messages_go_to_the_terminal_or_the_log(capsys, caplog):
    print_msg("one")
    print_msg("two", line_break=False)
    assert capsys.readouterr().out == "one\ntwo"
    config.disable_interactive_logging()
    try:
        with caplog.at_level("INFO", logger="kerasish"):
            print_msg("\nthree")
    finally:
        config.enable_interactive_logging()
    assert capsys.readouterr().out == "" and caplog.messages == ["three"]
