"""Optimizers against real Keras: 20 steps of every family with every option, names, order, configs, errors."""

import inspect
import re

import jax
import keras
import numpy as np
import pytest

from kerasish import ops, optimizers
from kerasish.backend import arrays
from kerasish.backend.autodiff.gradient import grad
from kerasish.backend.autodiff.state import clear_session, name_scope
from kerasish.backend.autodiff.tensor import Tensor
from kerasish.backend.autodiff.variable import Variable
from tests.conformance.strict import StrictArrays

# real Keras's own variables under NumPy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

WEIGHTS = {"kernel": (3, 2), "bias": (2,), "wide": (2, 3)}
STEPS = 20


def values(seed, scale=1.0):
    rng = np.random.default_rng(seed)
    return [(scale * rng.standard_normal(shape)).astype("float32") for shape in WEIGHTS.values()]


GRADIENTS = [values(100 + step) for step in range(STEPS)]
THEIRS, OURS = (keras.Variable, keras.name_scope, keras.optimizers), (Variable, name_scope, optimizers)


def weights(library, **attributes):
    variable, scope, _ = library
    with scope("model"):
        made = [variable(value, name=name) for name, value in zip(WEIGHTS, values(0), strict=True)]
    for name, value in attributes.items():
        for v in made:
            setattr(v, name, value)
    return made


def train(library, make, gradients=GRADIENTS, after=lambda optimizer, variables: None, **attributes):
    """What an optimizer made of the weights, and the optimizer."""
    variables = weights(library, **attributes)
    optimizer = make(library[2])
    step = optimizer.apply
    if library is THEIRS:
        step = compiled(optimizer, variables)
    for gradient in gradients:
        step(gradient, variables)
    after(optimizer, variables)
    return optimizer, variables


def compiled(optimizer, variables):
    """Real Keras's step; compiled where it branches, as JAX would compile the branches anew at each step."""
    if not (optimizer.gradient_accumulation_steps or isinstance(optimizer, keras.optimizers.LossScaleOptimizer)):
        return lambda gradient, _: optimizer.apply([keras.ops.array(g) for g in gradient], variables)
    with keras.name_scope(optimizer.name, caller=optimizer):  # as `apply` does
        optimizer.build(variables)
    pure = jax.jit(optimizer.stateless_apply)

    def step(gradient, _):
        trainable, own = pure([v.value for v in optimizer.variables], gradient, [v.value for v in variables])
        for v, value in zip([*variables, *optimizer.variables], [*trainable, *own], strict=True):
            v.assign(value)

    return step


def arrays_of(variables):
    return [np.array(v.value if hasattr(v, "value") else v) for v in variables]


def assert_close(ours, theirs, rtol=1e-5, atol=1e-6):
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def compare(make, **kwargs):
    (theirs, their_weights), (ours, our_weights) = train(THEIRS, make, **kwargs), train(OURS, make, **kwargs)
    assert_close(arrays_of(our_weights), arrays_of(their_weights))
    assert_close(arrays_of(ours.variables), arrays_of(theirs.variables))
    return theirs, ours


def paths(optimizer):
    """Paths without the numbers of automatic names, which depend on what else the tests have made."""
    return [re.sub(r"(^|/)variable(_\d+)?$", r"\1variable", v.path) for v in optimizer.variables]


