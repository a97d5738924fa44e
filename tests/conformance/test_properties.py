"""Ops over the space of their arguments: shapes with empty and single axes, axes, dtypes, special values, found by Hypothesis.

A property names an op and draws arguments for it. Every example must have the shape and dtype that Keras gives, the values of NumPy
(or of Keras, where NumPy has no such function or refuses), the same in a plan, a shape rule that agrees whichever sizes are unknown,
and, where it is asked for, the slope of finite differences. Where both refuse the arguments, so must we.
"""

import dataclasses
import functools
import math
import os
import typing
import warnings

import hypothesis
import jax
import keras
import ml_dtypes
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import kerasish
from kerasish import tree
from kerasish.backend.autodiff.gradient import grad
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor
from tests.conformance.driver import lookup

EXAMPLES = int(os.environ.get("KERASISH_EXAMPLES", "10"))
PHASES = (hypothesis.Phase.generate,)
FLOATS = ("float32", "float16", "bfloat16", "float64")
INTS = ("int32", "int8", "int16", "int64", "uint8", "uint16", "uint32")
NUMBERS = (*FLOATS, *INTS)
ALL = (*NUMBERS, "bool")
TOLERANCE = {"float16": 4e-3, "bfloat16": 3e-2, "float32": 2e-5, "float64": 2e-5}  # Keras's own values come in 32 bits
WIDE = ("int64", "float64", "uint32")  # they make 64-bit results, which JAX cuts
SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0)
REFUSED = (ArithmeticError, IndexError, TypeError, ValueError, RuntimeError, AssertionError, KeyError, NotImplementedError, np.linalg.LinAlgError)


class Draw:
    """What properties draw their arguments with. Numbers come from a seed, so that Hypothesis looks for shapes, not for numbers."""

    def __init__(self, data, special):
        self.data, self.special = data, special

    def __call__(self, strategy):
        return self.data.draw(strategy)

    def of(self, *choices):
        return self(st.sampled_from(choices))

    def int(self, low, high):
        return self(st.integers(low, high))

    def maybe(self):
        return self(st.booleans())

    def shape(self, low=0, high=4, side=0, largest=5):
        return self(hnp.array_shapes(min_dims=low, max_dims=high, min_side=side, max_side=largest))

    def shapes(self, n):
        return self(hnp.mutually_broadcastable_shapes(num_shapes=n, max_dims=4, min_side=0, max_side=4)).input_shapes

    def axis(self, ndim):
        return self.int(-ndim, ndim - 1)

    def axes(self, ndim):
        """None, an axis or several."""
        kind = self.of("one", "none", "some") if ndim else "none"
        return None if kind == "none" else self.axis(ndim) if kind == "one" else self(hnp.valid_tuple_axes(ndim, min_size=1))

    def array(self, shape, dtypes=ALL, low=-3.0, high=3.0, dtype=None):
        dtype, rng = dtype or self.of(*dtypes), np.random.default_rng(self.int(0, 2**16))
        if dtype == "bool":
            return np.asarray(rng.random(shape) < 0.5)
        if "int" in dtype:
            least = max(0, math.ceil(low)) if "uint" in dtype else math.ceil(low)
            return np.asarray(rng.integers(least, max(least, math.floor(high)) + 1, shape), dtype)
        x = np.asarray(rng.uniform(low, high, shape)).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
        if self.special and x.size and self.of(False, True):
            x.reshape(-1)[rng.integers(0, x.size, 3)] = np.array(SPECIAL, x.dtype)[rng.integers(0, len(SPECIAL), 3)]
        return x


@dataclasses.dataclass
class Property:
    name: str
    draw: typing.Callable  # of a Draw: arguments and keyword arguments
    reference: typing.Any = "numpy"  # a function of arrays, or None: Keras
    grad: bool = False
    special: bool = False  # NaN and infinities among the values
    symbolic: bool = True
    tol: float = 1.0  # times the tolerance of the dtype
    dtype: bool = True
    known: tuple = ()  # numbers of arrays whose shapes are never unknown in part

    def __post_init__(self):
        if self.reference == "numpy":
            self.reference = getattr(np, self.name.rpartition(".")[2], None)


def quiet(function):
    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return function(*args, **kwargs)

    return wrapped


def outcome(function, *args, **kwargs):
    """What a call gives, or the error."""
    try:
        return function(*args, **kwargs)
    except REFUSED as error:
        return error


def replace(structure, change):
    """Arguments with ``change(array, number)`` in place of each array."""
    counter = iter(range(10**6))
    return tree.map_structure(lambda x: change(x, next(counter)) if isinstance(x, np.ndarray) else x, structure)


def arrays_of(arguments):
    return [x for x in tree.flatten(arguments) if isinstance(x, np.ndarray)]


def call(function, arguments):
    return function(*arguments[0], **arguments[1])


@quiet
def of_keras(prop, arguments):
    """Shapes and dtypes by Keras, or its error."""
    function, arrays = lookup(keras, prop.name), arrays_of(arguments)

    def abstract(xs):
        return call(function, replace(arguments, lambda _, i: xs[i]))

    specs = [jax.ShapeDtypeStruct(x.shape, narrow(x).dtype) for x in arrays]
    found = outcome(jax.eval_shape, abstract, specs)
    if isinstance(found, Exception):
        found = keras_values(prop, arguments)
    return found if isinstance(found, Exception) else [(tuple(y.shape), str(y.dtype)) for y in tree.flatten(found) if hasattr(y, "dtype")]


