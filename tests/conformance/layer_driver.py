"""Rows of the tables of layers and the checks that each row buys.

A row names a layer, says how to make it and what to call it on. ``test_layers.py`` collects ``ROWS`` of ``layer_rows.py`` and of
every ``layers_<family>.py`` beside it and compares each configuration with real Keras on JAX::

    from tests.conformance.layer_driver import A, config, layer_row, make

    ROWS = [
        layer_row("Dense", config(3, activation="relu"), config(3, use_bias=False), inputs=[A(2, 5)]),
        layer_row("Add", config(), inputs=[[A(2, 5), A(2, 5)]]),                  # the first argument is a list of tensors
        layer_row("BatchNormalization", config(), inputs=[A(4, 3)], training=(False, True), weights=(0.5, 1.5)),
        layer_row("Dropout", config(0.5, seed=1), inputs=[A(2, 5)], random=[A(200, 50, low=0.5)]),
        layer_row("LSTM", config(3), config(3, go_backwards=True).but(masks=[A(2, 4, dtype="bool")]), inputs=[A(2, 4, 5)]),
        layer_row("Attention", config(), inputs=[[A(2, 3, 4), A(2, 5, 4)]], call={"use_causal_mask": True}),
        layer_row("Bidirectional", config(make("layers.LSTM", 3)), inputs=[A(2, 4, 5)]),
    ]

``config(*args, **kwargs)`` are the constructor's arguments; ``make("regularizers.L2", 0.1)`` among them (or in ``call``) stands
for an object that each library makes of its own. ``config(...).but(**options)`` changes options of the row for one configuration.

Options: ``inputs`` positional arguments of the call, in which each ``A(...)`` is a random array; ``call`` its keyword arguments;
``masks`` one ``A(..., dtype="bool")`` (or None) for each array in ``inputs``, attached to it; ``training`` the values of that
argument under which output, gradients and state must equal Keras's (None = not passed); ``random`` inputs for a layer that is
random in training: its output must have Keras's statistics there; ``weights=(low, high)`` the range of random weights, or None
to take over Keras's initial ones; ``tol``; ``grad``, ``half``, ``strict``, ``empty``, ``symbolic``, ``json`` (False leaves that
check out: gradients, float16 policies, strict arrays, batch of zero, KerasTensors with unknown batch, config);
``unknown`` further axes that are unknown in the symbolic call, for example ``unknown=(1,)``; ``finer=True`` where our shape
rule may know sizes that Keras leaves unknown; ``jit=False`` for a layer of Keras's that JAX can't compile;
``steps`` how many calls are made under each ``training`` before state is compared.
"""

import contextlib
import dataclasses
import functools
import inspect
import json
import typing
import warnings
from unittest import mock

import numpy as np

import kerasish
import kerasish.layers
from kerasish import tree
from kerasish.backend import arrays
from kerasish.backend.autodiff.state import clear_session
from kerasish.backend.autodiff.tensor import KerasTensor, Tensor
from kerasish.saveable import serialize_keras_object
from tests.conformance.driver import A, close, lookup
from tests.conformance.strict import StrictArrays

__all__ = ["A", "config", "layer_row", "make"]


@dataclasses.dataclass
class Made:
    """An object that each library makes of its own."""

    name: str
    args: tuple
    kwargs: dict


def make(name, /, *args, **kwargs):
    return Made(name, args, kwargs)


@dataclasses.dataclass
class Config:
    args: tuple
    kwargs: dict
    options: dict

    def but(self, **options):
        return Config(self.args, self.kwargs, {**self.options, **options})


def config(*args, **kwargs):
    return Config(args, kwargs, {})


@dataclasses.dataclass(eq=False)
class Case:
    """One configuration of a row, with all options."""

    name: str
    config: Config
    inputs: typing.Sequence
    call: dict = dataclasses.field(default_factory=dict)
    masks: typing.Sequence = None
    training: typing.Sequence = (None,)
    random: typing.Sequence = None
    weights: tuple = (-0.7, 0.7)
    tol: float = 1e-5
    grad: bool = True
    half: bool = True
    strict: bool = True
    empty: bool = True
    symbolic: bool = True
    json: bool = True
    unknown: tuple = ()
    finer: bool = False
    jit: bool = True
    steps: int = 1


