"""Every public function and layer has its row in the tables."""

import inspect

import keras
import pytest

import kerasish
from tests.conformance import driver, test_layers, test_ops

TABLED = {row.name for row in test_ops.ROWS}
# names that give functions, scopes or nothing to compute with: unit tests cover them
WITHOUT_ROW = {"custom_gradient", "vectorize", "convert_to_numpy", "is_tensor", "dtype", "shape"}


@pytest.mark.parametrize("namespace", ["ops", "ops.image", "random", "activations", "losses", "metrics"])
def test_functions(namespace):
    ours, theirs = driver.lookup(kerasish, namespace), driver.lookup(keras, namespace)
    names = [n for n in dir(theirs) if not n.startswith("_") and hasattr(ours, n) and callable(getattr(ours, n))]
    names = [n for n in names if not inspect.isclass(getattr(ours, n)) and n not in ("get", "serialize", "deserialize")]
    tabled = [driver.lookup(kerasish, name) for name in TABLED]  # one function may have several names
    missing = {n for n in names if not any(getattr(ours, n) is function for function in tabled)} - WITHOUT_ROW
    assert not missing, sorted(missing)


def test_layers_have_rows():
    tabled = {case.name for row in test_layers.ROWS for case in row}
    names = [n for n in kerasish.layers.__all__ if inspect.isclass(getattr(kerasish.layers, n))]
    classes = {getattr(kerasish.layers, n) for n in tabled if hasattr(kerasish.layers, n)}
    missing = [n for n in names if n not in tabled and getattr(kerasish.layers, n) not in classes]
    need_tensorflow = {"HashedCrossing", "Hashing", "IntegerLookup", "StringLookup", "TextVectorization"}  # in Keras: see their unit tests
    assert set(missing) <= {"Input", "InputLayer", "InputSpec", "Layer", "Wrapper", "Lambda"} | need_tensorflow, missing
