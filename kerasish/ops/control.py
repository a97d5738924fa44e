"""Control flow, and functions applied slice by slice. Gradients run through the calls that were made.

A branch or the number of turns of a loop needs a value. Where there is none,

- a recorded step has one call that holds the branches or the loop's body (``parts.py``);
- shapes are found by running all branches and choosing from their results, or the body of a ``while_loop`` once, whose result
  refuses to have a value.
"""

import builtins
import functools
import math
import re

import numpy as np

from kerasish import tree
from kerasish.backend.autodiff import gradient
from kerasish.backend.autodiff.dtypes import differentiable
from kerasish.backend.autodiff.op import as_tensor, composite, op
from kerasish.backend.autodiff.state import state
from kerasish.backend.autodiff.tensor import NoValueError, Tensor
from kerasish.ops import parts
from kerasish.ops.core import cast
from kerasish.ops.creation import arange, zeros_like
from kerasish.ops.elementwise import choose
from kerasish.ops.parts import as_tensors
from kerasish.ops.shaping import broadcast_to, concatenate, expand_dims, flip, reshape, stack, unstack

__all__ = ["associative_scan", "cond", "fori_loop", "jvp", "map", "scan", "switch", "vectorize", "vectorized_map", "while_loop"]

_FEW = 3  # turns that a recording holds one by one


# ---- branches
def _chosen(what, number, outcomes):
    """From the outcomes of all branches that of the one with the given number, chosen element by element."""
    outcomes = [as_tensors(outcome) for outcome in outcomes]
    for other in outcomes[1:]:
        try:
            tree.assert_same_structure(outcomes[0], other)
            kinds = [[None if x is None else (x.shape, x.dtype) for x in tree.flatten(y)] for y in (outcomes[0], other)]
            same = kinds[0] == kinds[1]
        except (ValueError, TypeError):
            same = False
        if not same:
            raise ValueError(f"{what} should give outputs of the same kind: structure, dtype and shape. Got {outcomes[0]} and {other}.")
    chosen = outcomes[-1]
    for i, outcome in builtins.reversed(list(enumerate(outcomes[:-1]))):
        chosen = tree.map_structure(lambda a, b, i=i: a if a is None else choose(number <= i, a, b), outcome, chosen)
    return chosen


@composite(module="ops.core", inputs=["pred", "true_fn", "false_fn"])
def cond(pred, true_fn, false_fn):
    """What ``true_fn()`` or ``false_fn()`` returns, as ``pred`` says (``keras.ops.cond``).

    >>> float(cond(2 > 1, lambda: 1.0, lambda: 0.0))
    1.0
    """
    pred = as_tensor(pred)
    if pred.value is not None:
        return as_tensors(true_fn() if pred else false_fn())
    what = "`true_fn` and `false_fn`"
    if state.recording is not None:
        return parts.switch(cast(parts.as_condition(pred), "int32"), [false_fn, true_fn], what)
    return _chosen(what, 1 - cast(pred, "int32"), [true_fn(), false_fn()])


@composite(module="ops.core", inputs=["index", "branches", "operands"])
def switch(index, branches, *operands):
    """What the branch with the given number returns for the operands; the first or last beyond the ends (``keras.ops.switch``).

    >>> float(switch(1, [lambda x: x, lambda x: -x], 3.0))
    -3.0
    """
    index = as_tensor(index)
    operands = as_tensors(operands)
    if index.value is not None:
        return as_tensors(branches[builtins.min(builtins.max(int(index), 0), len(branches) - 1)](*operands))
    if state.recording is not None:
        return parts.switch(reshape(index, ()), [functools.partial(branch, *operands) for branch in branches], "All branches")
    return _chosen("All branches", index, [branch(*operands) for branch in branches])


# ---- loops
@op(
    lambda *shapes, spec: [shape for shape, _ in spec],
    lambda g, y, *xs, spec: [None] * len(xs),
    lambda dtypes, attrs: ((None,) * len(dtypes), [dtype for _, dtype in attrs["spec"]]),
)
def _after_loop(xp, *values, spec):
    """What a loop of unknown length leaves: shapes and dtypes."""
    raise NoValueError("How often a while_loop runs depends on a value: it cannot be part of a recorded step. Run eagerly.")