def narrow(x):
    return x.astype(x.dtype.name.replace("64", "32")) if x.dtype.name in ("int64", "float64") else x


@quiet
def keras_values(prop, arguments):
    found = outcome(call, lookup(keras, prop.name), replace(arguments, lambda x, i: keras.ops.convert_to_tensor(narrow(x))))
    return found if isinstance(found, Exception) else tree.map_structure(np.asarray, found)


@quiet
def expected_values(prop, arguments, dtype):
    """Values by the reference, computed in the dtype of the result or wider; by Keras where there is none, or it refuses."""
    def cast(x, i):
        kinds = {np.dtype(x.dtype).kind for x in arrays_of(arguments)}
        if "c" in kinds or (dtype == "bool" and "V" not in kinds):
            return x
        if "float" in dtype or "complex" in dtype:
            return x.astype("float64")
        return x.astype(dtype) if "int" in dtype and kinds <= set("iub") else x.astype("float64") if x.dtype.kind in "fV" else x

    if prop.reference is not None:
        found = outcome(call, prop.reference, replace(arguments, cast))
        if not isinstance(found, Exception):
            return found
    return keras_values(prop, arguments)


def as_floats(y):
    y = np.asarray(y)
    return y if y.dtype.kind in "USO" else y.astype(np.complex128 if y.dtype.kind == "c" else np.float64)


def check(prop, arguments):
    function = lookup(kerasish, prop.name)
    tensors = replace(arguments, lambda x, i: Tensor(x))
    ours, theirs = outcome(call, function, tensors), of_keras(prop, arguments)
    if isinstance(ours, Exception):
        assert isinstance(theirs, Exception), f"refused: {type(ours).__name__}: {ours}; Keras gives {theirs}"
        return
    found = [y for y in tree.flatten(ours) if y is not None]
    found = [y if isinstance(y, Tensor) else Tensor(np.asarray(y)) for y in found]
    dtypes = [y.dtype for y in found]
    expected = expected_values(prop, arguments, dtypes[0] if dtypes else "float32")
    assert not isinstance(expected, Exception), f"taken, and gives {found}; Keras says {type(theirs).__name__}: {theirs}"
    if not isinstance(theirs, Exception) and prop.dtype and not any(getattr(x, "dtype", x) in WIDE for x in tree.flatten(arguments)):
        assert dtypes == [dtype for _, dtype in theirs], f"dtypes {dtypes}, Keras has {theirs}"
    expected = [y for y in tree.flatten(expected) if y is not None]
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == np.shape(b), f"shape {a.shape}, expected {np.shape(b)}"
        tol = prop.tol * max(TOLERANCE.get(d, 2e-5) for d in (a.dtype, *[x.dtype.name for x in arrays_of(arguments)]))
        with np.errstate(all="ignore"):
            limited = np.asarray(b).astype(a.numpy().dtype) if a.dtype in ("float16", "bfloat16") else b
            np.testing.assert_allclose(as_floats(a.numpy()), as_floats(limited), rtol=tol, atol=tol)
    check_plan(function, arguments, found)
    if prop.symbolic:
        check_symbolic(prop, arguments, found)


