"""Drawings of models: which boxes and arrows there are, and that Graphviz draws them."""

import re
import shutil
import sys

import pytest

import kerasish as keras
from kerasish import layers
from kerasish.utils import model_to_dot, plot_model


def functional():
    a, b = keras.Input((8,), name="a"), keras.Input((8,), name="b")
    inner = keras.Sequential([keras.Input((8,)), layers.Dense(4, activation="relu", name="d1"), layers.Dense(4, name="d2")], name="inner")
    p, q = keras.Input((8,), name="p"), keras.Input((8,), name="q")
    summing = keras.Model([p, q], layers.Add(name="sum")([p, q]), name="summing")
    x = layers.Concatenate(name="join")([inner(summing([a, b])), layers.Dense(3, name="d3")(a)])
    return keras.Model([a, b], layers.Dense(1, name="last", trainable=False)(x), name="outer")


def boxes(dot):
    """Names of the layers in a graph's boxes, by the id of the box; those in frames too."""
    found = {}
    for part in (dot, *dot.get_subgraphs()):
        for node in part.get_nodes():
            if name := re.search(r"<b>(\w+)</b> \(", node.get("label") or ""):
                found[node.get_name()] = name[1]
    return found


def arrows(dot):
    names = boxes(dot)
    return {
        (names[edge.get_source()], names[edge.get_destination()]) for part in (dot, *dot.get_subgraphs()) for edge in part.get_edges()
    }


def test_functional_models():
    dot = model_to_dot(functional())
    assert set(boxes(dot).values()) == {"a", "b", "summing", "inner", "d3", "join", "last"}
    assert arrows(dot) == {
        ("a", "summing"), ("b", "summing"), ("summing", "inner"), ("a", "d3"), ("inner", "join"), ("d3", "join"), ("join", "last"),
    }  # fmt: skip


def test_expanded_models():
    dot = model_to_dot(functional(), expand_nested=True)
    assert set(boxes(dot).values()) == {"a", "b", "p", "q", "sum", "d1", "d2", "d3", "join", "last"}
    assert arrows(dot) == {
        ("a", "p"), ("b", "q"), ("p", "sum"), ("q", "sum"), ("sum", "d1"), ("d1", "d2"), ("a", "d3"), ("d2", "join"), ("d3", "join"),
        ("join", "last"),
    }  # fmt: skip
    assert sorted(frame.get("label") for frame in dot.get_subgraphs()) == ["inner", "summing"]


def test_sequential_models_and_shared_layers():
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2, name="one"), layers.Dense(2, name="two")])
    assert arrows(model_to_dot(model)) == arrows(model_to_dot(model, expand_nested=True)) == {("one", "two")}
    shared, x = layers.Dense(2, name="shared"), keras.Input((2,), name="x")
    assert arrows(model_to_dot(keras.Model(x, shared(shared(x))))) == {("x", "shared")}


def test_subclassed_models_are_one_box():
    class Mine(keras.Model):
        def call(self, x):
            return x

    model = Mine(name="mine")
    model(keras.ops.ones((1, 2)))
    assert set(boxes(model_to_dot(model)).values()) == {"mine"}


def test_frames_alone():
    frame = model_to_dot(functional(), subgraph=True)
    assert frame.to_string().startswith("subgraph cluster_")
    assert frame.get("label") == "outer"


def labels(**shown):
    found = [node.get("label") or "" for node in model_to_dot(functional(), **shown).get_nodes()]
    return {re.search(r"<b>(\w+)</b>", label)[1]: label for label in found if "<b>" in label}


def test_what_boxes_say():
    assert "<b>d3</b> (Dense)" in labels()["d3"]
    assert "<b>Dense</b>" in labels(show_layer_names=False)["Dense"]
    assert "(None, 8)" not in labels()["d3"]
    shapes = labels(show_shapes=True)
    assert "Input shape: <b>(None, 8)</b>" in shapes["d3"]
    assert "Output shape: <b>(None, 3)</b>" in shapes["d3"]
    assert "Input shape: <b>[(None, 4), (None, 3)]</b>" in shapes["join"]
    assert "Input shape" not in shapes["a"]
    assert "Output dtype: <b>float32</b>" in labels(show_dtype=True)["a"]
    assert "Activation: <b>linear</b>" in labels(show_layer_activations=True)["d3"]
    trainable = labels(show_trainable=True)
    assert ("<b>Trainable</b>" in trainable["d3"], "<b>Non-trainable</b>" in trainable["last"]) == (True, True)
    assert "rainable" not in trainable["join"]


def test_settings_of_the_graph():
    dot = model_to_dot(functional(), rankdir="LR", dpi=50, splines="curved")
    assert [str(dot.get(key)) for key in ("rankdir", "dpi", "splines")] == ["LR", "50", "curved"]


def test_names_with_signs():
    model = keras.Sequential([keras.Input((2,)), layers.Activation("relu", name="a<b>&c")])
    (node,) = (node for node in model_to_dot(model).get_nodes() if "amp" in (node.get("label") or ""))
    assert "<b>a&lt;b&gt;&amp;c</b>" in node.get("label")


def test_errors(monkeypatch):
    with pytest.raises(ValueError, match="not yet been built"):
        model_to_dot(keras.Sequential([layers.Dense(1)]))
    with pytest.raises(ValueError, match="not yet been built"):
        plot_model(keras.Sequential([layers.Dense(1)]))
    for function in (model_to_dot, plot_model):
        with pytest.raises(ValueError, match="Unrecognized keyword arguments: .'layer_range'"):
            function(functional(), layer_range=["a", "b"])
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ImportError, match="Graphviz"):
        plot_model(functional())
    monkeypatch.setitem(sys.modules, "pydot", None)
    for function in (model_to_dot, plot_model):
        with pytest.raises(ImportError, match=r'pip install "kerasish\[graph\]"'):
            function(functional())


def test_notebooks_are_only_told(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "IPython.core.magics.namespace", sys)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert plot_model(functional()) is None
    assert "Graphviz" in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz's program `dot` is not installed")
@pytest.mark.parametrize(("name", "start"), [("m.png", b"\x89PNG"), ("m.svg", b"<?xml"), ("m.pdf", b"%PDF"), ("m", b"\x89PNG")])
def test_pictures(tmp_path, name, start):
    options = {"show_shapes": True, "show_dtype": True, "show_layer_names": True, "show_layer_activations": True, "show_trainable": True}
    plot_model(functional(), tmp_path / name, expand_nested=True, dpi=30, **options)
    assert (tmp_path / name).read_bytes().startswith(start)
