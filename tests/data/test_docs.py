"""The examples of docs/data.md and docs/datasets.md run, one after the other, as a reader would type them."""

import pathlib
import re

import matplotlib.pyplot as plt
import numpy as np

import kerasish as keras
from kerasish import layers

DOCS = pathlib.Path(__file__).parents[2] / "docs"


def run(page, names, blocks):
    found = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert len(found) == blocks
    for block in found:
        exec(compile(block, page, "exec"), names)
    return names


def test_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run("data.md", {"__name__": "examples"}, 6)
    assert names["model"].history.history["loss"]


def test_examples_with_folders_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shown = []
    monkeypatch.setattr(plt, "imshow", lambda image: shown.append(image.shape))
    for name in ("daisy", "rose"):
        (tmp_path / "flowers" / name).mkdir(parents=True)
        for i in range(5):
            keras.utils.save_img(tmp_path / "flowers" / name / f"{i}.png", np.random.rand(6, 8, 3))
    model = keras.Sequential([keras.Input((180, 180, 3)), layers.GlobalAveragePooling2D(), layers.Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    run("datasets.md", {"keras": keras, "layers": layers, "plt": plt, "model": model}, 2)
    assert len(model.history.history["val_loss"]) == 10 and shown == [(180, 180, 3)]
    assert "['daisy', 'rose']" in capsys.readouterr().out