FAMILIES = {
    "SGD": ({}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}),
    "RMSprop": ({}, {"momentum": 0.5, "centered": True, "rho": 0.8}, {"centered": True, "epsilon": 1e-3}),
    "Adam": ({}, {"amsgrad": True, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}),
    "AdamW": ({}, {"weight_decay": 0.1, "amsgrad": True, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}),
    "Adadelta": ({}, {"rho": 0.8, "epsilon": 1e-3}),
    "Adagrad": ({}, {"initial_accumulator_value": 0.5, "epsilon": 1e-3}),
    "Adamax": ({}, {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}),
    "Adafactor": (
        {},
        {"relative_step": False, "clip_threshold": 0.5, "beta_2_decay": -0.6, "epsilon_1": 1e-3, "epsilon_2": 0.1},
    ),
    "Nadam": ({}, {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}),
    "Ftrl": (
        {},
        {"learning_rate_power": -0.3, "initial_accumulator_value": 0.2, "l1_regularization_strength": 0.1, "beta": 0.3,
         "l2_regularization_strength": 0.2, "l2_shrinkage_regularization_strength": 0.05},
    ),
    "Lion": ({}, {"beta_1": 0.8, "beta_2": 0.9}),
    "Lamb": ({}, {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}),
    "Muon": (
        {"weight_decay": None},
        {"exclude_layers": ["wide"], "nesterov": False, "momentum": 0.8, "ns_steps": 3, "adam_lr_ratio": 0.5, "rms_rate": None},
        {"adam_beta_1": 0.8, "adam_beta_2": 0.9, "adam_weight_decay": 0.1, "epsilon": 1e-3, "exclude_embeddings": False,
         "muon_a": 3.4, "muon_b": -4.7, "muon_c": 2.0},
    ),
    "ScheduleFreeAdamW": ({}, {"warmup_steps": 5, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}),
}  # fmt: skip
OPTIONS = {
    "clipnorm": {"clipnorm": 0.7},
    "clipvalue": {"clipvalue": 0.5},
    "global_clipnorm": {"global_clipnorm": 0.9},
    "decay": {"weight_decay": 0.1},
    "ema": {"use_ema": True, "ema_momentum": 0.8},
    "ema overwrite": {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 3},
    "accumulation": {"gradient_accumulation_steps": 3},
    "accumulation, ema": {"gradient_accumulation_steps": 2, "use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 3},
    "loss scale": {"loss_scale_factor": 4.0},
}
CASES = [(name, {"learning_rate": 0.05, **own}) for name, several in FAMILIES.items() for own in several]
CASES += [("SGD", {"learning_rate": 0.05, "momentum": 0.9, **option}) for option in OPTIONS.values()]
CASES += [("Nadam", {"learning_rate": 0.05, **OPTIONS[option]}) for option in ("accumulation", "decay", "ema overwrite")]
CASES += [("Muon", {"learning_rate": 0.05, **OPTIONS["accumulation, ema"], "adam_weight_decay": None})]


def label(case):
    if callable(case):
        return case.__name__
    return f"{case[0]}({', '.join(f'{k}={v}' for k, v in case[1].items() if k != 'learning_rate')})"


@pytest.mark.parametrize("case", CASES, ids=label)
def test_twenty_steps(case):
    name, options = case
    theirs, ours = compare(lambda library: getattr(library, name)(**options, name="opt"))
    assert paths(ours) == paths(theirs)
    assert ours.get_config() == theirs.get_config()
    assert optimizers.serialize(ours) == keras.optimizers.serialize(theirs) or name == "Lamb"
    assert optimizers.deserialize(keras.optimizers.serialize(theirs)).get_config() == ours.get_config()
    assert int(ours.iterations) == int(theirs.iterations)


MIXES = [
    {"clipnorm": 0.7, "weight_decay": 0.05, "use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 2},
    {"clipvalue": 0.3, "use_ema": True, "ema_momentum": 0.6},
    {"global_clipnorm": 0.9, "weight_decay": 0.05, "gradient_accumulation_steps": 2},
]


@pytest.mark.parametrize("options", MIXES, ids=lambda options: next(iter(options)))
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_with_every_option_of_the_base(name, options):
    compare(lambda library: getattr(library, name)(learning_rate=0.05, **options), gradients=GRADIENTS[:5])


@pytest.mark.parametrize("name", FAMILIES)
def test_every_option_is_varied(name):
    options = set(inspect.signature(getattr(optimizers, name)).parameters) - {"name", "kwargs", "learning_rate"}
    assert options <= {option for several in (*FAMILIES[name], *OPTIONS.values()) for option in several}


def test_every_optimizer_is_here():
    others = {"LossScaleOptimizer", "MultiOptimizer", "OptimizerMap", "Optimizer"}  # with tests of their own, below
    assert {name for name in optimizers.__all__ if inspect.isclass(getattr(optimizers, name))} == {*FAMILIES, *others}


@pytest.mark.parametrize("name", [*FAMILIES, "LossScaleOptimizer", "MultiOptimizer", "OptimizerMap", "Optimizer"])
def test_signatures(name):
    def parameters(library):
        found = inspect.signature(getattr(library, name)).parameters.values()
        return [(p.name, p.kind, p.default) for p in found]

    assert parameters(optimizers) == parameters(keras.optimizers)


@pytest.mark.parametrize("name", FAMILIES)
def test_automatic_names_and_defaults(name):
    clear_session()
    keras.backend.clear_session()
    ours, theirs = getattr(optimizers, name)(), getattr(keras.optimizers, name)()
    assert ours.get_config() == theirs.get_config()
    assert [v.path for v in ours.variables] == [v.path for v in theirs.variables]


@pytest.mark.parametrize("name", FAMILIES)
def test_stateless_apply_equals_apply_and_changes_nothing(name):
    make = lambda library: getattr(library, name)(0.05)
    optimizer, variables = train(OURS, make)
    pure, start = make(optimizers), weights(OURS)
    pure.build(start)
    before = arrays_of([*start, *pure.variables])
    trainable, own = [v.value for v in start], [v.value for v in pure.variables]
    for gradient in GRADIENTS:
        trainable, own = pure.stateless_apply(own, gradient, trainable)
    assert_close(arrays_of(trainable), arrays_of(variables), 0, 0)
    assert_close(arrays_of(own), arrays_of(optimizer.variables), 0, 0)
    assert_close(arrays_of([*start, *pure.variables]), before, 0, 0)
    assert all(x.call is None for x in [*trainable, *own])  # no history is kept alive from step to step


@pytest.mark.parametrize("name", FAMILIES)
def test_on_strict_arrays(name):
    options = {"use_ema": True, "gradient_accumulation_steps": 2, "clipnorm": 1.0, "ema_overwrite_frequency": 2}
    before = arrays.use(StrictArrays())
    try:
        _, variables = train(OURS, lambda library: getattr(library, name)(0.05, **options), GRADIENTS[:4])
        strict = [v.numpy() for v in variables]
    finally:
        arrays.use(before)
    _, variables = train(OURS, lambda library: getattr(library, name)(0.05, **options), GRADIENTS[:4])
    assert_close(strict, arrays_of(variables), 0, 0)


def multi(library):
    chosen = library.OptimizerMap(library.SGD(0.1, momentum=0.5, name="rest"), {"model/b.*": library.Adam(0.2, name="biases")})
    chosen["model/wide"] = library.RMSprop(0.3, name="wide", use_ema=True)
    return library.MultiOptimizer(chosen, loss_scale_factor=2.0, name="multi")


def scheduled(library):
    return library.Adafactor(library.schedules.CosineDecay(0.1, 5, warmup_target=0.2, warmup_steps=2), weight_decay=0.1)


def loss_scaled(library):
    return library.LossScaleOptimizer(library.SGD())


@pytest.mark.parametrize("case", [*CASES, scheduled, loss_scaled, multi], ids=label)
def test_a_step_reads_no_value(case):
    optimizer = case(optimizers) if callable(case) else getattr(optimizers, case[0])(**case[1])
    variables = weights(OURS)
    optimizer.build(variables)
    shapes = lambda tensors: [Tensor(None, v.shape, v.dtype) for v in tensors]
    trainable, own = optimizer.stateless_apply(shapes(optimizer.variables), shapes(variables), shapes(variables))
    for tensor, variable in zip([*trainable, *own], [*variables, *optimizer.variables], strict=True):
        assert (tensor.shape, tensor.dtype) == (variable.shape, variable.dtype)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
@pytest.mark.parametrize("name", FAMILIES)
def test_other_dtypes_are_kept(name, dtype):
    w = Variable(np.ones((2, 2), dtype), dtype=dtype)
    optimizer = getattr(optimizers, name)(0.05 if name != "Adadelta" else 5.0)  # its first steps are lost in float16 else
    optimizer.apply([np.full((2, 2), 0.5, "float32")], [w])
    slots = [v for v in optimizer.variables if v.shape]
    assert {v.dtype for v in [w, *slots]} == {dtype}
    assert w.dtype == dtype and np.isfinite(w.numpy()).all() and (w.numpy() != 1).all()


def test_float64_is_exact():
    w = Variable(np.array([1.0]), dtype="float64")
    optimizers.Adam(0.1).apply([np.array([5.0])], [w])
    assert abs(w.numpy()[0] - (1 - np.float32(0.1).astype("float64") * 5 / (5 + 1e-7 / np.sqrt(1e-3)))) < 1e-12


# ---- parts of the base
def test_finalize_puts_averages_in_place():
    make = lambda library: library.SGD(0.1, use_ema=True, ema_momentum=0.7)
    compare(make, after=lambda optimizer, variables: optimizer.finalize_variable_values(variables))
    optimizer, variables = train(OURS, make)
    with pytest.raises(ValueError, match="does not match the number of averages"):
        optimizer.finalize_variable_values(variables[:1])


def test_decay_spares_excluded_variables():
    def make(library, w=None):
        optimizer = library.SGD(0.1, weight_decay=0.5)
        optimizer.exclude_from_weight_decay(var_names=["bias", "^wi"])
        return optimizer

    compare(make)
    w, v = Variable([1.0]), Variable([1.0])
    optimizer = optimizers.SGD(1.0, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=[w])
    optimizer.apply([[0.0], [0.0]], [w, v])
    assert (w.numpy(), v.numpy()) == (1.0, 0.5)


def test_constraints_come_after_the_update():
    compare(lambda library: library.SGD(0.5), constraint=lambda w: keras.ops.clip(w, -0.2, 0.2)
            if isinstance(w, keras.Variable) else ops.clip(w, -0.2, 0.2))  # fmt: skip


@pytest.mark.parametrize("steps", [None, 2])
def test_variables_overwritten_with_their_gradient(steps):
    def run(library):
        variables = weights(library)
        variables[1].overwrite_with_gradient = True
        optimizer = library[2].Adam(0.1, use_ema=True, gradient_accumulation_steps=steps, name="o")
        step = compiled(optimizer, variables) if library is THEIRS else optimizer.apply
        for gradient in GRADIENTS[:5]:
            step(gradient, variables)
        return optimizer, variables

    (theirs, their_weights), (ours, our_weights) = run(THEIRS), run(OURS)
    assert_close(arrays_of(our_weights), arrays_of(their_weights))
    assert [v.path for v in ours.variables] == [v.path for v in theirs.variables]
    assert_close(arrays_of(ours.variables), arrays_of(theirs.variables))


def test_missing_gradients():
    variables = weights(OURS)
    optimizer = optimizers.SGD(0.1)
    before = arrays_of(variables)
    with pytest.warns(UserWarning, match="model/bias"):
        optimizer.apply([GRADIENTS[0][0], None, GRADIENTS[0][2]], variables)
    assert (variables[1].numpy() == before[1]).all() and (variables[0].numpy() != before[0]).all()
    with pytest.raises(ValueError, match="No gradients provided"):
        optimizer.apply([None] * 3, variables)
    optimizer.apply([], [])
    assert int(optimizer.iterations) == 1


def test_accumulation_with_a_missing_gradient_keeps_that_weight():
    variables = weights(OURS)
    before = variables[1].numpy()
    optimizer = optimizers.SGD(1.0, gradient_accumulation_steps=2)
    for gradient in GRADIENTS[:2]:
        with pytest.warns(UserWarning, match="Gradients do not exist"):
            optimizer.apply([gradient[0], None, gradient[2]], variables)
    assert (variables[1].numpy() == before).all()
    np.testing.assert_allclose(variables[0].numpy(), values(0)[0] - (GRADIENTS[0][0] + GRADIENTS[1][0]) / 2, rtol=1e-5)


def test_infinite_gradient_under_global_clipnorm_spoils_all_weights():
    variables = weights(OURS)
    gradient = [g.copy() for g in GRADIENTS[0]]
    gradient[0][0, 0] = np.inf
    optimizers.SGD(0.1, global_clipnorm=1.0).apply(gradient, variables)
    assert all(np.isnan(v.numpy()).all() for v in variables)  # as in Keras


def test_zero_gradients_can_be_clipped():
    w = Variable([1.0])
    optimizers.SGD(0.1, clipnorm=1.0).apply([[0.0]], [w])
    optimizers.SGD(0.1, global_clipnorm=1.0).apply([[0.0]], [w])
    assert w.numpy() == 1.0


def test_apply_gradients_and_built_order():
    w, v = Variable([1.0]), Variable([2.0])
    optimizer = optimizers.SGD(1.0, momentum=0.5)
    optimizer.build([w, v])
    assert int(optimizer.apply_gradients([([1.0], w), ([0.0], v)])) == 1
    optimizer.apply([[0.0], [1.0]])  # in the order of build
    optimizer.apply([[0.0]], [v])  # some of them
    assert (w.numpy(), v.numpy()) == (-0.5, 0.5)


def test_learning_rate_may_be_assigned():
    w = Variable([1.0])
    optimizer = optimizers.SGD(1.0)
    optimizer.learning_rate = 0.25
    optimizer.apply([[1.0]], [w])
    assert float(optimizer.learning_rate) == 0.25 and w.numpy() == 0.75
    optimizer.learning_rate = lambda: 0.5
    optimizer.apply([[1.0]], [w])
    assert w.numpy() == 0.25 and [v.name for v in optimizer.variables] == ["iteration"]
    with pytest.raises(TypeError, match="can't be set to a number"):
        optimizer.learning_rate = 0.1
    optimizer.learning_rate = optimizers.schedules.PiecewiseConstantDecay([2], [0.0, 0.25])
    for _ in range(2):  # iterations 2 and 3
        optimizer.apply([[1.0]], [w])
    assert w.numpy() == 0.0


@pytest.mark.parametrize("name", ["SGD", "Adafactor", "Nadam"])
def test_schedules_drive_optimizers(name):
    def make(library):
        return getattr(library, name)(library.schedules.ExponentialDecay(0.1, 3, 0.5), weight_decay=0.1, name="o")

    theirs, ours = compare(make)
    assert [v.path for v in ours.variables][:2] == [v.path for v in theirs.variables][:2]
    assert ours.get_config() == theirs.get_config()
    assert float(ours.learning_rate) == pytest.approx(float(theirs.learning_rate))
    again = optimizers.deserialize(optimizers.serialize(ours))
    assert again.get_config() == ours.get_config()


def test_step_can_be_differentiated():
    optimizer = optimizers.SGD(0.5)
    w = Variable(2.0)
    optimizer.build([w])

    def after_a_step(x):  # w - lr * 2 w x, as a function of x
        own = [v.value for v in optimizer.variables]
        (new,), _ = optimizer.stateless_apply(own, [2.0 * w * x], [w.value])
        return new

    assert float(grad(after_a_step)(3.0)) == -2.0


def test_weights_to_and_fro():
    optimizer, _ = train(OURS, lambda library: library.Adam(0.1))
    store = {}
    optimizer.save_own_variables(store)
    other, _ = train(OURS, lambda library: library.Adam(0.2), GRADIENTS[:1])
    other.load_own_variables(store)
    assert_close(arrays_of(other.variables), arrays_of(optimizer.variables), 0, 0)
    third, _ = train(OURS, lambda library: library.Adam(0.2), GRADIENTS[:1])
    third.set_weights(arrays_of(optimizer.variables))
    assert_close(arrays_of(third.variables), arrays_of(optimizer.variables), 0, 0)
    with pytest.raises(ValueError, match="has shape"):
        third.set_weights([np.zeros(2)])
    with pytest.raises(ValueError, match="before there are any"):
        optimizers.Adam().set_weights([])
    with pytest.warns(UserWarning, match="Skipping variable loading"):
        third.load_own_variables({"0": 1})


# ---- users' own
def keras_style(library, variable):
    """An optimizer written as Keras's guide says."""
    Base, o = library[2].Optimizer, keras.ops if library is THEIRS else ops

    class Mine(Base):
        def __init__(self, learning_rate=0.1, momentum=0.9, name="mine", **kwargs):
            super().__init__(learning_rate=learning_rate, name=name, **kwargs)
            self.momentum = momentum
            self.count = variable(0.0, name="count", trainable=False)

        def build(self, variables):
            super().build(variables)
            self.momentums, self.seconds = [], self.add_optimizer_variables(variables, ["a", "b"], ["zeros", "ones"])
            for v in variables:
                self.momentums.append(self.add_variable_from_reference(v, name="momentum"))
            self.raw = []
            self.raw.append(variable(1.0, name="raw", trainable=False))
            self.total = self.add_variable(shape=(), name="total")

        def update_step(self, gradient, variable, learning_rate):
            m = self.momentums[self._get_variable_index(variable)]
            self.assign(m, m * self.momentum - gradient * o.cast(learning_rate, variable.dtype))
            self.assign_add(variable, m)
            self.assign_sub(self.total, 1.0)
            self.assign_add(self.count, 1.0)

        def get_config(self):
            return {**super().get_config(), "momentum": self.momentum}

    return Mine


@pytest.mark.parametrize("options", [{}, {"gradient_accumulation_steps": 3}, {"clipnorm": 0.5, "weight_decay": 0.1}])
def test_an_optimizer_in_kerass_style(options):
    made = [keras_style(library, library[0]) for library in (THEIRS, OURS)]
    (theirs, their_weights), (ours, our_weights) = (
        train(library, lambda _, cls=cls: cls(**options)) for library, cls in zip((THEIRS, OURS), made, strict=True)
    )
    assert_close(arrays_of(our_weights), arrays_of(their_weights))
    assert [v.name for v in ours.variables] == [v.name for v in theirs.variables]
    assert_close(arrays_of(ours.variables), arrays_of(theirs.variables))
    assert ours.get_config() == theirs.get_config()
    again = optimizers.deserialize(optimizers.serialize(ours), custom_objects={"Mine": made[1]})
    assert type(again) is made[1] and again.get_config() == ours.get_config()


def test_subclasses_by_fields_and_by_init():
    class Plain(optimizers.Optimizer):
        factor: float = 2.0

        def update(self, w, g, lr):
            return w - self.factor * lr * g

    class Halved(optimizers.SGD):
        def __init__(self, rate, **kwargs):
            super().__init__(learning_rate=rate / 2, **kwargs)

    assert list(inspect.signature(Plain).parameters)[:3] == ["learning_rate", "factor", "weight_decay"]
    for optimizer, expected in ((Plain(0.5), 0.0), (Plain(0.5, 1.0), 0.5), (Halved(0.5), 0.75)):
        w = Variable([1.0])
        optimizer.apply([[1.0]], [w])
        assert w.numpy() == expected
    assert Plain(0.5).get_config()["factor"] == 2.0


# ---- get, serialize, errors
@pytest.mark.parametrize("cls", [*FAMILIES])
def test_get(cls):
    for name in (cls, cls.lower(), cls.upper()):
        assert type(optimizers.get(name)) is getattr(optimizers, cls)
    optimizer = optimizers.get({"class_name": cls.lower(), "config": {"learning_rate": 0.5}})
    assert float(optimizer.learning_rate) == 0.5 and optimizers.get(optimizer) is optimizer
    assert optimizers.get(None) is None


@pytest.mark.parametrize("identifier", ["nothing", 3, optimizers.SGD, {"class_name": "nothing", "config": {}}])
def test_get_refuses(identifier):
    with pytest.raises(ValueError, match="Could not interpret optimizer identifier"):
        optimizers.get(identifier)


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("SGD", {"learning_rate": 1}, ValueError, "should be float"),
        ("SGD", {"momentum": 1}, ValueError, "`momentum` must be a float"),
        ("SGD", {"momentum": 1.5}, ValueError, "`momentum` must be a float"),
        ("SGD", {"foo": 1}, ValueError, "not recognized"),
        ("SGD", {"clipnorm": 1.0, "clipvalue": 1.0}, ValueError, "Only one of"),
        ("SGD", {"use_ema": True, "ema_momentum": 2.0}, ValueError, "`ema_momentum` must be"),
        ("SGD", {"use_ema": True, "ema_overwrite_frequency": 1.5}, ValueError, "`ema_overwrite_frequency` must be"),
        ("SGD", {"gradient_accumulation_steps": 1}, ValueError, "`gradient_accumulation_steps` must be"),
        ("AdamW", {"weight_decay": None}, ValueError, "`weight_decay` must be a float"),
        ("Lion", {"beta_1": 0.0}, ValueError, "`beta_1` must be"),
        ("Ftrl", {"learning_rate_power": 0.5}, ValueError, "`learning_rate_power` needs to be negative"),
        ("Ftrl", {"l1_regularization_strength": -0.5}, ValueError, "needs to be positive or zero"),
        ("Ftrl", {"initial_accumulator_value": -0.5}, ValueError, "needs to be positive or zero"),
        ("Optimizer", {}, TypeError, "learning_rate"),
    ],
)
def test_refused_options(name, options, error, message):
    with pytest.raises(error, match=message):
        getattr(optimizers, name)(**options)
    with pytest.raises(error):
        getattr(keras.optimizers, name)(**options)


