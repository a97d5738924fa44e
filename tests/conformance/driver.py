"""Rows of the conformance tables and the checks that each row buys.

A row names a public symbol and gives cases for it: arguments, of which ``A(...)`` describes a random array. ``test_ops.py``
turns each row into tests: value against real Keras (or a reference of the row's own), gradients to order 2 against finite
differences, shapes and dtypes from shapes alone (None batch included), other dtypes, non-contiguous and empty input, the same
values on strict arrays, and the same values and gradients from a plan, NaN and infinities among the inputs included.
"""

import contextlib
import dataclasses
import functools
import math
import typing
import warnings
import zlib

import numpy as np

import kerasish
from kerasish import tree
from kerasish.backend import arrays
from kerasish.backend.arrays.numpy import NumpyArrays
from kerasish.backend.autodiff.gradient import grad
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor
from tests.conformance.strict import StrictArrays


@dataclasses.dataclass(frozen=True)
class A:
    """A random array of the given shape. Same description, same numbers."""

    shape: tuple
    dtype: str
    low: float
    high: float

    def __init__(self, *shape, dtype="float32", low=-1.0, high=1.0):
        for name, value in (("shape", shape), ("dtype", dtype), ("low", low), ("high", high)):
            object.__setattr__(self, name, value)

    def make(self, seed=0, dtype=None):
        dtype = dtype or self.dtype
        rng = np.random.default_rng([zlib.crc32(repr(self).encode()), seed])
        if self.dtype == "bool":
            return rng.random(self.shape) < 0.5
        if "int" in self.dtype:
            low, high = (0, 10) if (self.low, self.high) == (-1.0, 1.0) else (self.low, self.high)
            return rng.integers(int(low), int(high), self.shape).astype(dtype)
        return rng.uniform(self.low, self.high, self.shape).astype(dtype)

    @property
    def is_float(self):
        return "float" in self.dtype


@dataclasses.dataclass
class Case:
    args: tuple
    kwargs: dict


def case(*args, **kwargs):
    return Case(args, kwargs)


@dataclasses.dataclass
class Row:
    name: str
    cases: tuple
    grad: typing.Any = True  # or the indexes of the arrays to differentiate by, or False
    reference: typing.Any = None
    tol: float = 1e-5
    symbolic: bool = True
    second: bool = True
    zero_size: bool = False
    nodtype: bool = False
    strict: bool = True
    special: bool = True  # NaN and infinities among the inputs give the same in a plan


def row(name, *cases, **options):
    return Row(name, cases, **options)


def lookup(root, name):
    return functools.reduce(getattr, name.split("."), root)


def build(case, change=lambda a, i: a.make(i)):
    """Arguments with each A replaced; the second item of ``change`` counts the arrays."""
    counter = iter(range(10**6))

    def value(x):
        return change(x, next(counter)) if isinstance(x, A) else x

    args, kwargs = tree.map_structure(value, list(case.args)), tree.map_structure(value, dict(case.kwargs))
    return args, kwargs


def arrays_of(case):
    return [x for x in tree.flatten([list(case.args), dict(case.kwargs)]) if isinstance(x, A)]


def numpy_of(outputs):
    return [np.asarray(x) for x in tree.flatten(outputs) if x is not None]


def close(ours, theirs, tol, what=""):
    ours, theirs = numpy_of(ours), numpy_of(theirs)
    assert len(ours) == len(theirs), f"{what}: {len(ours)} outputs, expected {len(theirs)}"
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape, f"{what}: shape {a.shape}, expected {b.shape}"
        if b.dtype.kind in "USO":
            assert (a == b).all(), what
        else:
            wide = np.complex128 if b.dtype.kind == "c" else np.float64
            np.testing.assert_allclose(a.astype(wide), b.astype(wide), rtol=tol, atol=tol, err_msg=what)


# ---- the checks
def check_value(row, case):
    """Values and dtypes equal the reference's."""
    args, kwargs = build(case)
    ours = lookup(kerasish, row.name)(*args, **kwargs)
    if row.reference is not None:
        close(ours, row.reference(*args, **kwargs), row.tol, row.name)
        return
    import keras

    theirs = lookup(keras, row.name)(*args, **kwargs)
    close(ours, theirs, row.tol, row.name)
    if row.nodtype or any("64" in a.dtype for a in arrays_of(case)):
        return
    for a, b in zip(tree.flatten(ours), tree.flatten(theirs), strict=True):
        if isinstance(a, Tensor):
            assert a.dtype == str(b.dtype), f"{row.name}: dtype {a.dtype}, Keras gives {b.dtype}"