def layer_row(name, *configs, inputs, **options):
    """The cases of one row."""
    return [Case(name, c, **{"inputs": inputs, **options, **c.options}) for c in configs]


# ---- the same thing in both libraries
@functools.cache
def real_keras():
    import keras

    return keras


class Keras:
    """Real Keras."""

    root = property(lambda self: real_keras())

    def clear(self):
        self.root.utils.clear_session(free_memory=False)

    def tensor(self, array, mask=None):
        x = self.root.ops.convert_to_tensor(array)
        if mask is not None:
            self.set_mask(x, self.root.ops.convert_to_tensor(mask))
        return x

    def set_mask(self, x, mask):
        self.root.src.backend.set_keras_mask(x, mask)

    def mask_of(self, x):
        return self.root.src.backend.get_keras_mask(x)

    def values(self, variables):
        return [np.asarray(v.value) for v in variables]

    def symbolic(self, shape, dtype, mask):
        x = self.root.KerasTensor(shape, dtype)
        if mask is not None:
            self.set_mask(x, self.root.KerasTensor(mask, "bool"))
        return x

    def serialize(self, layer):
        return self.root.saving.serialize_keras_object(layer)

    def is_tensor(self, x):
        return hasattr(x, "dtype") and hasattr(x, "shape")

    numpy = staticmethod(np.asarray)


class Ours(Keras):
    """kerasish."""

    root = kerasish

    def clear(self):
        clear_session()

    def tensor(self, array, mask=None):
        x = Tensor(array)
        if mask is not None:
            self.set_mask(x, Tensor(mask))
        return x

    def set_mask(self, x, mask):
        x._keras_mask = mask

    def mask_of(self, x):
        return getattr(x, "_keras_mask", None)

    def values(self, variables):
        return [v.numpy() for v in variables]

    def symbolic(self, shape, dtype, mask):
        x = KerasTensor(shape, dtype)
        if mask is not None:
            self.set_mask(x, KerasTensor(mask, "bool"))
        return x

    def serialize(self, layer):
        return serialize_keras_object(layer)

    def numpy(self, x):
        return x.numpy()


THEIRS, OURS = Keras(), Ours()


def resolve(library, value):
    """The value with everything in it that is ``make(...)`` made."""
    if isinstance(value, Made):
        return lookup(library.root, value.name)(*resolve(library, value.args), **resolve(library, value.kwargs))
    if isinstance(value, (list, tuple)):
        return type(value)(resolve(library, item) for item in value)
    if isinstance(value, dict):
        return {key: resolve(library, item) for key, item in value.items()}
    return value


def new_layer(library, case, **extra):
    library.clear()
    args, kwargs = resolve(library, case.config.args), resolve(library, case.config.kwargs)
    return getattr(library.root.layers, case.name)(*args, **kwargs, **extra)


def fill(library, case, described=None, change=None, floats=None):
    """Arguments of the call. ``change`` alters arrays and masks, ``floats`` are tensors to take in place of the float arrays."""
    counter, floats = iter(range(10**6)), iter(floats or ())
    masks = list(case.masks) if case.masks is not None and described is None else []
    change = change or (lambda array: array)

    def value(x):
        if not isinstance(x, A):
            return x
        i = next(counter)
        mask = masks[i] if i < len(masks) else None
        mask = mask and change(mask.make(i))
        if x.is_float and (given := next(floats, None)) is not None:
            if mask is not None:
                library.set_mask(given, library.tensor(mask))
            return given
        return library.tensor(change(x.make(i)), mask)

    described = case.inputs if described is None else described
    args = tree.map_structure(value, list(described))
    kwargs = tree.map_structure(value, resolve(library, dict(case.call)))
    return args, kwargs


def float_arrays(case):
    described = [x for x in tree.flatten([list(case.inputs), dict(case.call)]) if isinstance(x, A)]
    return [x.make(i) for i, x in enumerate(described) if x.is_float]


