"""The gradient reader: walks remembered calls backwards. Three ways to ask for gradients, one walk behind them.

``y.backward()`` fills ``.grad``; ``GradientTape`` is TensorFlow's; ``grad``, ``value_and_grad``, ``jacobian`` and ``hessian``
turn functions into functions. Rules are written in ops, so a walk inside an open tape or transform can be differentiated again.
"""

import contextlib
import functools

from kerasish import tree
from kerasish.backend.arrays import active
from kerasish.backend.autodiff.dtypes import differentiable, numpy_dtype
from kerasish.backend.autodiff.op import Call, add, as_tensor, stack_rows, sum_to
from kerasish.backend.autodiff.state import next_order, setting, state
from kerasish.backend.autodiff.tensor import Tensor


def no_grad():
    """``with`` block in which calls are not remembered: no gradients, no memory held for them."""
    return setting(grad_enabled=False)


def enable_grad():
    """``with`` block in which calls are remembered, also inside ``no_grad``."""
    return setting(grad_enabled=True)


# ---- the walk
def _key(x):
    return id(x.token or x)


def _reachable(targets, first, last):
    """Calls behind the targets that were made between two moments, oldest first, and their outputs that are in use."""
    outputs, stack = {}, list(targets)
    while stack:
        y = stack.pop()
        call = y.call
        if call is None or not first <= call.order <= last:
            continue
        if call in outputs:
            outputs[call].setdefault(y.index, y)
        else:
            outputs[call] = {y.index: y}
            stack.extend(x for x in call.inputs if x.call is not None)
    return sorted(outputs, key=lambda call: call.order), outputs


def _calls_to_walk(calls, first, last, sources):
    """The calls that lead from the sources, or from any leaf where ``sources`` is None."""
    if sources is None:
        return set(calls)
    useful = set()
    for call in calls:
        if any(_key(x) in sources or x.call in useful for x in call.inputs):
            useful.add(call)
    return useful


def _output_gradient(call, grads, outputs):
    """What a rule gets as ``g`` and ``y``: tensors, or tuples of them where the op has several outputs."""
    if call.values is None:
        return grads[0], outputs[0]
    ys = tuple(outputs[i] if i in outputs else _revived(call, i) for i in range(len(call.values)))
    return tuple(grads.get(i) if i in grads else zeros(y.shape, y.dtype) for i, y in enumerate(ys)), ys


def _revived(call, index):
    """An output that nobody holds any more, made anew of its value."""
    y = call.values[index].alias()
    if differentiable(y.dtype):
        y.call, y.index, y.requires_grad = call, index, True
    return y


def zeros(shape, dtype):
    """A tensor of zeros that gradients don't go through."""
    return Tensor(active.xp.zeros(shape, numpy_dtype(dtype)), shape, dtype)


def ones(shape, dtype):
    """A tensor of ones that gradients don't go through."""
    return Tensor(active.xp.ones(shape, numpy_dtype(dtype)), shape, dtype)


def _input_gradients(call, g, y, wanted):
    """Pairs (input, its gradient) of one call, for the inputs that are wanted; broadcasting is undone here."""
    rules, inputs, attrs = call.op.grads, call.inputs, call.attrs
    if callable(rules):
        given = zip(inputs, rules(g, y, *inputs, **attrs), strict=True)
    else:
        given = ((x, rule(g, y, *inputs, **attrs)) for x, rule in zip(inputs, rules, strict=True) if rule and wanted(x))
    for x, gx in given:
        if gx is None or not wanted(x):
            continue
        if gx.shape != x.shape:
            gx = sum_to(gx, x.shape)
        yield x, gx


def walk(targets, target_gradients, sources=None, first=0, last=float("inf")):
    """Gradients of ``sum(target * its gradient)``: a dict from key of source (every leaf, for None) to (tensor, gradient)."""
    calls, outputs = _reachable(targets, first, last)
    useful = _calls_to_walk(calls, first, last, sources)
    pending, found = {}, {}

    def is_source(x):
        return x.call is None and x.requires_grad if sources is None else _key(x) in sources

    def wanted(x):
        return x.call in useful or is_source(x)

    def give(x, g):
        if is_source(x):
            key = _key(x)
            found[key] = (x, add(found[key][1], g) if key in found else g)
        if x.call in useful:
            at = pending.setdefault(x.call, {})
            at[x.index] = add(at[x.index], g) if x.index in at else g

    for y, g in zip(targets, target_gradients, strict=True):
        give(y, g)
    while calls:  # newest first; what a call held is let go as soon as it has been passed
        call = calls.pop()
        grads = pending.pop(call, None)
        if grads:
            for x, gx in _input_gradients(call, *_output_gradient(call, grads, outputs[call]), wanted):
                give(x, gx)
        del outputs[call]
    return found