def test_refused_calls():
    variables, optimizer = weights(OURS), optimizers.SGD()
    with pytest.raises(ValueError, match="must already be built"):
        optimizer.apply(GRADIENTS[0])
    with pytest.raises(ValueError, match="must be built"):
        optimizer.stateless_apply([], GRADIENTS[0], [])
    optimizer.build(variables)
    with pytest.raises(ValueError, match="one to one"):
        optimizer.apply(GRADIENTS[0][:2])
    with pytest.raises(ValueError, match="Unknown variable"):
        optimizer.apply([[1.0]], [Variable([1.0])])
    with pytest.raises(ValueError, match="optimizer_variables"):
        optimizer.stateless_apply([], GRADIENTS[0], variables)
    with pytest.raises(ValueError, match="trainable_variables"):
        optimizer.stateless_apply(optimizer.variables, GRADIENTS[0], [])
    with pytest.raises(NotImplementedError, match="update_step"):
        optimizers.Optimizer(0.1).apply([[1.0]], [Variable([1.0])])
    with pytest.raises(ValueError, match="number of provided initializers"):
        optimizer.add_optimizer_variables(variables, ["a", "b"], ["zeros"])
    with pytest.warns(UserWarning, match="`decay` is no longer supported"):
        optimizers.SGD(decay=0.1)