@composite(module="ops.core", inputs=["loop_vars"])
def while_loop(cond, body, loop_vars, maximum_iterations=None):
    """``body`` applied to the variables again and again while ``cond`` of them holds (``keras.ops.while_loop``).

    A tuple or list of variables is passed as separate arguments. Shapes and dtypes must stay as they are.

    >>> int(while_loop(lambda i: i < 10, lambda i: i + 3, 0))
    12
    """
    several = isinstance(loop_vars, (tuple, list))
    values = tuple(as_tensors(loop_vars)) if several else (as_tensors(loop_vars),)
    turns = 0
    while maximum_iterations is None or turns < maximum_iterations:
        go_on = as_tensor(cond(*values))
        if go_on.value is None:
            most = None if maximum_iterations is None else int(maximum_iterations) - turns
            recorded = state.recording is not None
            values = _recorded_turns(go_on, cond, body, values, several, most) if recorded else _unknown_turns(body, values, several)
            break
        if not go_on:
            break
        values = _turned(body, values, several)
        turns += 1
    return values if several else values[0]


def _turned(body, values, several):
    out = body(*values)
    out = as_tensors(tuple(out) if several and isinstance(out, (tuple, list)) else (out,))
    tree.assert_same_structure(values, out)
    return out


def _unknown_turns(body, values, several):
    after = tree.flatten(_turned(body, values, several))
    spec = tuple((_common(x.shape, y.shape), y.dtype) for x, y in zip(tree.flatten(values), after, strict=True))
    return tree.pack_sequence_as(values, _after_loop(*tree.flatten(values), spec=spec))


def _recorded_turns(go_on, cond, body, values, several, most):
    def turn(*values):
        values, written = _turned(body, values, several), state.recording.trace.writes
        before, go_on = dict(written), cond(*values)
        if most is not None and written != before:  # it runs once more than eagerly, where the last turn is the last allowed
            raise NoValueError("The condition of a recorded while_loop with `maximum_iterations` can't assign variables.")
        return values, go_on

    return parts.repeat(parts.as_condition(go_on), turn, values, most)


def _common(shape, other):
    """Sizes that a turn changes are unknown."""
    if len(shape) != len(other):
        raise ValueError(f"while_loop: the body must not change a variable's rank. Received shapes {shape} and {other}.")
    return tuple(m if m == n else None for m, n in zip(shape, other, strict=True))


@composite(module="ops.core", inputs=["init_val"])
def fori_loop(lower, upper, body_fun, init_val):
    """``body_fun(i, value)`` applied for ``i`` from ``lower`` up to, without, ``upper`` (``keras.ops.fori_loop``).

    >>> int(fori_loop(0, 4, lambda i, total: total + i, 0))
    6
    """
    lower, upper, value = as_tensor(lower), as_tensor(upper), as_tensors(init_val)
    if lower.value is None or upper.value is None:
        return while_loop(lambda i, _: i < upper, lambda i, v: (i + 1, body_fun(i, v)), (lower, value))[1]
    if state.recording is not None and int(upper) - int(lower) > _FEW:
        return scan(lambda v, i: (body_fun(i, v), None), value, arange(int(lower), int(upper), dtype="int32"))[0]
    for i in builtins.range(int(lower), int(upper)):
        value = as_tensors(body_fun(as_tensor(i), value))
    return value


def _length(structure, length=None):
    """Common size of the first axes, None where unknown."""
    sizes = {x.shape[0] for x in tree.flatten(structure) if x is not None and x.shape}
    sizes = {n for n in sizes if n is not None} or sizes
    if length is not None:
        sizes.add(int(length))
    if len(sizes - {None}) > 1:
        raise ValueError(f"The first axes must have the same size, and that of `length`. Received sizes {sorted(sizes)}.")
    return (sizes - {None} or {None}).pop()


def _slices(structure, n):
    """The structure at each place of the first axis."""
    if n == 0:
        return []
    columns = [None if x is None else unstack(x, num=n) for x in tree.flatten(structure)]
    return [tree.pack_sequence_as(structure, [c if c is None else c[i] for c in columns]) for i in builtins.range(n)]


def _like_a_slice(structure):
    """Tensors of a slice's shape, without values: to find out shapes where there is no slice."""
    return tree.map_structure(lambda x: None if x is None else Tensor(None, x.shape[1:], x.dtype), structure)


def _stacked(outputs):
    """A list of equal structures as one structure of stacked tensors."""
    return tree.map_structure(lambda *parts: None if parts[0] is None else stack(parts), *outputs)