def gradients(target, sources, output_gradients=None, first=0, last=float("inf"), unconnected="none"):
    """Gradients of the targets' sum with respect to each source, in the sources' structure; None where unconnected."""
    targets = [as_tensor(y) for y in tree.flatten(target)]
    if unconnected not in ("none", "zero"):
        raise ValueError(f"`unconnected_gradients` must be 'none' or 'zero'. Received: {unconnected!r}")
    given = [None] * len(targets) if output_gradients is None else tree.flatten(output_gradients)
    seeds = [_seed(y, g) for y, g in zip(targets, given, strict=True)]
    flat = [_leaf(x) for x in tree.flatten(sources)]
    with setting(grad_enabled=state.grad_depth > 0):
        found = walk(targets, seeds, {_key(x) for x in flat}, first, last)
    out = [found[_key(x)][1] if _key(x) in found else None for x in flat]
    if unconnected == "zero":
        out = [zeros(x.shape, x.dtype) if g is None else g for x, g in zip(flat, out, strict=True)]
    return tree.pack_sequence_as(sources, out)


def _seed(y, g):
    """The weight of each element of a target: ones where none are given."""
    if g is None:
        return ones(y.shape, y.dtype)
    g = as_tensor(g, y.dtype)
    if g.shape != y.shape:
        raise ValueError(f"The gradient of an output must have its shape {y.shape}. Received shape {g.shape}.")
    return g


def _leaf(x):
    """The tensor that gradients with respect to ``x`` arrive at: for a variable, the one that it holds."""
    if isinstance(x, Tensor):
        return x
    held = x._held() if hasattr(x, "_held") else None
    return x.value if held is None else held


def backward(self, gradient=None, create_graph=False):
    """Add to ``.grad`` of every leaf (Variables, tensors with ``requires_grad``) the gradient of this tensor.

    ``gradient``: weight of each element, ones by default for a tensor with one element. ``create_graph``: make the gradients
    differentiable themselves.

    >>> from kerasish import Variable
    >>> x = Variable(3.0)
    >>> (x * x).backward()
    >>> float(x.grad)
    6.0
    """
    if self.call is None and not self.requires_grad:
        raise ValueError("backward() on a tensor that depends on nothing that requires a gradient.")
    if gradient is None and self.size != 1:
        raise ValueError(f"backward() without `gradient` needs a tensor with one element. Received shape {self.shape}.")
    seed = _seed(self, gradient)
    with setting(grad_enabled=create_graph or state.grad_depth > 0):
        for x, g in walk([self], [seed]).values():
            if x.requires_grad:
                x.grad = g if x.grad is None else add(x.grad, g)


Tensor.backward = backward


# ---- GradientTape
class GradientTape:
    """Remembers the calls made in its block (``tf.GradientTape``): variables are watched by themselves, tensors by ``watch``.

    A tape that is not ``persistent`` gives gradients once. Tapes nest, for derivatives of higher order.

    >>> x = Tensor(3.0)
    >>> with GradientTape() as tape:
    ...     tape.watch(x)
    ...     y = x * x
    >>> float(tape.gradient(y, x))
    6.0
    """

    def __init__(self, persistent=False, watch_accessed_variables=True):
        self.persistent, self.watch_accessed_variables = persistent, watch_accessed_variables
        self._watched, self._variables, self._stack, self._used, self._first = {}, [], None, False, None

    def __enter__(self):
        if self._stack is not None:
            raise ValueError("Tape is already recording.")
        self._first = next_order()
        self._stack = contextlib.ExitStack()
        self._stack.enter_context(setting(grad_enabled=True, grad_depth=state.grad_depth + 1))
        return self

    def __exit__(self, *exc):
        stack, self._stack = self._stack, None
        self._last = next_order()
        for x, before in self._watched.values():
            x.requires_grad = before
        for variable in self._variables:
            variable._watch(False)
        stack.__exit__(*exc)

    def watch(self, tensor):
        """Watch a tensor, or a structure of them. Only float tensors have gradients."""
        for x in tree.flatten(tensor):
            leaf = _leaf(x)
            if not differentiable(leaf.dtype):
                raise ValueError(f"Only floating tensors can be watched. Received dtype {leaf.dtype}.")
            self._watched.setdefault(_key(leaf), (leaf, leaf.requires_grad))
            leaf.requires_grad = True
            if leaf is not x:  # a variable: what is assigned to it later is watched too
                x._watch(True)
                self._variables.append(x)

    @contextlib.contextmanager
    def stop_recording(self):
        """Block whose calls this tape does not remember."""
        with no_grad():
            yield

    def reset(self):
        """Forget everything remembered so far."""
        self._first, self._used = next_order(), False

    def watched_variables(self):
        """The leaves that were watched explicitly."""
        return tuple(x for x, _ in self._watched.values())

    def gradient(self, target, sources, output_gradients=None, unconnected_gradients="none"):
        """Gradient of the target's sum with respect to each source, in the sources' structure; None where unconnected."""
        self._use()
        out = gradients(target, sources, output_gradients, self._first, self._until(), unconnected_gradients)
        if self.watch_accessed_variables:
            return out
        known = [g if _key(_leaf(x)) in self._watched else None for x, g in zip(tree.flatten(sources), tree.flatten(out), strict=True)]
        return tree.pack_sequence_as(sources, known)

    def jacobian(self, target, sources, unconnected_gradients="none"):
        """All derivatives: for each source a tensor of shape ``target.shape + source.shape``."""
        self._use()
        return _jacobian_of(target, sources, self._first, self._until(), unconnected_gradients)

    def batch_jacobian(self, target, source, unconnected_gradients="none"):
        """Derivatives example by example: shape ``(batch, *target.shape[1:], *source.shape[1:])``."""
        self._use()
        full = _jacobian_of(target, source, self._first, self._until(), "zero")
        i = active.xp.arange(target.shape[0])
        return full[(i, *[slice(None)] * (target.ndim - 1), i)]

    def _use(self):
        if self._first is None:
            raise RuntimeError("The tape has recorded nothing: compute inside `with tape:` first.")
        if self._used and not self.persistent:
            raise RuntimeError("A non-persistent GradientTape can only be used to compute one set of gradients (or jacobians)")
        self._used = True

    def _until(self):
        return self._last if self._stack is None else float("inf")