def with_training(kwargs, training):
    return kwargs if training is None else {**kwargs, "training": training}


def tensors_of(library, outputs):
    return [y for y in tree.flatten(outputs) if library.is_tensor(y)]


def outputs_of(library, outputs):
    return [library.numpy(y) for y in tensors_of(library, outputs)]


def masks_of(library, outputs):
    return [library.mask_of(y) for y in tree.flatten(outputs)]


def symbolic_arguments(library, case, unknown=()):
    """The arguments of the call as KerasTensors; the axes ``unknown`` have no size."""
    counter, masks = iter(range(10**6)), list(case.masks or ())

    def spec(x):
        if not isinstance(x, A):
            return x
        i = next(counter)
        mask = masks[i] if i < len(masks) else None
        shape, mask = (s and tuple(None if axis in unknown else n for axis, n in enumerate(s)) for s in (x.shape, mask and mask.shape))
        return library.symbolic(shape or (), x.dtype, mask)

    return tree.map_structure(spec, list(case.inputs)), tree.map_structure(spec, resolve(library, dict(case.call)))


# ---- what real Keras says; compiling JAX's functions is what costs time here, so all is asked of one function, once
@contextlib.contextmanager
def without_random_initializers():
    """Zeros in place of Keras's random weights, which would be compiled anew for each shape."""
    classes = [c for c in vars(real_keras().initializers).values() if inspect.isclass(c) and "__call__" in vars(c)]
    with contextlib.ExitStack() as stack:
        for cls in classes:
            if "seed" in inspect.signature(cls.__init__).parameters:
                stack.enter_context(mock.patch.object(cls, "__call__", lambda self, shape, dtype=None, **kwargs: np.zeros(shape, dtype)))
        yield


def with_their_warnings(function):
    """What Keras's own numerics warn of is not ours to mend."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            warnings.filterwarnings("ignore", "Explicitly requested dtype int64")
            return function(*args, **kwargs)

    return wrapped


@functools.cache
@with_their_warnings
def their_layer(case, **extra):
    """Keras's layer, built, with random weights."""
    with contextlib.nullcontext() if case.weights is None else without_random_initializers():
        layer = new_layer(THEIRS, case, **extra)
        args, kwargs = symbolic_arguments(THEIRS, case) if case.symbolic else fill(THEIRS, case)
        layer(*args, **kwargs)
    if case.weights is not None:
        rng = np.random.default_rng(0)
        layer.set_weights([
            rng.uniform(*case.weights, w.shape).astype(w.dtype) if w.dtype.kind == "f" or w.dtype.name == "bfloat16" else w
            for w in THEIRS.values(layer.weights)
        ])  # fmt: skip
    return layer


def their_call(case, training, trainable, rest, floats):
    """One call (or several) of Keras's layer with the given state: outputs, and all else that a call leaves."""
    layer = their_layer(case)
    state = zip([*layer.trainable_variables, *layer.non_trainable_variables], [*trainable, *rest], strict=True)
    with real_keras().StatelessScope(state_mapping=state, collect_losses=True) as scope:  # stateless_call forgets activity losses
        for _ in range(case.steps):
            args, kwargs = fill(THEIRS, case, floats=floats)
            outputs = layer(*args, **with_training(kwargs, training))
        losses = layer.losses
        weights = [scope.get_current_value(v) for v in layer.weights]
    flat = tensors_of(THEIRS, outputs)
    total = sum((y * upstream(y, i)).sum() for i, y in enumerate(y for y in flat if "float" in str(y.dtype))) + sum(losses)
    return total, (flat, losses, weights, masks_of(THEIRS, outputs))


@functools.cache
@with_their_warnings
def their_results(case, training):
    """Outputs, losses, weights and masks after Keras's call, and the gradients of trainable weights and inputs."""
    import jax

    layer = their_layer(case)
    trainable, rest = ([v.value for v in group] for group in (layer.trainable_variables, layer.non_trainable_variables))
    floats = [jax.numpy.asarray(x) for x in float_arrays(case)]
    call = functools.partial(their_call, case, training)
    if case.grad:
        (_, results), gradients = jax.jit(jax.value_and_grad(call, argnums=(0, 2), has_aux=True))(trainable, rest, floats)
        return results, gradients
    _, results = (jax.jit(call) if case.jit else call)(trainable, rest, floats)
    return results, None


