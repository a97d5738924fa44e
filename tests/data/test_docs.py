"""The examples of docs/data.md run, one after the other, as a reader would type them."""

import pathlib
import re

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "data.md"


def test_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 6
    names = {"__name__": "examples"}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["model"].history.history["loss"]