def _jacobian_of(target, sources, first=0, last=float("inf"), unconnected="none"):
    """One walk for each element of the target."""
    target = as_tensor(target)
    rows = []
    for i in range(target.size):
        seed = active.xp.zeros(target.size, numpy_dtype(target.dtype))
        seed[i] = 1
        seed = Tensor(seed.reshape(target.shape), target.shape, target.dtype)
        rows.append(tree.flatten(gradients(target, sources, seed, first, last, unconnected)))
    columns = []
    for j, x in enumerate(tree.flatten(sources)):
        column = [row[j] for row in rows]
        columns.append(None if column[0] is None and all(g is None for g in column) else _stacked(column, target.shape, _leaf(x)))
    return tree.pack_sequence_as(sources, columns)


def _stacked(rows, shape, x):
    rows = [zeros(x.shape, x.dtype) if g is None else g for g in rows]
    with setting(grad_enabled=state.grad_depth > 0):
        return stack_rows(*rows).reshape((*shape, *x.shape))


# ---- functions of functions
def value_and_grad(f, argnums=0, has_aux=False):
    """Function that gives ``f``'s value and its gradients with respect to the arguments ``argnums`` (JAX's ``value_and_grad``).

    ``f`` must return a tensor with one element, or with ``has_aux`` a pair of that and anything else. An argument may be a
    Variable, a tensor, or a structure of them.

    >>> value, slope = value_and_grad(lambda x: x * x)(3.0)
    >>> float(value), float(slope)
    (9.0, 6.0)
    """

    @functools.wraps(f)
    def wrapped(*args, **kwargs):
        result, chosen, first = _on_watched(f, argnums, args, kwargs)
        y = as_tensor(result[0] if has_aux else result)
        if y.size != 1:
            raise ValueError(f"grad needs a function with one number as its value. Received shape {y.shape}: see `jacobian`.")
        slopes = gradients(y, chosen, first=first, unconnected="zero")  # one walk for all of them
        return result, slopes[0] if isinstance(argnums, int) else tuple(slopes)

    return wrapped


def _positions(argnums, args):
    """Which arguments are differentiated, as numbers from 0."""
    chosen = [argnums] if isinstance(argnums, int) else list(argnums)
    for i in chosen:
        if not -len(args) <= i < len(args):
            raise ValueError(f"argnums={argnums} is out of range: the function was called with {len(args)} positional arguments.")
    return [i % len(args) for i in chosen]


def _on_watched(f, argnums, args, kwargs):
    """``f``'s result, the watched arguments that it was given for ``argnums``, and the first call that counts."""
    chosen, first = _positions(argnums, args), next_order()
    with contextlib.ExitStack() as stack:
        stack.enter_context(setting(grad_enabled=True, grad_depth=state.grad_depth + 1))
        args = [_watched(arg, stack) if i in chosen else arg for i, arg in enumerate(args)]
        result = f(*args, **kwargs)
    return result, [args[i] for i in chosen], first