def our_layer(case, **extra):
    """Our layer, built, with the weights of Keras's."""
    layer = new_layer(OURS, case, **extra)
    args, kwargs = fill(OURS, case)
    layer(*args, **kwargs)
    layer.set_weights(THEIRS.values(their_layer(case).weights))
    return layer


def upstream(y, i):
    """What a gradient is weighted with."""
    return np.random.default_rng(i).uniform(0.5, 1.5, tuple(y.shape)).astype("float32")


def plain(value):
    """A config as it reads from a JSON file."""
    return json.loads(json.dumps(value))


# ---- the checks
def check_signature(case):
    """Parameters and defaults of the constructor are Keras's."""

    def parameters(cls):
        found = list(inspect.signature(cls.__init__).parameters.values())[1:]
        return [(p.name, p.kind, p.default) for p in found]

    theirs = parameters(getattr(real_keras().layers, case.name))
    ours = parameters(getattr(kerasish.layers, case.name))
    assert [p[:2] for p in ours] == [p[:2] for p in theirs]
    for (name, _, a), (_, _, b) in zip(ours, theirs, strict=True):
        assert a == b or plain(a) == plain(b), f"default of {name}: {a!r}, Keras has {b!r}"


def check_weights(case):
    """The weights' names, paths, shapes, dtypes and trainability are Keras's, in the same order."""

    def described(layer):
        return [(v.path, tuple(v.shape), str(v.dtype), v.trainable) for v in layer.weights]

    theirs, ours = their_layer(case), our_layer(case)
    assert described(ours) == described(theirs)
    assert [v.path for v in ours.trainable_variables] == [v.path for v in theirs.trainable_variables]
    assert len(ours.non_trainable_variables) == len(theirs.non_trainable_variables)


def check_output(case, training):
    """Outputs, losses, masks and state after the call are Keras's."""
    (outputs, losses, weights, masks), _ = their_results(case, training)
    layer = our_layer(case)
    for _ in range(case.steps):
        args, kwargs = fill(OURS, case)
        ours = layer(*args, **with_training(kwargs, training))
    close(outputs_of(OURS, ours), [np.asarray(y) for y in outputs], case.tol, f"{case.name} output")
    assert [y.dtype for y in tensors_of(OURS, ours)] == [str(y.dtype) for y in outputs]
    close([float(x) for x in layer.losses], [float(x) for x in losses], case.tol, f"{case.name} losses")
    close(OURS.values(layer.weights), [np.asarray(w) for w in weights], case.tol, f"{case.name} state after the call")
    our_masks = masks_of(OURS, ours)
    assert [m is None for m in our_masks] == [m is None for m in masks], f"{case.name}: masks {our_masks}, Keras has {masks}"
    for a, b in zip(our_masks, masks, strict=True):
        if a is not None:
            np.testing.assert_array_equal(a.numpy(), np.asarray(b), err_msg=f"{case.name} mask")


def check_gradient(case, training):
    """Gradients of a weighted sum of outputs and losses, by inputs and weights, are JAX's."""
    _, (weight_gradients, input_gradients) = their_results(case, training)
    layer = our_layer(case)
    for _ in range(case.steps):
        leaves = [Tensor(x) for x in float_arrays(case)]
        for x in leaves:
            x.requires_grad = True
        args, kwargs = fill(OURS, case, floats=leaves)
        outputs = layer(*args, **with_training(kwargs, training))
    value = sum(layer.losses, Tensor(0.0))
    for i, y in enumerate(y for y in tensors_of(OURS, outputs) if "float" in y.dtype):
        value = value + kerasish.ops.sum(y * Tensor(upstream(y, i)))
    if value.requires_grad:
        value.backward()
    for what, found, wanted in (("input", leaves, input_gradients), ("weight", layer.trainable_variables, weight_gradients)):
        for x, g in zip(found, wanted, strict=True):
            ours = np.zeros(x.shape, "float32") if x.grad is None else x.grad.numpy()
            scale = max(1.0, float(np.abs(g).max()) if g.size else 1.0)
            name = getattr(x, "path", "")
            close([ours / scale], [np.asarray(g) / scale], case.tol * 5, f"{case.name} gradient of {what} {name}")