def check_plan(function, arguments, found):
    """A plan gives the same."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*runs eagerly.*")  # shapes that depend on values
        planned = kerasish.function(lambda *xs: call(function, replace(arguments, lambda _, i: xs[i])))
        again = [y for y in tree.flatten(planned(*[Tensor(x) for x in arrays_of(arguments)])) if y is not None]
    for a, b in zip(again, found, strict=True):
        a = a if isinstance(a, Tensor) else Tensor(np.asarray(a))
        assert (a.shape, a.dtype) == (b.shape, b.dtype), f"in a plan {a.shape}, {a.dtype}, eagerly {b.shape}, {b.dtype}"
        tol = TOLERANCE.get(b.dtype, 0.0)
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(as_floats(a.numpy()), as_floats(b.numpy()), rtol=tol, atol=tol / 10, err_msg="in a plan")


def check_symbolic(prop, arguments, found):
    """The rule gives what the kernel gave, and whatever size is unknown, what it knows is true."""
    function, arrays = lookup(kerasish, prop.name), arrays_of(arguments)
    unknown = [(), *[((i, axis),) for i, x in enumerate(arrays) if i not in prop.known for axis in range(x.ndim)]]
    unknown.append(tuple(place for places in unknown for place in places))
    for places in unknown:
        def spec(x, i, places=places):
            return KerasTensor([None if (i, axis) in places else n for axis, n in enumerate(x.shape)], x.dtype.name)

        specs = [y for y in tree.flatten(call(function, replace(arguments, spec))) if y is not None]
        where = f"the rule, with unknown sizes {places}"
        assert [(s.dtype, len(s.shape)) for s in specs] == [(y.dtype, len(y.shape)) for y in found], f"{where}: {specs}, {found}"
        for s, y in zip(specs, found, strict=True):
            assert all(m in (None, n) for m, n in zip(s.shape, y.shape, strict=True)), f"{where}: {s.shape} for {y.shape}"
            assert places or s.shape == y.shape, f"{where}: {s.shape} for {y.shape}"


def check_gradient(prop, arguments):
    """The slope along a random direction is that of finite differences."""
    function = lookup(kerasish, prop.name)
    rng = np.random.default_rng(0)  # moves numbers a little, away from ties and whole numbers
    arguments = replace(arguments, lambda x, i: x.astype("float64") + rng.uniform(0.001, 0.009, x.shape) if x.dtype.kind in "fV" else x)
    xs = arrays_of(arguments)
    moved = [i for i, x in enumerate(xs) if x.dtype.kind == "f"]
    directions = [rng.uniform(-1, 1, xs[i].shape) for i in moved]

    def value(*points):
        given = dict(zip(moved, points, strict=True))
        outputs = call(function, replace(arguments, lambda x, i: given.get(i, x)))
        outputs = [y for y in tree.flatten(outputs) if isinstance(y, Tensor) and "float" in y.dtype]
        return sum((kerasish.ops.sum(y * np.random.default_rng(k).uniform(0.5, 1.5, y.shape)) for k, y in enumerate(outputs)), Tensor(0.0))

    points = [Tensor(xs[i]) for i in moved]
    if not moved or isinstance(outcome(value, *points), Exception):
        return
    slopes = grad(value, argnums=tuple(range(len(points))))(*points)
    analytic = sum(float((g.numpy() * d).sum()) for g, d in zip(slopes, directions, strict=True) if g is not None)
    step = 1e-6
    ends = [float(value(*[Tensor(p.numpy() + s * d) for p, d in zip(points, directions, strict=True)])) for s in (step, -step)]
    numeric = (ends[0] - ends[1]) / (2 * step)
    assert math.isclose(analytic, numeric, rel_tol=1e-4, abs_tol=1e-4), f"slope {analytic}, finite differences {numeric}"


# ---- families
def one(dtypes=ALL, low=-3.0, high=3.0, least=0, *more):
    return lambda d: ([d.array(d.shape(least), dtypes, low, high), *more], {})


def each(names, draw, **options):
    return [Property(f"ops.{name}", draw, **options) for name in names.split()]


def two(dtypes=ALL, low=-3.0, high=3.0, second=None):
    def draw(d):
        a, b = d.shapes(2)
        return [d.array(a, dtypes, low, high), d.array(b, **(second or {"dtypes": dtypes, "low": low, "high": high}))], {}

    return draw


def reduction(dtypes=ALL, several=True, keepdims=True, low=-3.0, high=3.0, side=0):
    def draw(d):
        x = d.array(d.shape(side=side), dtypes, low, high)
        axis = d.axes(x.ndim) if several else (d.axis(x.ndim) if x.ndim and d.maybe() else None)
        return [x], {"axis": axis} | ({"keepdims": d.maybe()} if keepdims else {})

    return draw


def along_axis(dtypes=ALL, none=True):
    def draw(d):
        x = d.array(d.shape(1), dtypes)
        return [x], {"axis": None if none and d.maybe() else d.axis(x.ndim)}

    return draw


def permutation(d, n):
    return d(st.permutations(range(n)))


def draw_reshape(d):
    x = d.array(d.shape())
    shape = list(d.of(*factorings(x.size)))
    if x.size and shape and d.maybe():
        shape[d.int(0, len(shape) - 1)] = -1
    return [x, tuple(shape)], {}


@functools.cache
def factorings(n):
    found = [(n,), (1, n), (n, 1)]
    for k in range(2, 6):
        if n and n % k == 0:
            found += [(k, n // k), (n // k, 1, k)]
    return found + ([()] if n == 1 else [(0, 3), (2, 0, 1)] if n == 0 else [])


def draw_transpose(d):
    x = d.array(d.shape())
    return [x], {"axes": None if d.maybe() else tuple(permutation(d, x.ndim))}


def draw_concatenate(d):
    shape, n = d.shape(1), d.int(1, 3)
    axis = d.axis(len(shape))
    sizes = [tuple(d.int(0, 3) if i == axis % len(shape) else s for i, s in enumerate(shape)) for _ in range(n)]
    return [[d.array(s) for s in sizes]], {"axis": axis}


def draw_stack(d):
    shape = d.shape(high=3)
    return [[d.array(shape) for _ in range(d.int(1, 3))]], {"axis": d.int(-len(shape) - 1, len(shape))}


def several(least=0):
    def draw(d):
        shape = d.shape(least, 3)
        return [[d.array(shape) for _ in range(d.int(1, 3))]], {}

    return draw


def draw_split(d):
    shape = d.shape(1)
    axis = d.axis(len(shape))
    n = shape[axis]
    parts = d.of(*[k for k in range(1, 6) if n % k == 0]) if d.maybe() else sorted(d(st.lists(st.integers(0, n), max_size=3)))
    return [d.array(shape), parts], {"axis": axis}


def draw_array_split(d):
    shape = d.shape(1)
    return [d.array(shape), d.int(1, 4)], {"axis": d.axis(len(shape))}


def draw_pad(mode):
    def draw(d):
        x = d.array(d.shape(1, 3, side=0 if mode == "constant" else 1), NUMBERS)
        width = [(d.int(0, 4), d.int(0, 4)) for _ in range(x.ndim)]
        return [x, d.of(width, d.int(0, 3)), mode], {}

    return draw


def draw_tile(d):
    return [d.array(d.shape(high=3)), d.of(d.int(0, 3), tuple(d(st.lists(st.integers(0, 3), min_size=1, max_size=4))))], {}


def draw_repeat(d):
    x = d.array(d.shape())
    axis = d.axis(x.ndim) if x.ndim and d.maybe() else None
    n = x.size if axis is None else x.shape[axis]
    repeats = d.int(0, 3) if d.maybe() else tuple(d.int(0, 2) for _ in range(n)) or 1
    return [x, repeats], {"axis": axis}


def draw_roll(d):
    x = d.array(d.shape())
    if not x.ndim or d.maybe():
        return [x, d.int(-7, 7)], {"axis": d.axis(x.ndim) if x.ndim and d.maybe() else None}
    axes = d(hnp.valid_tuple_axes(x.ndim, min_size=1))
    return [x, tuple(d.int(-7, 7) for _ in axes)], {"axis": axes}


def draw_flip(d):
    x = d.array(d.shape())
    return [x], {"axis": d.axes(x.ndim)}


def draw_broadcast_to(d):
    found = d(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0, max_side=4))
    return [d.array(found.input_shapes[0]), found.result_shape], {}


def draw_squeeze(d):
    x = d.array(d.shape(largest=2))
    ones = [i - x.ndim * d.maybe() for i, n in enumerate(x.shape) if n == 1]
    return [x], {"axis": d.of(None, *ones, *([tuple(ones)] if ones else []))}


def draw_expand_dims(d):
    x = d.array(d.shape(high=3))
    n = d.int(1, 2)
    return [x, d.of(d.int(-x.ndim - 1, x.ndim), d(hnp.valid_tuple_axes(x.ndim + n, min_size=n, max_size=n)))], {}


def draw_moveaxis(d):
    x = d.array(d.shape(1))
    n = d.int(1, x.ndim)
    source, target = (tuple(i - x.ndim * d.maybe() for i in permutation(d, x.ndim)[:n]) for _ in range(2))
    return [x, *((source[0], target[0]) if n == 1 and d.maybe() else (source, target))], {}


def draw_swapaxes(d):
    x = d.array(d.shape(1))
    return [x, d.axis(x.ndim), d.axis(x.ndim)], {}


def draw_diagonal(d):
    x = d.array(d.shape(2))
    first, second = permutation(d, x.ndim)[:2]
    return [x], {"offset": d.int(-4, 4), "axis1": first - x.ndim * d.maybe(), "axis2": second}


def draw_band(d):
    return [d.array(d.shape(2))], {"k": d.int(-5, 5)}


def draw_diag(d):
    return [d.array(d.shape(1, 2))], {"k": d.int(-5, 5)}


def draw_rot90(d):
    x = d.array(d.shape(2))
    return [x], {"k": d.int(-4, 5), "axes": tuple(permutation(d, x.ndim)[:2])}


def indices(d, shape, size, dtypes=("int32", "int64", "int8"), negative=True):
    return d.array(shape, dtypes, -size if negative else 0, size - 1 + 1e-9) if size else np.zeros((*shape[:-1], 0), "int32")


def draw_take(d):
    x = d.array(d.shape(1, side=1))
    axis = d.of(None, d.axis(x.ndim))
    size = x.size if axis is None else x.shape[axis]
    return [x, indices(d, d.shape(high=2), min(size, 100))], {"axis": axis}


def draw_take_along_axis(d):
    shape = d.shape(1, side=1)
    axis = d.axis(len(shape))
    at = tuple(d.int(0, 4) if i == axis % len(shape) else n for i, n in enumerate(shape))
    return [d.array(shape), indices(d, at, shape[axis], ("int32", "int64"))], {"axis": axis}


def draw_item(d):
    x = d.array(d.shape())
    return [x, d(hnp.basic_indices(x.shape, allow_newaxis=True))], {}


def draw_fancy(d):
    x = d.array(d.shape(1, side=1))
    axis = d.int(0, x.ndim - 1)
    at = [slice(None)] * axis + [indices(d, d.shape(0, 2, side=1, largest=3), x.shape[axis])]
    if d.maybe() and axis + 1 < x.ndim:
        at += [d.of(slice(None, None, -1), 0, None, Ellipsis)]
    return [x, tuple(at)], {}


def draw_slice(d):
    shape = d.shape(1)
    start = [d.int(0, n) for n in shape]
    return [d.array(shape), tuple(start), tuple(d.int(0, n - s) for n, s in zip(shape, start, strict=True))], {}


def draw_slice_update(d):
    (x, start, sizes), _ = draw_slice(d)
    return [x, start, d.array(sizes, dtype=x.dtype.name)], {}


def _slice_update(x, start, updates):
    out = np.array(x)
    out[tuple(slice(s, s + n) for s, n in zip(start, updates.shape, strict=True))] = updates
    return out


def draw_one_hot(d):
    n = d.int(1, 5)
    shape = d.shape(0, 3)
    return [d.array(shape, ("int32", "uint8", "int64"), -1, n), n], {"axis": d.int(-len(shape) - 1, len(shape)), "dtype": d.of("float32", "int32", "bool", None)}


def draw_segment(d):
    n = d.int(0, 6)
    x = d.array((n, *d.shape(0, 2)), ("float32", "float16", "int32", "uint8"))
    return [x, np.sort(d.array((n,), ("int32",), 0, 3))], {"num_segments": d.int(4, 5), "sorted": d.maybe()}


def draw_top_k(d):
    x = d.array(d.shape(1, side=1), NUMBERS)
    return [x, d.int(0, x.shape[-1])], {}


def draw_searchsorted(d):
    return [np.sort(d.array((d.int(0, 6),), ("float32", "int32", "float16"))), d.array(d.shape(0, 3), ("float32", "int32", "float16"))], {"side": d.of("left", "right")}


def draw_bincount(d):
    x = d.array((d.int(0, 6),), ("int32", "uint8"), 0, 5)
    return [x], {"minlength": d.int(0, 8)}


def draw_scatter(d):
    shape = d.shape(1, 3, side=1)
    depth, n = d.int(1, len(shape)), d.int(0, 4)
    at = np.stack([d.array((n,), ("int32",), 0, size - 1) % size for size in shape[:depth]], -1)
    return [at, d.array((n, *shape[depth:]), ("float32", "int32", "float16")), shape], {}


def _scatter(at, values, shape):
    out = np.zeros(shape, values.dtype)
    np.add.at(out, tuple(np.moveaxis(np.asarray(at, int), -1, 0)), values)
    return out


def draw_scatter_update(d):
    (at, values, shape), _ = draw_scatter(d)
    return [d.array(shape, dtype=values.dtype.name), at, values], {"reduction": d.of("add", "max", "min", "mul")}


def _scatter_update(x, at, values, reduction=None):
    out = np.array(x)
    f = {"add": np.add, "max": np.maximum, "min": np.minimum, "mul": np.multiply}[reduction]
    f.at(out, tuple(np.moveaxis(np.asarray(at, int), -1, 0)), values)
    return out


def draw_where(d):
    a, b, c = d.shapes(3)
    return [d.array(a, ("bool", "int32", "float32")), d.array(b), d.array(c)], {}


def draw_matmul(d):
    kind = d.of("matrices", "vector", "from vector", "vectors")
    batch = d(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=2, min_side=0, max_side=3)).input_shapes
    n, k, m = d.int(0, 4), d.int(0, 4), d.int(0, 4)
    a, b = (*batch[0], n, k), (*batch[1], k, m)
    a, b = {"matrices": (a, b), "vector": (a, (k,)), "from vector": ((k,), b), "vectors": ((k,), (k,))}[kind]
    return [d.array(a), d.array(b)], {}


def draw_dot(d):
    (a, b), _ = draw_matmul(d)
    return [a, d.array((a.shape[-1],) if b.ndim == 1 else (*b.shape[:-2], a.shape[-1], b.shape[-1]))], {}


def draw_inner(d):
    k = d.int(0, 4)
    return [d.array((*d.shape(0, 2), k), NUMBERS), d.array((*d.shape(0, 2), k), NUMBERS)], {}


def draw_outer(d):
    return [d.array(d.shape(0, 2), NUMBERS), d.array(d.shape(0, 2), NUMBERS)], {}


def draw_threshold(d):
    return [d.array(d.shape(), FLOATS), 0.55, 0.5], {}


def draw_kron(d):
    return [d.array(d.shape(1, 3, largest=3), NUMBERS), d.array(d.shape(1, 3, largest=3), NUMBERS)], {}


def draw_vdot(d):
    shape = d.shape(0, 2)
    return [d.array(shape, NUMBERS), d.array(shape, NUMBERS)], {}


def draw_tensordot(d):
    a, n = d.shape(1, 3), d.int(0, 2)
    n = min(n, len(a))
    first = permutation(d, len(a))[:n]
    rest = d.shape(0, 2)
    b = [*(a[i] for i in first), *rest]
    order = permutation(d, len(b))
    axes = [list(first), [order.index(i) for i in range(n)]]
    return [d.array(a, NUMBERS), d.array(tuple(b[i] for i in order), NUMBERS)], {"axes": axes}


def draw_einsum(d):
    sizes = {letter: d.int(0, 3) for letter in "abcd"}
    terms = ["".join(d(st.lists(st.sampled_from("abcd"), min_size=0, max_size=3))) for _ in range(d.int(1, 3))]
    used = sorted(set("".join(terms)))
    out = "".join([used[i] for i in permutation(d, len(used))[: d.int(0, len(used))]])
    subscripts = ",".join(terms) + ("->" + out if d.maybe() else "")
    return [subscripts, *[d.array(tuple(sizes[c] for c in term), ("float32", "int32", "float16")) for term in terms]], {}


def draw_cross(d):
    a, b = d.shapes(2)
    n = d.of((3, 3), (3, 2), (2, 3), (2, 2))
    return [d.array((*a[-2:], n[0]), ("float32", "int32")), d.array((*b[-2:], n[1]), ("float32", "int32"))], {}


def draw_norm(d):
    x = d.array(d.shape(1, 3, side=1), ("float32", "float16", "int32"))
    axis = d.axes(x.ndim) if x.ndim < 3 else d.of(None, d.axis(x.ndim))
    n = 2 if isinstance(axis, tuple) and len(axis) == 2 else 1
    return [x], {"axis": axis, "keepdims": d.maybe(), "ord": d.of(None, *([1, math.inf, -math.inf, "fro"] if n == 2 else [1, 2, 3, 0, math.inf, -math.inf])) if axis is not None else None}


def draw_quantile(d):
    x = d.array(d.shape(1, side=1), ("float32", "float16", "int32"))
    q = d.of(0.3, np.array([0.0, 0.37, 1.0], "float32"))
    return [x, q], {"axis": d.axes(x.ndim), "keepdims": d.maybe(), "method": d.of("linear", "lower", "higher", "midpoint", "nearest")}


def draw_average(d):
    x = d.array(d.shape(1, side=1), NUMBERS)
    axis = d.of(None, d.axis(x.ndim))
    weights = d.of(None, d.array(x.shape, ("float32", "int32"), 1, 3), *([] if axis is None else [d.array((x.shape[axis],), ("float32",), 1, 3)]))
    return [x], {"axis": axis, "weights": weights}


def draw_diff(d):
    x = d.array(d.shape(1))
    return [x], {"n": d.int(0, 3), "axis": d.axis(x.ndim)}


def draw_trapezoid(d):
    x = d.array(d.shape(1, side=1), NUMBERS)
    return [x], {"dx": d.of(1.0, 0.5), "axis": d.axis(x.ndim)}


def draw_clip(d):
    return [d.array(d.shape(), NUMBERS), d.of(-1, -0.5, None), d.of(1, 0.5, None)], {}


def draw_round(d):
    return [d.array(d.shape(), FLOATS + ("int32",)), d.int(0, 2)], {}


# ---- windows
def window_shapes(d):
    rank = d.int(1, 3)
    return tuple(d.int(1, 6 - rank) for _ in range(rank)), d.int(1, 2), d.of("channels_last", "channels_first")


def placed(size, channels, layout, batch=2):
    return (batch, *size, channels) if layout == "channels_last" else (batch, channels, *size)


def draw_conv(d):
    size, channels, layout = window_shapes(d)
    groups, padding = d.int(1, 2), d.of("valid", "same")
    kernel = tuple(d.int(1, n) if padding == "valid" else d.int(1, 3) for n in size)
    strides = d.int(1, 2)
    dilation = d.int(1, 2) if strides == 1 and (padding == "same" or all((k - 1) * 2 < n for k, n in zip(kernel, size, strict=True))) else 1
    x = d.array(placed(size, channels * groups, layout, d.int(0, 2)), ("float32", "float16"))
    return [x, d.array((*kernel, channels, d.int(1, 2) * groups), dtype=x.dtype.name)], {"strides": strides, "padding": padding, "data_format": layout, "dilation_rate": dilation}


def draw_depthwise(d):
    (x, kernel), kwargs = draw_conv(d)
    if x.ndim == 5:
        x, kernel = x[..., 0], kernel[0]
        kwargs["data_format"] = "channels_last"
        x = d.array(x.shape, dtype="float32")
        kernel = d.array((1, 1, x.shape[-1], 2), dtype="float32")
    channels = x.shape[-1 if kwargs["data_format"] == "channels_last" else 1]
    kernel = d.array((*kernel.shape[:-2], channels, d.int(1, 2)), dtype=x.dtype.name)
    return [x, kernel], kwargs


def draw_conv_transpose(d):
    size, channels, layout = window_shapes(d)
    x = d.array(placed(size, channels, layout, d.int(1, 2)), ("float32",))
    strides = d.int(1, 3)
    kernel = d.array((*[d.int(1, 3) for _ in size], d.int(1, 2), channels), dtype="float32")
    return [x, kernel], {"strides": strides, "padding": d.of("valid", "same"), "data_format": layout}


def draw_pool(d):
    size, channels, layout = window_shapes(d)
    padding = d.of("valid", "same")
    window = tuple(d.int(1, n) if padding == "valid" else d.int(1, 3) for n in size)
    return [d.array(placed(size, channels, layout, d.int(0, 2)), ("float32", "float16")), window], {"strides": d.int(1, 3), "padding": padding, "data_format": layout}


def draw_resize(d):
    size, layout = (d.int(1, 5), d.int(1, 5)), d.of("channels_last", "channels_first")
    shape = placed(size, 2, layout, 2) if d.maybe() else placed(size, 2, layout, 2)[1:]
    return [d.array(shape, ("float32",)), (d.int(1, 6), d.int(1, 6))], {
        "interpolation": d.of("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5"), "antialias": d.maybe(), "data_format": layout,
    }  # fmt: skip


# ---- signals and decompositions
def draw_fft(d):
    shape = d.shape(1, 3, side=1)
    return [(d.array(shape, ("float32",)), d.array(shape, ("float32",)))], {}


def draw_rfft(d):
    x = d.array(d.shape(1, 3, side=1), ("float32",))
    return [x], {"fft_length": d.of(None, d.int(1, 8))}


def draw_square(d, low=0, definite=False):
    n = d.int(1, 4)
    x = d.array((*d.shape(0, 2), n, n), ("float32",), -1, 1)
    return x @ np.swapaxes(x, -1, -2) + np.eye(n, dtype="float32") if definite else x + 3 * np.eye(n, dtype="float32")


def square(definite=False):
    return lambda d: ([draw_square(d, definite=definite)], {})


def draw_solve(d):
    a = draw_square(d)
    return [a, d.array((*a.shape[:-1], d.int(1, 3)), ("float32",))], {}


def draw_unary_axis(d):
    x = d.array(d.shape(1, side=2), FLOATS)
    return [x], {"axis": d.axis(x.ndim)}


def draw_moments(d):
    x = d.array(d.shape(1, side=1), ("float32", "float16"))
    return [x], {"axes": d(hnp.valid_tuple_axes(x.ndim, min_size=1)), "keepdims": d.maybe()}


def draw_normalize(d):
    x = d.array(d.shape(1, side=1), ("float32",), 0.5, 2)
    return [x], {"axis": d.axis(x.ndim), "order": d.int(1, 3)}


def draw_batch_normalization(d):
    x = d.array(d.shape(2, side=1), ("float32",))
    axis = d.axis(x.ndim)
    mean, variance, offset, scale = (d.array((x.shape[axis],), ("float32",), 0.5, 2) for _ in range(4))
    return [x, mean, variance, axis], {"offset": d.of(None, offset), "scale": d.of(None, scale)}


def draw_layer_normalization(d):
    x = d.array(d.shape(2, side=1), ("float32",))
    return [x], {"gamma": d.of(None, d.array((x.shape[-1],), ("float32",))), "axis": -1}


def draw_sliding(d):
    x = d.array((*d.shape(0, 2), d.int(3, 9)), ("float32",))
    return [x, d.int(1, 3), d.int(1, 3)], {}


def draw_meshgrid(d):
    dtype = d.of(*ALL)
    return [d.array((d.int(0, 3),), dtype=dtype) for _ in range(d.int(1, 3))], {"indexing": d.of("xy", "ij")}


def draw_cast(d):
    return [d.array(d.shape(), ALL, 0, 3), d.of(*ALL)], {}


def draw_full_like(d):
    return [d.array(d.shape()), d.of(1, 2.5)], {"dtype": d.of(None, *ALL)}


def draw_like(d):
    return [d.array(d.shape())], {"dtype": d.of(None, *ALL)}


def draw_ravel(d):
    return [d.array(d.shape())], {}


def draw_append(d):
    (arrays,), kwargs = draw_concatenate(d)
    return [arrays[0], arrays[-1]], d.of(kwargs, {})


def draw_isin(d):
    return [d.array(d.shape(0, 3), ("int32", "uint8")), d.array(d.shape(0, 2), ("int32", "uint8"))], {"invert": d.maybe()}


SMOOTH = {"special": True, "grad": True}
PROPERTIES = [
    # ---- element by element
    *each("abs negative sign square sin cos tanh arctan arcsinh exp expm1 sinh cosh floor ceil trunc conj real deg2rad rad2deg",
          one(low=0.1, high=2.0), **SMOOTH),
    *each("tan log log10 log1p log2 sqrt cbrt reciprocal exp2 i0 sinc", one(low=0.2, high=1.4), **SMOOTH),
    *each("arcsin arccos arctanh", one(low=-0.9, high=0.9), **SMOOTH),
    *each("arccosh", one(low=1.2, high=3.0), **SMOOTH),
    *each("isfinite isinf isnan isneginf isposinf signbit isreal logical_not", one(), special=True),
    *each("nan_to_num", one(), special=True, reference=None),
    *each("bitwise_not bitwise_invert", one((*INTS, "bool"))),
    # not at infinity, where products such as x * 0 are NaN in one formula and the limit in another
    *each("silu hard_shrink soft_shrink", one(FLOATS, 0.2, 0.9), reference=None, grad=True),
    *each("rsqrt erf erfc sigmoid softplus gelu relu relu6 elu selu leaky_relu softsign log_sigmoid hard_sigmoid hard_silu hard_tanh"
          " celu tanh_shrink sparse_sigmoid squareplus", one(FLOATS, 0.2, 0.9), reference=None, grad=True),
    *each("threshold", draw_threshold, reference=None, grad=True),
    *each("erfinv", one(FLOATS, -0.9, 0.9), reference=None, grad=True, tol=3.0),
    *each("round", draw_round, special=True), *each("clip", draw_clip, special=True),
    *each("add subtract multiply maximum minimum fmax fmin", two(), **SMOOTH),
    *each("divide true_divide hypot arctan2 logaddexp logaddexp2", two(low=0.5, high=2.5), **SMOOTH),
    *each("mod floor_divide fmod", two(NUMBERS, 1.0, 3.0, second={"dtypes": NUMBERS, "low": 1, "high": 2.5}), tol=5.0),
    *each("power", two(NUMBERS, 0.5, 2.5, second={"dtypes": NUMBERS, "low": 0, "high": 3}), grad=True, tol=3.0),
    *each("divide_no_nan", two(NUMBERS), reference=None),
    *each("equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor isclose", two(), special=True),
    *each("bitwise_and bitwise_or bitwise_xor", two((*INTS, "bool"))),
    *each("left_shift right_shift bitwise_left_shift bitwise_right_shift", two(INTS, 0, 5, second={"dtypes": INTS, "low": 0, "high": 3})),
    *each("gcd lcm", two(INTS)), *each("heaviside", two(NUMBERS)),
    *each("ldexp", two(FLOATS, second={"dtypes": ("int32", "int8"), "low": -3, "high": 3}), grad=True),
    *each("where", draw_where, special=True, grad=True),
    # ---- reductions
    *each("sum mean any all count_nonzero nansum nanmean", reduction(), special=True),
    *each("prod nanprod", reduction(low=0.5, high=1.5), tol=3.0),
    *each("var std nanvar nanstd", reduction(), tol=5.0),
    *each("max min amax amin ptp nanmax nanmin", reduction(side=1), special=True),
    *each("sum mean prod", reduction(FLOATS, low=0.5, high=1.5, side=1), grad=True, tol=3.0),
    *each("var std max min", reduction(FLOATS, side=2), grad=True, tol=5.0),
    *each("logsumexp", reduction(NUMBERS, side=1), reference=None, **SMOOTH),
    *each("argmax argmin", reduction(several=False, side=1), special=True), *each("nanargmax nanargmin", reduction(several=False, side=1)),
    *each("median nanmedian", reduction(("float32", "float16", "int32"), side=1)), *each("quantile nanquantile", draw_quantile),
    *each("cumsum cumprod nancumsum nancumprod", along_axis(), tol=3.0), *each("cumsum", along_axis(FLOATS), grad=True, tol=3.0),
    *each("average", draw_average, tol=3.0), *each("diff", draw_diff), *each("trapezoid", draw_trapezoid, tol=3.0),
    # ---- shapes
    *each("reshape", draw_reshape, grad=True), *each("transpose", draw_transpose, grad=True), *each("concatenate", draw_concatenate, grad=True),
    *each("stack", draw_stack, grad=True), *each("hstack dstack vstack", several(), grad=True), *each("split", draw_split, grad=True),
    *each("array_split", draw_array_split, grad=True), *each("tile", draw_tile, grad=True), *each("repeat", draw_repeat, grad=True),
    *[Property("ops.pad", draw_pad(mode), grad=True, tol=3.0)
      for mode in ("constant", "reflect", "symmetric", "edge", "wrap", "linear_ramp", "mean", "maximum", "minimum", "median")],
    *each("roll", draw_roll, grad=True), *each("flip", draw_flip, grad=True), *each("broadcast_to", draw_broadcast_to, grad=True),
    *each("squeeze", draw_squeeze, grad=True, symbolic=False), *each("expand_dims", draw_expand_dims, grad=True), *each("moveaxis", draw_moveaxis, grad=True),
    *each("swapaxes", draw_swapaxes, grad=True), *each("diagonal trace", draw_diagonal, grad=True), *each("tril triu", draw_band, grad=True),
    *each("diag", draw_diag, grad=True), *each("diagflat", one(), grad=True), *each("rot90", draw_rot90, grad=True),
    *each("ravel copy", draw_ravel, grad=True), *each("append", draw_append), *each("meshgrid", draw_meshgrid),
    *each("cast", draw_cast, reference=lambda x, dtype: x.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)),
    *each("full_like", draw_full_like, reference=None), *each("ones_like zeros_like", draw_like, reference=None),
    # ---- places
    *each("take", draw_take, grad=True), *each("take_along_axis", draw_take_along_axis, grad=True),
    *each("get_item", draw_item, reference=lambda x, key: x[key], grad=True),
    *each("get_item", draw_fancy, reference=lambda x, key: x[tuple(k.astype(int) if isinstance(k, np.ndarray) else k for k in key)], grad=True),
    *each("slice", draw_slice, reference=None, grad=True), *each("slice_update", draw_slice_update, reference=_slice_update, grad=True),
    *each("one_hot", draw_one_hot, reference=None), *each("segment_sum segment_prod segment_max segment_min", draw_segment, reference=None),
    *each("sort", along_axis(("float32", "int32", "int8", "uint8", "bool"))),
    *each("argsort", along_axis(("float32", "int32", "int8", "uint8", "bool")), reference=lambda x, axis: np.argsort(x, axis, kind="stable")), *each("top_k", draw_top_k, reference=None),
    *each("searchsorted", draw_searchsorted, symbolic=True), *each("bincount", draw_bincount, symbolic=False), *each("isin", draw_isin),
    *each("scatter", draw_scatter, reference=_scatter, grad=True, known=(0,)),
    *each("scatter_update", draw_scatter_update, reference=_scatter_update, known=(1,)),
    # ---- products
    *each("matmul", draw_matmul, grad=True, tol=3.0), *each("dot", draw_dot, grad=True, tol=3.0), *each("inner", draw_inner, tol=3.0),
    *each("outer", draw_outer), *each("kron", draw_kron), *each("vdot", draw_vdot, tol=3.0), *each("tensordot", draw_tensordot, grad=True, tol=3.0),
    *each("einsum", draw_einsum, grad=True, tol=3.0, symbolic=True), *each("cross", draw_cross, grad=True, symbolic=False), *each("norm", draw_norm, reference=None, tol=3.0),
    # ---- networks
    *each("softmax log_softmax", draw_unary_axis, reference=None, grad=True), *each("moments", draw_moments, reference=None, grad=True, tol=5.0),
    *each("normalize", draw_normalize, reference=None, grad=True), *each("batch_normalization", draw_batch_normalization, reference=None, grad=True),
    *each("layer_normalization rms_normalization", draw_layer_normalization, reference=None, tol=20.0),
    *each("conv", draw_conv, reference=None, grad=True, tol=3.0, known=(1,)), *each("depthwise_conv", draw_depthwise, reference=None, grad=True, tol=3.0, known=(1,)),
    *each("conv_transpose", draw_conv_transpose, reference=None, grad=True, known=(1,)), *each("max_pool average_pool", draw_pool, reference=None, grad=True),
    *[Property("ops.image.resize", draw_resize, reference=None, grad=True, tol=5.0)],
    # ---- signals, decompositions
    *each("fft", draw_fft, reference=None, tol=5.0, grad=True), *each("rfft", draw_rfft, reference=None, tol=5.0, grad=True),
    *each("extract_sequences", draw_sliding, reference=None, grad=True),
    *each("inv det slogdet", square(), reference=None, grad=True, tol=50.0, known=(0,)),
    *each("cholesky", square(True), reference=None, tol=50.0, known=(0,)), *each("solve", draw_solve, reference=None, grad=True, tol=50.0, known=(0, 1)),
]  # fmt: skip
NAMES = [f"{prop.name[4:]}-{i}" for i, prop in enumerate(PROPERTIES)]


@pytest.mark.parametrize("prop", PROPERTIES, ids=NAMES)
@hypothesis.settings(max_examples=EXAMPLES, phases=PHASES, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(data=st.data())
def test_property(prop, data):
    arguments = prop.draw(Draw(data, prop.special))
    hypothesis.note(f"arguments: {arguments}")
    check(prop, arguments)


@pytest.mark.parametrize("prop", [p for p in PROPERTIES if p.grad], ids=[n for p, n in zip(PROPERTIES, NAMES, strict=True) if p.grad])
@hypothesis.settings(max_examples=max(1, EXAMPLES // 2), phases=PHASES, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(data=st.data())
def test_gradient(prop, data):
    check_gradient(prop, prop.draw(Draw(data, special=False)))
