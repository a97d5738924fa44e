"""Every row of the tables of functions, through every check of the driver."""

import importlib
import pathlib

import pytest

from tests.conformance import driver

_FOLDER = pathlib.Path(__file__).parent
_TABLES = sorted(path.stem for path in _FOLDER.glob("table_*.py"))
ROWS = [row for name in _TABLES for row in importlib.import_module(f"tests.conformance.{name}").ROWS]
PAIRS = [(row, case) for row in ROWS for case in row.cases]
_NAMES = [f"{row.name}-{i}" for row in ROWS for i, _ in enumerate(row.cases)]


def pairs(keep=lambda row, case: True):
    chosen = [(pair, name) for pair, name in zip(PAIRS, _NAMES, strict=True) if keep(*pair)]
    return pytest.mark.parametrize(("row", "case"), [pair for pair, _ in chosen], ids=[name for _, name in chosen])


@pairs()
def test_value(row, case):
    driver.check_value(row, case)


@pairs(lambda row, case: driver.arrays_of(case))
def test_contiguity(row, case):
    driver.check_contiguity(row, case)


@pairs(lambda row, case: row.symbolic and driver.arrays_of(case))
@pytest.mark.parametrize("unknown_batch", [False, True])
def test_symbolic(row, case, unknown_batch):
    driver.check_symbolic(row, case, unknown_batch)


@pairs(lambda row, case: not row.nodtype)
def test_dtypes(row, case):
    driver.check_dtypes(row, case)


@pairs(lambda row, case: row.zero_size)
def test_empty(row, case):
    driver.check_empty(row, case)


@pairs(lambda row, case: row.strict)
def test_strict_arrays(row, case):
    driver.check_strict(row, case)


@pairs(lambda row, case: driver.arrays_of(case))
def test_plan(row, case):
    driver.check_plan(row, case)


@pairs(lambda row, case: row.strict and driver.arrays_of(case))
def test_plan_on_strict_arrays(row, case):
    with driver.strict_arrays():
        planned = driver.check_plan(row, case)
    assert planned or not driver.check_plan(row, case), "there is a plan on NumPy only"


@pairs(lambda row, case: row.special and any(a.is_float for a in driver.arrays_of(case)))
def test_plan_with_special_values(row, case):
    driver.check_plan(row, case, special=True)


def differentiable(row, case):
    return row.grad and any(a.is_float for a in driver.arrays_of(case))


@pairs(differentiable)
def test_gradient(row, case):
    driver.check_gradient(row, case, order=1)


@pairs(lambda row, case: differentiable(row, case) and row.second)
def test_second_gradient(row, case):
    driver.check_gradient(row, case, order=2)