def test_super_must_be_called():
    class Forgetful(optimizers.Optimizer):
        def __init__(self):
            self.momentum = 0.9

    with pytest.raises(RuntimeError, match="super"):
        Forgetful()


@pytest.mark.parametrize("name", ["Adagrad", "Adam", "Ftrl", "RMSprop", "SGD", "Optimizer"])
def test_legacy_names_say_what_to_use(name):
    with pytest.raises(ImportError, match="Keras 3"):
        getattr(optimizers.legacy, name)(0.1)


# ---- wrappers
def test_loss_scale_optimizer():
    def make(library):
        inner = library.Adam(0.05, name="inner", loss_scale_factor=3.0, clipnorm=1.0)
        return library.LossScaleOptimizer(inner, initial_scale=4.0, dynamic_growth_steps=3, name="outer")

    gradients = [[4.0 * g for g in gradient] for gradient in GRADIENTS]
    for step, bad in ((2, np.inf), (11, np.nan)):
        gradients[step] = [np.full_like(g, bad) if i == 1 else g for i, g in enumerate(gradients[step])]
    with np.errstate(all="raise"):
        ours, our_weights = train(OURS, make, gradients)
    theirs, their_weights = train(THEIRS, make, gradients)
    assert_close(arrays_of(our_weights), arrays_of(their_weights))
    assert_close(arrays_of(ours.variables), arrays_of(theirs.variables))
    assert [v.path for v in ours.variables] == [v.path for v in theirs.variables]
    assert ours.get_config() == theirs.get_config()
    again = optimizers.deserialize(optimizers.serialize(ours))
    assert again.get_config() == ours.get_config() and float(again.scale_loss(2.0)) == 8.0
    assert float(ours.scale_loss(2.0)) == pytest.approx(float(theirs.scale_loss(2.0)))
    assert int(ours.iterations) == int(theirs.iterations) == STEPS - 2
    ours.learning_rate = 0.5
    assert float(ours.inner_optimizer.learning_rate) == 0.5 == float(ours.learning_rate)