def check_config(case):
    """get_config and the serialized layer are Keras's, and make the same layer again."""
    theirs, ours = their_layer(case), our_layer(case)
    expected = plain(THEIRS.serialize(theirs))
    assert plain(OURS.serialize(ours)) == expected
    clear_session()
    again = kerasish.layers.deserialize(expected)
    assert plain(OURS.serialize(again)) == expected
    if again.built:
        THEIRS.clear()
        with without_random_initializers():
            theirs_again = real_keras().layers.deserialize(plain(expected))  # it takes what it is given apart
        assert [(v.path, v.shape) for v in again.weights] == [(v.path, tuple(v.shape)) for v in theirs_again.weights]
    copy = type(ours).from_config(ours.get_config())
    assert plain(copy.get_config()) == plain(ours.get_config())
    args, kwargs = fill(OURS, case)
    outputs = ours(*args, **kwargs)
    copy(*args, **kwargs)
    copy.set_weights(ours.get_weights())
    close(outputs_of(OURS, copy(*args, **kwargs)), outputs_of(OURS, outputs), case.tol, f"{case.name} made again of its config")


def check_symbolic(case):
    """A call on KerasTensors with an unknown batch builds the same weights and gives Keras's shapes, dtypes and masks."""
    found = []
    for library in (THEIRS, OURS):
        layer = new_layer(library, case)
        args, kwargs = symbolic_arguments(library, case, {0, *case.unknown})
        with without_random_initializers():
            outputs = tree.flatten(layer(*args, **kwargs))
        specs = [(tuple(y.shape), y.dtype, library.mask_of(y) is not None) for y in outputs]
        found.append((specs, [(v.path, tuple(v.shape)) for v in layer.weights]))
        assert layer.built
        assert all(y._keras_history.operation is layer for y in outputs)
    (theirs, their_weights), (ours, our_weights) = found
    if case.finer:
        blurred = [tuple(n and m for m, n in zip(a[0], b[0], strict=True)) for a, b in zip(ours, theirs, strict=True)]
        ours = [(shape, *rest) for shape, (_, *rest) in zip(blurred, ours, strict=True)]
    assert ours == theirs
    assert our_weights == their_weights


def check_half(case, policy):
    """Under a float16 policy outputs and variables have Keras's dtypes, and values near those of float32."""
    if "dtype" in case.config.kwargs:
        return
    theirs, ours, wide = their_layer(case, dtype=policy), our_layer(case, dtype=policy), our_layer(case)
    assert [str(v.dtype) for v in ours.weights] == [str(v.dtype) for v in theirs.weights]
    expected = their_specs(theirs, case)
    args, kwargs = fill(OURS, case)
    narrow = tensors_of(OURS, ours(*args, **kwargs))
    args, kwargs = fill(OURS, case)
    values = outputs_of(OURS, wide(*args, **kwargs))
    assert [y.dtype for y in narrow] == [str(y.dtype) for y in expected]
    close([y.numpy() for y in narrow], values, 3e-2, f"{case.name} {policy}")


@with_their_warnings
def their_specs(layer, case, change=None):
    """Shapes and dtypes of what Keras's layer gives, without computing it where that can be done."""
    import jax

    floats = [jax.numpy.asarray((change or np.asarray)(x)) for x in float_arrays(case)]

    def call(floats):
        args, kwargs = fill(THEIRS, case, change=change, floats=floats)
        return tensors_of(THEIRS, layer(*args, **kwargs))

    if not case.jit:
        return call(floats)
    with real_keras().StatelessScope():
        return jax.eval_shape(call, floats)