def _repeated(output, n):
    """A structure with a new first axis of size ``n``: what stacking slices would give, were there any."""

    def spread(x):
        if x is None:
            return None
        return broadcast_to(expand_dims(x, 0), (n, *x.shape)) if n is None else gradient.zeros((n, *x.shape), x.dtype)

    return tree.map_structure(spread, output)


@composite(module="ops.core", inputs=["f", "init", "xs"])
def scan(f, init, xs=None, length=None, reverse=False, unroll=1):
    """``f(carry, x) -> (carry, y)`` along the first axis of ``xs``: the last carry and the stacked ``y`` (``keras.ops.scan``).

    ``length`` is needed where there is no ``xs``. ``reverse`` goes from the end. ``unroll`` (a positive int or a bool) is for
    compilers: eagerly every turn is a call of its own anyway, and a recorded step has one call for all but the first.

    >>> carry, ys = scan(lambda c, x: (c + x, c * x), 0, as_tensor([1, 2, 3]))
    >>> int(carry), ys.tolist()
    (6, [0, 2, 9])
    """
    if not isinstance(unroll, bool) and (not isinstance(unroll, int) or unroll < 1):
        raise ValueError(f"`unroll` must be an positive integer or boolean. Got {unroll}")
    if xs is None and length is None:
        raise ValueError("Got no `xs` to scan over and no `length`.")
    carry, xs = as_tensors(init), as_tensors(xs)
    n = _length(xs, length)
    if not n:
        one = _like_a_slice(xs)
        after, y = f(carry, one) if state.recording is None else parts.try_out(f, carry, one)
        return carry if n == 0 else as_tensors(after), _repeated(as_tensors(y), n)
    return (_turn_by_turn if state.recording is None or n <= _FEW else _recorded_loop)(f, carry, xs, n, reverse)


def _turn_by_turn(f, carry, xs, n, reverse):
    slices, ys = _slices(xs, n) if xs is not None else [None] * n, []
    for x in builtins.reversed(slices) if reverse else slices:
        carry, y = f(carry, x)
        ys.append(as_tensors(y))
    return as_tensors(carry), _stacked(ys[::-1] if reverse else ys)


def _recorded_loop(f, carry, xs, n, reverse):
    """The first turn as any other code: what is made there once, such as weights or a dropout mask, is there for the loop of the rest."""
    one, rest = (n - 1, builtins.slice(n - 1)) if reverse else (0, builtins.slice(1, None))
    first, others = [tree.map_structure(lambda x, at=at: None if x is None else x[at], xs) for at in (one, rest)]
    carry, y = as_tensors(f(carry, first))
    try:
        loop = parts.loop(f, carry, others, n - 1, reverse)
    except NoValueError:  # turns of different kinds, or a body that wants to know which turn it is
        loop = None
    carry, ys = loop or _turn_by_turn(f, carry, others, n - 1, reverse)

    def joined(y, ys):
        return None if y is None else concatenate([ys, expand_dims(y, 0)] if reverse else [expand_dims(y, 0), ys])

    return carry, tree.map_structure(joined, y, ys)


@composite(module="ops.core", inputs=["f", "xs"])
def map(f, xs):
    """``f`` of each slice along the first axis, the results stacked (``keras.ops.map``).

    >>> map(lambda x: x * x, as_tensor([1, 2, 3])).tolist()
    [1, 4, 9]
    """
    return scan(lambda _, x: (None, f(x)), None, xs)[1]


@composite(module="ops.core", inputs=["elements"])
def vectorized_map(function, elements):
    """The same as :func:`map`, for functions of a structure of tensors as well (``keras.ops.vectorized_map``).

    >>> vectorized_map(lambda pair: pair[0] + pair[1], [as_tensor([1, 2]), as_tensor([3, 4])]).tolist()
    [4, 6]
    """
    return map(function, elements)