def test_loss_scale_optimizer_stateless():
    make = lambda library: library.LossScaleOptimizer(library.SGD(0.5, momentum=0.5), 4.0, 3)
    gradients = [*GRADIENTS[:2], [np.full_like(g, np.nan) for g in GRADIENTS[0]], *GRADIENTS[3:8]]
    optimizer, variables = train(OURS, make, gradients)
    pure, start = make(optimizers), weights(OURS)
    pure.build(start)
    trainable, own = start, pure.variables
    for gradient in gradients:
        trainable, own = pure.stateless_apply(own, gradient, trainable)
    assert_close(arrays_of(trainable), arrays_of(variables), 0, 0)
    assert_close(arrays_of(own), arrays_of(optimizer.variables), 0, 0)
    assert all(x.call is None for x in [*trainable, *own])


def test_loss_scale_optimizer_takes_no_options():
    inner = optimizers.SGD()
    optimizers.LossScaleOptimizer(inner, clipnorm=None, use_ema=False)  # older files name defaults
    for options in ({"clipnorm": 1.0}, {"learning_rate": 0.1}, {"foo": 1}, {"dynamic": False}):
        with pytest.raises(ValueError, match="LossScaleOptimizer"):
            optimizers.LossScaleOptimizer(inner, **options)


def test_multi_optimizer():
    theirs, ours = compare(multi, after=lambda optimizer, variables: optimizer.finalize_variable_values(variables))
    assert [v.path for v in ours.variables] == [v.path for v in theirs.variables]
    assert [o.name for o in ours.optimizers] == [o.name for o in theirs.optimizers]
    assert ours.get_config() == theirs.get_config()
    assert optimizers.serialize(ours) == keras.optimizers.serialize(theirs)
    assert optimizers.deserialize(optimizers.serialize(ours)).get_config() == ours.get_config()
    assert float(ours.scale_loss(1.5)) == 3.0 and ours.optimizers[0].loss_scale_factor == 2.0
    ours.loss_scale_factor = None
    assert ours.optimizers[0].loss_scale_factor is None
    ours.set_weights([np.zeros(v.shape) for v in ours.variables])
    assert not any(v.numpy().any() for v in ours.variables)
    for action in (lambda: ours.learning_rate, lambda: setattr(ours, "learning_rate", 0.1)):
        with pytest.raises(AttributeError, match="individual"):
            action()


