"""Every layer inside a model that trains on three batches: losses and weights are real Keras's, in a plan as eagerly.

A layer of the tables stands between weights that shift its inputs and weights that scale its outputs, so that layers without
weights of their own take part. Each step is a ``train_on_batch`` of a compiled model here; in Keras it is one function of JAX made
of the layer, ``value_and_grad`` and ``stateless_apply`` of Keras's own optimizer.
"""

import numpy as np
import pytest

import kerasish
from kerasish import tree
from kerasish.backend.kernels import native
from tests.conformance import layer_driver as driver
from tests.conformance.layer_driver import OURS, THEIRS, A, config, layer_row, real_keras
from tests.conformance.test_layers import ROWS

STEPS = 3
PER_LAYER = 4  # configurations of each layer
OPTIMIZERS = {
    "SGD": {"learning_rate": 0.05, "momentum": 0.9},
    "Adam": {"learning_rate": 0.01, "epsilon": 0.01},  # so large that rounding of tiny gradients doesn't choose the direction
}
WITHOUT_WEIGHTS = {"CategoryEncoding", "Discretization"}  # ..., nor gradients, like layers whose rows say `weights=None`; the scale is trained
# what a layer assigns to trainable weights while it is called is forgotten by Keras on JAX; here and on TensorFlow it is kept
ASSIGNS_TRAINED_WEIGHTS = {"SpectralNormalization"}

# Two libraries can't draw the same random numbers: layers with noise have a rate of zero here, others are called as in inference.
NOISE = {"Dropout": 4, "SpatialDropout1D": 3, "SpatialDropout2D": 4, "SpatialDropout3D": 5, "AlphaDropout": 3, "GaussianDropout": 3, "GaussianNoise": 3}
QUIET = [layer_row(name, config(0.0), inputs=[A(*(2, 4, 3, 2, 2)[:rank])]) for name, rank in NOISE.items()]


def is_random(case):
    settings = case.config.kwargs
    return bool(case.random or True not in (*case.training, case.training[0] is None) or settings.get("dropout") or settings.get("recurrent_dropout"))


def chosen():
    for row in [*ROWS, *QUIET]:
        taken = [case for case in row if case.grad or case.weights is None or case.name in WITHOUT_WEIGHTS]
        for i, case in enumerate(taken[:PER_LAYER]):
            yield pytest.param(case, ("SGD", "Adam")[i % 2], id=f"{case.name}-{row.index(case)}" + "-quiet" * (row in QUIET))


def described(case):
    """All arrays of the call, then their masks."""
    return [x for x in tree.flatten([list(case.inputs), dict(case.call), list(case.masks or ())]) if isinstance(x, A)]


def batches(case):
    return [[x.make(100 * step + i) for i, x in enumerate(described(case))] for step in range(STEPS)]


def outputs_of(library, case, layer, arrays, shifts):
    """The layer called on arrays of a batch, shifted where they are floats: its outputs as one vector."""
    arrays, shifts = iter(arrays), iter(shifts)

    def value(x):
        if not isinstance(x, A):
            return x
        given = next(arrays)
        return given + next(shifts) if x.is_float and case.grad else given

    args = tree.map_structure(value, list(case.inputs))
    kwargs = tree.map_structure(value, driver.resolve(library, dict(case.call)))
    masks = [mask if mask is None else next(arrays) for mask in case.masks or ()]
    for x, mask in zip(tree.flatten(args), masks, strict=False):
        if mask is not None:
            library.set_mask(x, mask)
    outputs = driver.tensors_of(library, layer(*args, **{**kwargs, "training": not is_random(case)}))
    ops = library.root.ops
    y = ops.concatenate([ops.cast(ops.reshape(y, (-1,)), "float32") for y in outputs])
    return y if case.grad else ops.stop_gradient(y)


def shapes_of_shifts(case):
    return [x.shape for x in tree.flatten([list(case.inputs), dict(case.call)]) if isinstance(x, A) and x.is_float and case.grad]