@composite(module="ops.core", inputs=["f", "elems"])
def associative_scan(f, elems, reverse=False, axis=0):
    """All partial results of an associative ``f`` along an axis: ``[a, f(a, b), f(f(a, b), c), ...]`` (``keras.ops``).

    ``f`` is called on whole slices, about twice the logarithm of the size times (Blelloch 1990).

    >>> associative_scan(lambda a, b: a + b, as_tensor([1, 2, 3, 4])).tolist()
    [1, 3, 6, 10]
    """
    elems = as_tensors(elems)
    flat = tree.flatten(elems)
    sizes = {x.shape[axis] for x in flat}
    if len(sizes - {None}) > 1:
        raise ValueError(f"associative_scan: sizes on axis {axis} must be the same size. Received: {sorted(sizes - {None})}")
    if reverse:
        flat = [flip(x, axis) for x in flat]

    def combine(a, b):
        return tree.flatten(as_tensors(f(tree.pack_sequence_as(elems, a), tree.pack_sequence_as(elems, b))))

    out = combine(flat, flat) if sizes == {None} else _prefixes(combine, flat, axis)
    return tree.pack_sequence_as(elems, [flip(x, axis) for x in out] if reverse else out)


def _prefixes(combine, xs, axis):
    """Pairs are combined, their prefixes found in the same way, and the places between filled in."""
    n = xs[0].shape[axis]
    if n < 2:
        return xs

    def part(xs, *bounds):
        return [x[(builtins.slice(None),) * (axis % x.ndim) + (builtins.slice(*bounds),)] for x in xs]

    odd = _prefixes(combine, combine(part(xs, 0, n - 1, 2), part(xs, 1, None, 2)), axis)
    if n == 2:
        even = part(xs, 0, 1)
    else:
        between = combine(part(odd, 0, (n - 1) // 2), part(xs, 2, None, 2))
        even = [concatenate(pair, axis) for pair in zip(part(xs, 0, 1), between, strict=True)]
    return [_interleaved(a, b, axis) for a, b in zip(even, odd, strict=True)]


def _interleaved(even, odd, axis):
    """Slices of both in turn; ``even`` has as many or one more."""
    axis %= even.ndim
    n = odd.shape[axis]
    paired = stack([even[(builtins.slice(None),) * axis + (builtins.slice(n),)], odd], axis + 1)
    joined = reshape(paired, (*odd.shape[:axis], 2 * n, *odd.shape[axis + 1 :]))
    if even.shape[axis] == n:
        return joined
    return concatenate([joined, even[(builtins.slice(None),) * axis + (builtins.slice(n, None),)]], axis)


# ---- derivatives along a direction
def _directions(primals, tangents):
    """Both as tensors, fresh ones of the first; ValueError where they don't fit."""
    primals = [tree.map_structure(lambda x: gradient.identity(as_tensor(x)), x) for x in primals]
    tangents = [tree.map_structure(as_tensor, x) for x in tangents]
    xs, vs = tree.flatten(primals), tree.flatten(tangents)
    if len(xs) != len(vs) or any(x.shape != v.shape for x, v in zip(xs, vs, strict=True)):
        raise ValueError(
            f"jvp: `tangents` must have the structure and the shapes of `primals`. Received shapes {[v.shape for v in vs]} and "
            f"{[x.shape for x in xs]}"
        )
    return primals, [as_tensor(v, x.dtype) for v, x in zip(vs, xs, strict=True)]


@composite(module="ops.linalg", class_name="JVP", inputs=["fun", "primals", "tangents"])
def jvp(fun, primals, tangents, has_aux=False):
    """Value of a function and its derivative along a direction: ``(fun(*primals), tangents_out)`` (``keras.ops.jvp``).

    ``primals`` and ``tangents``: lists or tuples of arguments, tensors or structures of them. With ``has_aux`` the function returns a
    pair, of which the second part is handed back third. Two walks backwards make one forwards: what a walk gives is linear in the
    weights of the outputs, so that its slope by them is the derivative.

    >>> [float(y) for y in jvp(lambda x: x * x, [3.0], [1.0])]
    [9.0, 6.0]
    """
    if not isinstance(primals, (list, tuple)) or not isinstance(tangents, (list, tuple)):
        raise TypeError(f"jvp: `primals` and `tangents` must be lists or tuples. Received: {type(primals)} and {type(tangents)}")
    xs, directions = _directions(primals, tangents)
    with gradient.GradientTape() as outer:
        with gradient.GradientTape() as inner:
            inner.watch(xs)
            result = fun(*xs)
        out, aux = result if has_aux else (result, None)
        out = as_tensors(out)
        targets = [y for y in tree.flatten(out) if differentiable(y.dtype)]
        weights = [gradient.stop_gradient(y) for y in targets]  # their values make no difference
        outer.watch(weights)
        slopes = tree.flatten(inner.gradient(targets, xs, weights))
    pairs = [(slope, v) for slope, v in zip(slopes, directions, strict=True) if slope is not None]
    found = outer.gradient([slope for slope, _ in pairs], weights, [v for _, v in pairs])
    found = iter(zip(weights, found, strict=True))

    def tangent(y):
        weight, slope = next(found) if differentiable(y.dtype) else (y, None)
        return zeros_like(weight) if slope is None else slope

    tangents_out = tree.map_structure(tangent, out)
    return (out, tangents_out, aux) if has_aux else (out, tangents_out)


# ---- functions of scalars, or of small tensors, on larger ones
_TUPLES = re.compile(r"\(([^()]*)\)")


def _signature(signature):
    """``"(m,n),(n)->(m)"`` as lists of the names of the inputs' and the outputs' axes."""
    left, arrow, right = signature.replace(" ", "").partition("->")
    sides = [[[n for n in names.split(",") if n] for names in _TUPLES.findall(side)] for side in (left, right)]
    written = [",".join(f"({','.join(names)})" for names in side) for side in sides]
    if not arrow or written != [left, right]:
        raise ValueError(f"Not a valid signature: {signature!r}. Expected one like '(m,n),(n)->(m)'.")
    return sides


def vectorize(pyfunc, *, excluded=None, signature=None):
    """The function applied to each element of its (broadcast) arguments (``keras.ops.vectorize``).

    ``signature`` such as ``"(m,n),(n)->(m)"`` names the last axes that ``pyfunc`` gets whole. ``excluded``: numbers of
    arguments that are passed on as they are.

    >>> vectorize(lambda a, b: a + b)([1, 2, 3], 2).tolist()
    [3, 4, 5]
    """
    if not callable(pyfunc):
        raise ValueError(f"`pyfunc` is not callable: {pyfunc}")
    core, results = _signature(signature) if signature is not None else (None, None)
    excluded = set(excluded or ())

    @functools.wraps(pyfunc)
    def wrapped(*args, **kwargs):
        places = [i for i, x in enumerate(args) if i not in excluded and x is not None]
        xs = [as_tensor(args[i]) for i in places]
        names = core if core is not None else [[]] * len(xs)
        if len(names) != len(xs):
            raise ValueError(f"vectorize: the signature {signature!r} has {len(names)} arguments, {len(xs)} were given.")
        sizes = {}
        for x, axes in zip(xs, names, strict=True):
            if x.ndim < len(axes):
                raise ValueError(f"vectorize: an argument of shape {x.shape} has not the axes {axes} of {signature!r}.")
            for name, n in zip(axes, x.shape[x.ndim - len(axes) :], strict=True):
                if sizes.setdefault(name, n) != n:
                    raise ValueError(f"vectorize: axis {name!r} of {signature!r} has sizes {sizes[name]} and {n}.")
        loops = np.broadcast_shapes(*[x.shape[: x.ndim - len(axes)] for x, axes in zip(xs, names, strict=True)])
        rows = [_rows(x, loops, len(axes)) for x, axes in zip(xs, names, strict=True)]

        def one(slices):
            given = list(args)
            for i, x in zip(places, slices, strict=True):
                given[i] = x
            y = as_tensors(pyfunc(*given, **kwargs))
            if results is not None:
                _check_results(y, results, sizes, signature)
            return y

        out = map(one, rows)
        return tree.map_structure(lambda y: reshape(y, (*loops, *y.shape[1:])), out)

    return wrapped


def _rows(x, loops, rank):
    """All axes that are looped over in one, behind it the last ``rank`` axes."""
    core = x.shape[x.ndim - rank :]
    return reshape(broadcast_to(x, (*loops, *core)), (math.prod(loops), *core))


def _check_results(y, results, sizes, signature):
    ys = y if isinstance(y, (tuple, list)) else [y]
    if len(ys) != len(results):
        raise ValueError(f"vectorize: the function gave {len(ys)} outputs, {signature!r} names {len(results)}.")
    for part, axes in zip(ys, results, strict=True):
        if part.ndim != len(axes) or any(sizes.setdefault(name, n) != n for name, n in zip(axes, part.shape, strict=True)):
            raise ValueError(f"vectorize: an output of shape {part.shape} does not fit the axes {axes} of {signature!r}.")
