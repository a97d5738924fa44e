"""``benchmarks/streaming.py`` makes its files, compares, and tells the memory of a process of its own."""

import importlib
import pathlib
import re

import numpy as np
import pytest


@pytest.fixture
def streaming(monkeypatch):
    monkeypatch.syspath_prepend(pathlib.Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module("streaming")


@pytest.mark.parametrize("name", ["stored.h5", "stored.npy", "large.h5"])
def test_files(streaming, name, tmp_path):
    streaming.make("tiny", tmp_path / name, 5000)
    x, y = streaming.opened(tmp_path / name)
    assert x.shape == (5000, 8) and y.shape == (5000, 1) and np.ptp(y[:]) > 1
    assert (np.ptp(x[:]) == 0) == (name == "large.h5")  # whose inputs take no disk
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < (80_000 if name == "large.h5" else 300_000)


def test_it_runs(streaming, capsys, tmp_path):
    streaming.main(["tiny", "--stored-mb", "1", "--large-mb", "2", "--steps", "2", "--rounds", "1", "--epoch-steps", "2", "--folder", str(tmp_path)])
    speeds, memory = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"tiny: .* ms a step in memory; .*: stored.h5 \d+% \(\d+%\), stored.npy \d+% \(\d+%\), large.h5 \d+% \(\d+%\)", speeds)
    assert re.match(r"tiny: 2 steps on 0.002 GB in \d+ s, at most \d+ MB", memory)
    assert not list(tmp_path.iterdir())


def test_the_peak_is_this_process_s(streaming):
    before = streaming.peak_mb()
    held = np.ones(1 << 27, "uint8")
    assert streaming.peak_mb() >= before and streaming.peak_mb() > held.nbytes / 2**20


def test_speed_is_relative_to_memory(streaming, monkeypatch, tmp_path):
    monkeypatch.setattr(streaming, "opened", lambda path: (path.name, None))
    monkeypatch.setattr(streaming, "seconds", lambda model, x, *_: {"a": (4.0, 2.0), "b": (1.0, 4.0)}.get(x if isinstance(x, str) else "", (2.0, 2.0)))
    relative, ms = streaming.speeds("tiny", [tmp_path / "a", tmp_path / "b"], steps=10, rounds=3)
    assert ms == 200 and {name: ratio.tolist() for name, ratio in relative.items()} == {"a": [0.5, 1.0], "b": [2.0, 0.5]}


