"""Every row of the tables of layers, through every check of the driver."""

import importlib
import pathlib

import pytest

from tests.conformance import layer_driver as driver
from tests.conformance.driver import strict_arrays

_FOLDER = pathlib.Path(__file__).parent
_TABLES = ["layer_rows", *sorted(path.stem for path in _FOLDER.glob("layers_*.py"))]
ROWS = [row for table in _TABLES for row in importlib.import_module(f"tests.conformance.{table}").ROWS]
NAMED = [(f"{case.name}-{i}", case) for row in ROWS for i, case in enumerate(row)]


def cases(keep=lambda case: True):
    chosen = [(name, case) for name, case in NAMED if keep(case)]
    return pytest.mark.parametrize("case", [case for _, case in chosen], ids=[name for name, _ in chosen])


def cases_and_training(keep=lambda case: True):
    chosen = [(f"{name}-{training}", case, training) for name, case in NAMED if keep(case) for training in case.training]
    return pytest.mark.parametrize(("case", "training"), [item[1:] for item in chosen], ids=[item[0] for item in chosen])


@pytest.mark.parametrize("case", [row[0] for row in ROWS], ids=[row[0].name for row in ROWS])
def test_signature(case):
    driver.check_signature(case)


@cases()
def test_weights(case):
    driver.check_weights(case)


@cases_and_training()
def test_output(case, training):
    driver.check_output(case, training)


@cases_and_training(lambda case: case.grad)
def test_gradient(case, training):
    driver.check_gradient(case, training)


@cases(lambda case: case.json)
def test_config(case):
    driver.check_config(case)


@cases(lambda case: case.symbolic)
def test_symbolic(case):
    driver.check_symbolic(case)


@cases(lambda case: case.half)
@pytest.mark.parametrize("policy", ["float16", "mixed_float16"])
def test_half(case, policy):
    driver.check_half(case, policy)


@cases(lambda case: case.strict)
def test_strict_arrays(case):
    driver.check_strict(case)


@cases_and_training()
def test_plan(case, training):
    driver.check_plan(case, training)


@cases_and_training(lambda case: case.strict)
def test_plan_on_strict_arrays(case, training):
    with strict_arrays():
        driver.check_plan(case, training)


@cases(lambda case: case.empty)
def test_empty_batch(case):
    driver.check_empty(case)


@cases(lambda case: case.random)
def test_random(case):
    driver.check_random(case)
