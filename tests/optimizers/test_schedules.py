"""Learning rate schedules against real Keras, step by step."""

import inspect

import keras
import numpy as np
import pytest

from kerasish.backend.autodiff.variable import Variable
from kerasish.optimizers import schedules

THEIRS = keras.optimizers.schedules
CASES = [
    ("ExponentialDecay", (0.1, 10, 0.7), {}),
    ("ExponentialDecay", (0.1, 10, 0.7), {"staircase": True, "name": "mine"}),
    ("InverseTimeDecay", (0.1, 10, 0.7), {}),
    ("InverseTimeDecay", (0.1, 10, 0.7), {"staircase": True}),
    ("PolynomialDecay", (0.1, 20), {}),
    ("PolynomialDecay", (0.1, 20), {"end_learning_rate": 0.01, "power": 0.5}),
    ("PolynomialDecay", (0.1, 8), {"power": 2.0, "cycle": True}),
    ("PiecewiseConstantDecay", ([5, 12, 30], [1.0, 0.5, 0.25, 0.1]), {}),
    ("PiecewiseConstantDecay", ([5], [1.0, 0.5]), {}),
    ("CosineDecay", (0.1, 20), {}),
    ("CosineDecay", (0.1, 20), {"alpha": 0.2}),
    ("CosineDecay", (0.01, 20), {"alpha": 0.2, "warmup_target": 0.1, "warmup_steps": 7}),
    ("CosineDecay", (0.01, 20), {"warmup_target": 0.1}),
    ("CosineDecayRestarts", (0.1, 10), {}),
    ("CosineDecayRestarts", (0.1, 7), {"t_mul": 1.0, "m_mul": 0.8, "alpha": 0.1}),
    ("CosineDecayRestarts", (0.1, 9), {"t_mul": 1.5, "m_mul": 0.8}),
]


@pytest.mark.parametrize(("name", "args", "options"), CASES)
def test_every_step_equals_keras(name, args, options):
    ours, theirs = getattr(schedules, name)(*args, **options), getattr(THEIRS, name)(*args, **options)
    expected = keras.ops.vectorized_map(theirs, np.arange(75, dtype="int32"))
    np.testing.assert_allclose([float(ours(step)) for step in range(75)], expected, rtol=1e-5, atol=1e-7)
    rate = ours(Variable(3, dtype="int32", trainable=False))
    assert rate.dtype == "float32" and rate.shape == ()
    assert ours.get_config() == theirs.get_config()
    assert schedules.serialize(ours) == THEIRS.serialize(theirs)
    assert schedules.deserialize(THEIRS.serialize(theirs)).get_config() == ours.get_config()


def test_every_schedule_and_every_option_is_in_a_case():
    classes = {name for name, value in vars(schedules).items() if inspect.isclass(value)} - {"LearningRateSchedule"}
    assert classes == {name for name, _, _ in CASES}
    for name in classes:
        parameters = list(inspect.signature(getattr(schedules, name)).parameters)
        varied = {option for case in CASES if case[0] == name for option in (*parameters[: len(case[1])], *case[2])}
        assert set(parameters) - varied <= {"name"}, name


@pytest.mark.parametrize("name", sorted({name for name, _, _ in CASES}))
def test_signatures(name):
    ours, theirs = (inspect.signature(getattr(library, name)).parameters.values() for library in (schedules, THEIRS))
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


def test_restarts_are_exact():
    # one would expect the full rate at each restart; a logarithm in float32 that is a little low would give alpha instead
    for t_mul in (2.0, 3.0, 1.5, 4.0):
        first = 16
        rate = schedules.CosineDecayRestarts(0.1, first, t_mul=t_mul)
        starts = [first * (t_mul**n - 1) / (t_mul - 1) for n in range(9)]
        for start in starts:
            if start == int(start):
                assert float(rate(int(start))) == pytest.approx(0.1), (t_mul, start)


def test_warmup_from_zero():
    rate = schedules.CosineDecay(0, 10, warmup_target=0.1, warmup_steps=5)
    assert [float(rate(s)) for s in (0, 5)] == pytest.approx([0.0, 0.1])


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("ExponentialDecay", (0.1, 0, 0.5), "`decay_steps` must be > 0"),
        ("InverseTimeDecay", (0.1, 0, 0.5), "`decay_steps` must be > 0"),
        ("PolynomialDecay", (0.1, 0, 0.5), "`decay_steps` must be > 0"),
        ("CosineDecay", (0.1, -1), "`decay_steps` must be > 0"),
        ("CosineDecayRestarts", (0.1, 0), "`first_decay_steps` must be > 0"),
        ("PiecewiseConstantDecay", ([1, 2], [0.1]), "1 less than the length of values"),
    ],
)
def test_refused_arguments(name, args, message):
    for library in (schedules, THEIRS):
        with pytest.raises(ValueError, match=message):
            getattr(library, name)(*args)


def test_schedules_of_ones_own():
    class Mine(schedules.LearningRateSchedule):
        def __init__(self, rate):
            self.rate = rate

        def __call__(self, step):
            return self.rate / (step + 1)

    assert Mine(0.5)(4) == 0.1
    with pytest.raises(NotImplementedError, match="get_config"):
        Mine(0.5).get_config()
    with pytest.raises(NotImplementedError, match="__call__"):
        schedules.LearningRateSchedule()(1)
    with pytest.raises(TypeError, match="Could not locate class"):
        schedules.deserialize({"class_name": "Nothing", "config": {}})