def check_contiguity(row, case):
    """A transposed copy of the same numbers gives the same result."""

    def scattered(a, i):
        x = a.make(i)
        return np.ascontiguousarray(x.T).T if x.ndim else x

    args, kwargs = build(case)
    args2, kwargs2 = build(case, scattered)
    function = lookup(kerasish, row.name)
    close(function(*args2, **kwargs2), function(*args, **kwargs), row.tol, f"{row.name} non-contiguous")


def check_symbolic(row, case, unknown_batch):
    """The shape rule gives what the kernel gives; with an unknown batch, None stands only where sizes may differ."""
    function = lookup(kerasish, row.name)
    args, kwargs = build(case, lambda a, i: Tensor(a.make(i)))
    expected = tree.flatten(function(*args, **kwargs))

    def spec(a, i):
        shape = (None, *a.shape[1:]) if unknown_batch and a.shape else a.shape
        return KerasTensor(shape, a.dtype)

    args, kwargs = build(case, spec)
    specs = tree.flatten(function(*args, **kwargs))
    assert len(specs) == len(expected)
    for s, y in zip(specs, expected, strict=True):
        if not isinstance(y, Tensor):
            continue
        assert isinstance(s, KerasTensor), f"{row.name}: symbolic call gave {type(s)}"
        assert s.dtype == y.dtype, f"{row.name}: rule says {s.dtype}, kernel gave {y.dtype}"
        assert len(s.shape) == len(y.shape), f"{row.name}: rule says {s.shape}, kernel gave {y.shape}"
        assert all(m in (None, n) for m, n in zip(s.shape, y.shape, strict=True)), f"{row.name}: {s.shape} for {y.shape}"
        if not unknown_batch:
            assert s.shape == y.shape, f"{row.name}: rule says {s.shape}, kernel gave {y.shape}"


def check_dtypes(row, case):
    """Half and double precision run and keep their dtype's accuracy."""
    function = lookup(kerasish, row.name)
    if not any(a.is_float for a in arrays_of(case)):
        return
    wide_args, wide_kwargs = build(case, lambda a, i: Tensor(a.make(i), dtype="float64" if a.is_float else None))
    wide = function(*wide_args, **wide_kwargs)
    for dtype, tol in (("float16", 2e-2), ("float32", max(row.tol, 1e-4))):
        args, kwargs = build(case, lambda a, i, d=dtype: Tensor(a.make(i), dtype=d if a.is_float else None))
        close(function(*args, **kwargs), wide, tol * 4 if dtype == "float16" else tol, f"{row.name} {dtype}")


def check_empty(row, case):
    """A batch of zero gives an output of the right shape."""
    function = lookup(kerasish, row.name)
    args, kwargs = build(case, lambda a, i: a.make(i)[:0] if a.shape else a.make(i))
    for y in numpy_of(function(*args, **kwargs)):
        assert y.size == 0 or np.isfinite(y.astype(np.float64)).all()


@contextlib.contextmanager
def strict_arrays():
    """Everything on the backend for CuPy, over its stand-in."""
    before = arrays.use(StrictArrays())
    try:
        yield
    finally:
        arrays.use(before)


def check_strict(row, case):
    """Strict arrays give the same values."""
    function = lookup(kerasish, row.name)
    args, kwargs = build(case)
    expected = [np.asarray(y) for y in tree.flatten(function(*args, **kwargs)) if y is not None]
    with strict_arrays():
        args, kwargs = build(case)
        ours = [y.numpy() if isinstance(y, Tensor) else np.asarray(y) for y in tree.flatten(function(*args, **kwargs)) if y is not None]
    close(ours, expected, row.tol, f"{row.name} on strict arrays")


_SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-39)


def with_special_values(a, i):
    """An array with NaN, infinities and the like in some places."""
    x = a.make(i)
    if a.is_float and x.size:
        places = np.random.default_rng(i).integers(0, x.size, len(_SPECIAL))
        x.reshape(-1)[places] = np.array(_SPECIAL, x.dtype)
    return x


def with_slopes(row, case, special=False):
    """A function of the case's arrays that gives the call's outputs, and gradients where there are any."""
    function = lookup(kerasish, row.name)
    wanted = [i for i, a in enumerate(arrays_of(case)) if a.is_float] if row.grad and not special else []

    def run(*xs):
        with kerasish.GradientTape() if wanted else contextlib.nullcontext() as tape:
            if wanted:
                tape.watch([xs[i] for i in wanted])
            args, kwargs = build(case, lambda a, i: xs[i])
            outputs = function(*args, **kwargs)
            total = 0.0
            for k, y in enumerate(tree.flatten(outputs)):
                if wanted and isinstance(y, Tensor) and "float" in y.dtype:
                    total = total + kerasish.ops.sum(y * np.random.default_rng(k).uniform(0.5, 1.5, y.shape).astype("float32"))
        slopes = tape.gradient(total, [xs[i] for i in wanted]) if isinstance(total, Tensor) else []
        return outputs, slopes

    return run