def _watched(arg, stack):
    """The argument as fresh leaves: the same values, connected to what they were made of. Nested numbers are one tensor.

    Variables stay themselves, and are watched until the stack unwinds, also those that are not trainable.
    """
    if isinstance(arg, (list, tuple)) and not any(hasattr(leaf, "shape") for leaf in tree.flatten(arg)):
        return _fresh(arg)

    def watched(x):
        if not hasattr(x, "assign"):
            return _fresh(x)
        stack.callback(x._watch, x._watched)
        x._watch(True)
        return x

    return tree.map_structure(watched, arg)


def _fresh(x):
    x = as_tensor(x)
    if not differentiable(x.dtype):
        raise TypeError(f"Gradients exist only with respect to floating tensors. Received dtype {x.dtype}.")
    if x.call is None and not x.requires_grad:
        y = x.alias()
    else:
        y = identity(x)
    y.requires_grad = True
    return y


def identity(x):
    """A new tensor with the value of ``x``, through which gradients pass."""
    y = x.alias()
    y.call, y.requires_grad = Call(_Identity, [x], {}), True
    return y


class _Identity:
    grads = (lambda g, y, x: g,)


def grad(f, argnums=0, has_aux=False):
    """Function that gives the gradient of ``f`` (JAX's ``grad``); apply it again for higher orders.

    >>> third = grad(grad(grad(lambda x: x ** 4.0)))
    >>> float(third(2.0))
    48.0
    """

    @functools.wraps(f)
    def wrapped(*args, **kwargs):
        value, slopes = value_and_grad(f, argnums, has_aux)(*args, **kwargs)
        return (slopes, value[1]) if has_aux else slopes

    return wrapped


def jacobian(f, argnums=0):
    """Function that gives all derivatives of ``f``: a tensor of shape ``f(x).shape + x.shape`` for each argument.

    >>> jacobian(lambda x: x * x)([1.0, 2.0]).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """

    @functools.wraps(f)
    def wrapped(*args, **kwargs):
        result, chosen, first = _on_watched(f, argnums, args, kwargs)
        y = as_tensor(result)
        out = [_jacobian_of(y, arg, first, unconnected="zero") for arg in chosen]
        return out[0] if isinstance(argnums, int) else tuple(out)

    return wrapped


def hessian(f, argnums=0):
    """Function that gives the second derivatives of ``f``, whose value is one number: shape ``x.shape + x.shape``.

    >>> hessian(lambda x: x[0] * x[0] * x[1])([1.0, 2.0]).tolist()
    [[4.0, 2.0], [2.0, 0.0]]
    """
    return jacobian(grad(f, argnums), argnums)


# ---- gradients of one's own
def stop_gradient(variable):
    """The value as a constant: gradients end here (``keras.ops.stop_gradient``)."""
    return as_tensor(variable).alias()


def custom_gradient(f):
    """Decorator for a function that returns ``(value, rule)``: ``rule(upstream)`` gives its inputs' gradients (``keras.ops``).

    >>> @custom_gradient
    ... def clipped(x):
    ...     return x, lambda upstream: upstream * 0.5
    >>> float(grad(clipped)(1.0))
    0.5
    """

    @functools.wraps(f)
    def wrapped(*args, **kwargs):
        inputs = [as_tensor(x) for x in args]
        if any(isinstance(x, Tensor) for x in kwargs.values()):
            raise TypeError("custom_gradient: pass tensors by position, so that their gradients have a place in the rule's result.")
        if state.grad_depth:  # what the rule uses may itself be differentiated
            result, rule = f(*inputs, **kwargs)
        else:
            with no_grad():
                result, rule = f(*[stop_gradient(x) for x in inputs], **kwargs)
        outputs = [stop_gradient(y) for y in tree.flatten(result)]
        if state.grad_enabled and any(x.requires_grad for x in inputs):
            values = None if len(outputs) == 1 else [y.alias() for y in outputs]
            call = Call(_Custom(rule), inputs, {}, values)
            for i, y in enumerate(outputs):
                if differentiable(y.dtype):
                    y.call, y.index, y.requires_grad = call, i, True
        return tree.pack_sequence_as(result, outputs)

    return wrapped


class _Custom:
    """The op of a call whose gradient rule came from ``custom_gradient``."""

    def __init__(self, rule):
        def grads(g, y, *inputs):
            out = rule(*(g if isinstance(g, tuple) else (g,)))
            out = out if isinstance(out, (tuple, list)) else [out]
            if len(out) != len(inputs):
                raise ValueError(f"custom_gradient: the rule gave {len(out)} gradients for {len(inputs)} inputs.")
            return [None if gx is None else as_tensor(gx, x.dtype) for gx, x in zip(out, inputs, strict=True)]

        self.grads = grads