def check_strict(case):
    """On arrays that convert to NumPy nowhere, the layer gives the same output and gradients."""
    weights = THEIRS.values(their_layer(case).weights)

    def run():
        layer = new_layer(OURS, case)
        args, kwargs = fill(OURS, case)
        layer(*args, **kwargs)
        layer.set_weights(weights)
        outputs = tensors_of(OURS, layer(*args, **with_training(kwargs, case.training[-1])))
        total = sum((kerasish.ops.sum(y) for y in outputs if "float" in y.dtype), Tensor(0.0))
        if case.grad and total.requires_grad:
            total.backward()
        grads = [v.grad.numpy() for v in layer.trainable_variables if v.grad is not None]
        return outputs_of(OURS, outputs) + grads

    expected = run()
    before = arrays.use(StrictArrays())
    try:
        found = run()
    finally:
        arrays.use(before)
    close(found, expected, case.tol, f"{case.name} on strict arrays")


def check_plan(case, training):
    """A recorded call gives the output, gradients, losses and state of an eager one, also the second time."""
    results = []
    for recorded in (False, True):
        kerasish.utils.set_random_seed(0)
        layer = our_layer(case)
        before = [v.numpy() for v in layer.variables]

        def call(*floats, layer=layer):
            for x in floats:
                x.requires_grad = True
            args, kwargs = fill(OURS, case, floats=floats)
            outputs = layer(*args, **with_training(kwargs, training))
            total = sum(layer.losses, Tensor(0.0))
            for i, y in enumerate(y for y in tensors_of(OURS, outputs) if "float" in y.dtype):
                total = total + kerasish.ops.sum(y * Tensor(upstream(y, i)))
            leaves = [*floats, *[v for v in layer.trainable_variables if "float" in v.dtype]]
            if case.grad and total.requires_grad:
                total.backward()
            slopes = [x.grad for x in leaves]
            for x in leaves:
                x.grad = None
            return tensors_of(OURS, outputs), slopes, total

        run = kerasish.function(call) if recorded else call
        for _ in range(2):
            for variable, value in zip(layer.variables, before, strict=True):
                variable.assign(value)
            found = run(*[Tensor(x) for x in float_arrays(case)])
        results.append([None if y is None else np.asarray(y) for y in tree.flatten(found)] + OURS.values(layer.variables))
    for a, b in zip(*results, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            scale = max(1.0, float(np.abs(a).max())) if a.size and a.dtype.kind == "f" else 1.0
            np.testing.assert_allclose(b, a, rtol=case.tol, atol=case.tol * scale, err_msg=f"{case.name} in a plan")


def check_empty(case):
    """A batch of zero gives outputs of Keras's shapes."""

    def nothing(array):
        return array[:0]

    theirs = their_specs(their_layer(case), case, nothing)
    args, kwargs = fill(OURS, case, change=nothing)
    ours = our_layer(case)(*args, **kwargs)
    assert [y.shape for y in tensors_of(OURS, ours)] == [tuple(y.shape) for y in theirs]


def check_random(case):
    """In training, outputs have Keras's mean, spread and share of zeros, differ from call to call, and repeat with the seed."""
    statistics = []
    for library in (THEIRS, OURS):
        layer = new_layer(library, case)
        args, kwargs = fill(library, case, case.random)
        call = with_their_warnings(layer.__call__) if library is THEIRS else layer
        ys = [outputs_of(library, call(*args, **{**kwargs, "training": True})) for _ in range(2)]
        assert any((a != b).any() for a, b in zip(*ys, strict=True)), f"{case.name}: two calls gave the same"
        statistics.append([(y.mean(), y.std(), (y == 0).mean()) for y in ys[0]])
        if case.config.kwargs.get("seed") is not None:
            again = new_layer(library, case).__call__
            again = with_their_warnings(again) if library is THEIRS else again
            close(outputs_of(library, again(*args, **{**kwargs, "training": True})), ys[0], 1e-6, f"{case.name} with one seed")
    np.testing.assert_allclose(statistics[1], statistics[0], atol=0.05, rtol=0.05)