def outcome(f, xs):
    """What a function gives for arrays, as NumPy arrays, or the type of the error that it raises."""
    try:
        return [None if y is None else np.asarray(y) for y in tree.flatten(f(*map(Tensor, xs)))]
    except (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError, np.linalg.LinAlgError) as error:
        return type(error)


def agree(name, found, expected, rtol, atol):
    """Two outcomes are the same, as far as rounding lets them."""
    if isinstance(found, type) or isinstance(expected, type):
        assert found is expected, f"{name}: {found}, expected {expected}"
        return
    for a, b in zip(found, expected, strict=True):
        if b is None or b.dtype.kind in "USO":
            assert a is b or (a == b).all()
            continue
        assert a.shape == b.shape and a.dtype == b.dtype, f"{name}: {a.shape}, {a.dtype}, expected {b.shape}, {b.dtype}"
        finite = np.abs(b[np.isfinite(b)])
        scale = max(0.1, float(finite.max())) if finite.size and b.dtype.kind in "fc" else 1.0
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(a, b, rtol=rtol, atol=atol * scale, err_msg=name)


def check_plan(row, case, special=False):
    """A recorded call gives what an eager one gives: values, gradients where there are any, errors. Whether there was a plan."""
    xs = [with_special_values(a, i) if special else a.make(i) for i, a in enumerate(arrays_of(case))]
    run = with_slopes(row, case, special)
    recorded = kerasish.function(run)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*runs eagerly.*")  # a shape or a branch that depends on values
        agree(f"{row.name} in a plan", outcome(recorded, xs), outcome(run, xs), 2e-5, 2e-6)
    return bool(recorded.plans)


def check_device(row, case, xp):
    """A plan on other arrays than NumPy's gives what the call gives eagerly on NumPy's, gradients included."""
    xs, run = [a.make(i) for i, a in enumerate(arrays_of(case))], with_slopes(row, case)
    before = arrays.use(NumpyArrays())
    try:
        expected = outcome(run, xs)
        arrays.use(xp)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*runs eagerly.*")
            found = outcome(kerasish.function(run), xs)
    finally:
        arrays.use(before)
    agree(f"{row.name} on {xp.name}", found, expected, max(row.tol, 1e-4), 1e-5)


def scalar_function(row, case):
    """The symbol as a function of its float arrays (float64), with a random weighting of its outputs as the value."""
    function = lookup(kerasish, row.name)
    described = arrays_of(case)
    chosen = [i for i, a in enumerate(described) if a.is_float]
    if row.grad is not True:
        chosen = [i for i in chosen if i in row.grad]

    def f(*xs):
        values = dict(zip(chosen, xs, strict=True))
        args, kwargs = build(case, lambda a, i: values.get(i, Tensor(a.make(i), dtype="float64" if a.is_float else None)))
        total = 0.0
        for k, y in enumerate(tree.flatten(function(*args, **kwargs))):
            if isinstance(y, Tensor) and "float" in y.dtype:
                weight = np.random.default_rng(k).uniform(0.5, 1.5, y.shape)
                total = total + kerasish.ops.sum(y * Tensor(weight, dtype=y.dtype))
        return total

    points = [Tensor(described[i].make(i).astype("float64")) for i in chosen]
    return f, points


def numeric_slope(f, points, directions, step=1e-6):
    """Derivative of f along the directions, by central differences."""

    def at(t):
        return float(f(*[Tensor(p.numpy() + t * d) for p, d in zip(points, directions, strict=True)]))

    return (at(step) - at(-step)) / (2 * step)


def check_gradient(row, case, order):
    """Derivatives along random directions equal finite differences, to order 1 or 2."""
    f, points = scalar_function(row, case)
    rng = np.random.default_rng(1)
    directions = [rng.uniform(-1, 1, p.shape) for p in points]

    def slope(*xs):
        slopes = grad(f, argnums=tuple(range(len(xs))))(*xs)
        return sum(kerasish.ops.sum(g * Tensor(d)) for g, d in zip(slopes, directions, strict=True))

    target = f if order == 1 else slope
    slopes = grad(target, argnums=tuple(range(len(points))))(*points)
    analytic = sum(float(np.sum(g.numpy() * d)) for g, d in zip(slopes, directions, strict=True))
    numeric = numeric_slope(target, points, directions)
    assert math.isclose(analytic, numeric, rel_tol=2e-5, abs_tol=2e-5), (
        f"{row.name}: order {order} gives {analytic}, finite differences {numeric}"
    )