def test_multi_optimizer_with_a_function():
    quick, slow = optimizers.SGD(1.0), optimizers.SGD(0.5)
    w, v = Variable([1.0], name="w"), Variable([1.0], name="v")
    optimizer = optimizers.MultiOptimizer(lambda variable: quick if variable.name == "w" else slow)
    optimizer.apply([[1.0], [1.0]], [w, v])
    assert (w.numpy(), v.numpy()) == (0.0, 0.5) and int(optimizer.iterations) == 1
    for bad in (optimizers.LossScaleOptimizer(optimizers.SGD()), optimizers.MultiOptimizer(lambda v: quick), "sgd"):
        with pytest.raises(ValueError, match=r"optimizer cannot be|not an Optimizer"):
            optimizers.MultiOptimizer(lambda variable, bad=bad: bad).build([w])


def test_optimizer_map_refuses():
    sgd = optimizers.SGD()
    chosen = optimizers.OptimizerMap(sgd, {"a.*": sgd, ".*b": sgd})
    with pytest.raises(ValueError, match="Multiple optimizers"):
        chosen["ab"]
    assert chosen["c"] is sgd and len(chosen) == 2 and list(chosen) == ["a.*", ".*b"]
    for key, value in ((1, sgd), ("a.*", sgd), ("d", "sgd"), ("d", optimizers.LossScaleOptimizer(sgd))):
        with pytest.raises(ValueError):
            chosen[key] = value
    del chosen["a.*"]
    assert chosen["ab"] is sgd
    for bad in (("sgd",), (sgd, [])):
        with pytest.raises(TypeError):
            optimizers.OptimizerMap(*bad)