def squared_error(library, y):
    return library.root.ops.mean(library.root.ops.square(y - np.linspace(-1, 1, y.shape[0], dtype="float32")))


def optimizer_of(library, name):
    return getattr(library.root.optimizers, name)(**OPTIMIZERS[name])


@driver.with_their_warnings
def their_training(case, optimizer):
    """The loss of each step, and all weights at the end, of Keras."""
    import jax

    keras, layer = real_keras(), driver.their_layer(case)
    shifts = [keras.Variable(np.zeros(shape, "float32")) for shape in shapes_of_shifts(case)]
    scale = keras.Variable(np.float32(1.0))
    variables, others = [*layer.trainable_variables, *shifts, scale], layer.non_trainable_variables
    optimizer = optimizer_of(THEIRS, optimizer)
    optimizer.build(variables)

    def objective(trainable, rest, arrays):
        state = zip([*variables, *others], [*trainable, *rest], strict=True)
        with keras.StatelessScope(state_mapping=state, collect_losses=True) as scope:
            y = outputs_of(THEIRS, case, layer, arrays, shifts) * scale
            loss = squared_error(THEIRS, y) + sum(layer.losses)
            return loss, [scope.get_current_value(v) for v in others]

    def step(trainable, rest, slots, arrays):
        (loss, rest), slopes = jax.value_and_grad(objective, has_aux=True)(trainable, rest, arrays)
        trainable, slots = optimizer.stateless_apply(slots, slopes, trainable)
        return loss, trainable, rest, slots

    step = jax.jit(step) if case.jit else step
    state, losses = [[v.value for v in group] for group in (variables, others, optimizer.variables)], []
    for arrays in batches(case):
        loss, *state = step(*state, [jax.numpy.asarray(x) for x in arrays])
        losses.append(float(loss))
    values = dict(zip([v.path for v in variables[: len(layer.trainable_variables)]], state[0], strict=False))
    values |= dict(zip([v.path for v in others], state[1], strict=True))
    rest = [np.asarray(x) for x in state[0][len(layer.trainable_variables) :]]
    return np.array(losses), [np.asarray(values[v.path]) for v in layer.weights] + rest


class Around(kerasish.Model):
    """A layer between weights."""

    def __init__(self, case, layer):
        super().__init__()
        self.case, self.layer = case, layer
        self.shifts = [self.add_weight(shape, "zeros") for shape in shapes_of_shifts(case)]
        self.scale = self.add_weight((), "ones")

    def call(self, arrays):
        return outputs_of(OURS, self.case, self.layer, arrays, self.shifts) * self.scale


def our_training(case, optimizer, run_eagerly):
    model = Around(case, driver.our_layer(case))
    model.compile(optimizer_of(OURS, optimizer), loss=lambda _, y: squared_error(OURS, y), run_eagerly=run_eagerly, jit_compile=not run_eagerly)
    losses = np.array([model.train_on_batch(arrays, np.zeros(1)) for arrays in batches(case)])
    return losses, [v.numpy() for v in [*model.layer.weights, *model.shifts, model.scale]]


@pytest.mark.filterwarnings("ignore:Gradients do not exist")  # Keras says so, too: some inputs are rounded, some weights not used
@pytest.mark.parametrize(("case", "optimizer"), list(chosen()))
def test_three_steps(case, optimizer, monkeypatch):
    compiled = optimizer == "SGD"  # the others run on NumPy's kernels alone, where a plan gives what eager steps give bit for bit
    if not compiled:
        monkeypatch.setitem(native._state, "available", False)
    eager, plan = (our_training(case, optimizer, run_eagerly) for run_eagerly in (True, False))
    same("a plan", case, plan, eager, case.tol * 5 if compiled else 0.0)
    if case.name not in ASSIGNS_TRAINED_WEIGHTS:
        same("Keras", case, eager, their_training(case, optimizer), case.tol * 5)


def same(where, case, found, expected, tol):
    for what, ours, theirs in zip(("losses", "weights"), found, expected, strict=True):
        driver.close(list(ours), list(theirs), tol, f"{what} of {case.name}, compared with {where}")
