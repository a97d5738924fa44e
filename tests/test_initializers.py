import inspect
import json

import keras
import numpy as np
import pytest
import scipy.signal
from keras.src.initializers import ALL_OBJECTS_DICT

from kerasish import initializers, random
from kerasish.backend.autodiff.tensor import Tensor
from kerasish.backend.random import set_random_seed
from kerasish.saveable import CustomObjectScope, Saveable, deserialize_keras_object, serialize_keras_object

CLASSES = sorted(n for n in initializers.__all__ if n[0].isupper() and n != "Initializer")
SAMPLES = {
    "Constant": {"value": 2.0},
    "GlorotUniform": {"seed": 3, "input_axes": [0], "output_axes": [1]},
    "HeNormal": {"seed": 7},
    "Orthogonal": {"gain": 2.0},
    "RandomNormal": {"mean": 1.0, "stddev": 2.0, "seed": 3},
    "RandomUniform": {"minval": 1.0, "maxval": 2.0, "seed": 3},
    "STFT": {"side": "imag", "window": "hamming", "scaling": "spectrum", "periodic": True},
    "TruncatedNormal": {"mean": 1.0, "stddev": 2.0, "seed": 3},
    "VarianceScaling": {"scale": 2.0, "mode": "fan_out", "distribution": "Normal", "input_axes": [0], "output_axes": [1]},
}


@pytest.mark.parametrize("name", initializers.__all__)
def test_signatures(name):
    ours, theirs = getattr(initializers, name), getattr(keras.initializers, name)
    assert str(inspect.signature(ours)) == str(inspect.signature(theirs))


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("sample", [False, True])
def test_configs(name, sample):
    kwargs = SAMPLES.get(name, {}) if sample else {}
    ours, theirs = getattr(initializers, name)(**kwargs), getattr(keras.initializers, name)(**kwargs)
    config = serialize_keras_object(ours)
    assert config == keras.saving.serialize_keras_object(theirs)
    config = json.loads(json.dumps(config))
    again = deserialize_keras_object(config)
    assert type(again) is type(ours) and serialize_keras_object(again) == config
    assert ours.clone().get_config() == ours.get_config() and ours.clone() is not ours


def test_config_of_a_generator_as_the_seed():
    ours = initializers.HeNormal(random.SeedGenerator(3, name="s"))
    config = serialize_keras_object(ours)
    assert config == keras.saving.serialize_keras_object(keras.initializers.HeNormal(keras.random.SeedGenerator(3, name="s")))
    again = deserialize_keras_object(config)
    assert isinstance(again.seed, random.SeedGenerator)
    assert again((4,)).tolist() == ours((4,)).tolist()


def test_identity_keeps_its_gain():
    config = serialize_keras_object(initializers.Identity(3.0))
    assert deserialize_keras_object(config).gain == 3.0
    assert keras.saving.deserialize_keras_object(config).gain == 3.0


@pytest.mark.parametrize("value", [2, 3.5, [1.0, 2.0], np.array([1.0, 2.0], "float32")])
def test_constant(value):
    ours, theirs = initializers.Constant(value), keras.initializers.Constant(value)
    config = json.loads(json.dumps(serialize_keras_object(ours)))
    assert config == json.loads(json.dumps(keras.saving.serialize_keras_object(theirs)))
    for made in (ours, deserialize_keras_object(config)):
        for dtype in ("float32", "int32", "float16", None):
            y = made((3, 2), dtype)
            assert y.dtype == (dtype or "float32")
            np.testing.assert_array_equal(y, theirs((3, 2), dtype))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", None])
@pytest.mark.parametrize("made", ["Zeros", "Ones", "Identity"])
def test_given_values(made, dtype):
    for shape in ((2, 3), (3, 2)):
        ours, theirs = getattr(initializers, made)()(shape, dtype), getattr(keras.initializers, made)()(shape, "float32")
        assert ours.dtype == (dtype or "float32")
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("side", ["real", "imag"])
@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("scaling", [None, "density", "spectrum"])
@pytest.mark.parametrize("window", [None, "hann", "tukey", np.arange(1.0, 9.0)])
def test_stft(side, window, scaling, periodic):
    ours = initializers.STFT(side, window, scaling, periodic)
    theirs = keras.initializers.STFT(side, window, scaling, periodic)
    np.testing.assert_allclose(ours((8, 1, 5)), theirs((8, 1, 5)), rtol=1e-5, atol=2e-6)
    again = deserialize_keras_object(json.loads(json.dumps(serialize_keras_object(ours))))
    np.testing.assert_array_equal(again((8, 1, 5)), ours((8, 1, 5)))


@pytest.mark.parametrize("name", initializers._COSINES)
@pytest.mark.parametrize("length", [1, 2, 9, 10])
def test_windows(name, length):
    for periodic in (False, True):
        ours = initializers._window(name, length, periodic)
        np.testing.assert_allclose(ours, scipy.signal.get_window(name, length, periodic), atol=1e-12)


# ---- random values: the distribution that Keras's formulas give
RANDOM = [
    ("RandomNormal", {}), ("RandomNormal", {"mean": 1.0, "stddev": 0.5}), ("RandomUniform", {}),
    ("TruncatedNormal", {"stddev": 2.0}),
    ("GlorotUniform", {}), ("GlorotNormal", {}), ("HeUniform", {}), ("HeNormal", {}), ("LecunUniform", {}), ("LecunNormal", {}),
    *[("VarianceScaling", {"scale": 3.0, "mode": mode, "distribution": distribution})
      for mode in ("fan_in", "fan_out", "fan_avg") for distribution in ("uniform", "truncated_normal", "untruncated_normal")],
    ("VarianceScaling", {"input_axes": [2], "output_axes": [0, 1]}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "kwargs"), RANDOM)
def test_random_values_are_distributed_as_keras(name, kwargs):
    shape = (3, 5, 40, 70)
    ours = getattr(initializers, name)(seed=1, **kwargs)(shape).numpy()
    theirs = np.asarray(getattr(keras.initializers, name)(seed=1, **kwargs)(shape))
    assert abs(ours.mean() - theirs.mean()) < 0.03 * theirs.std()
    for q in (0.0, 0.05, 0.3, 0.5, 0.7, 0.95, 1.0):
        room = 0.25 if q in (0.0, 1.0) else 0.03
        assert abs(np.quantile(ours, q) - np.quantile(theirs, q)) < room * theirs.std(), q


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (2, 3, 4)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_orthogonal(shape, dtype):
    q = initializers.Orthogonal(2.0, seed=1)(shape, dtype)
    assert (q.shape, q.dtype) == (shape, dtype)
    q = q.numpy().reshape(-1, shape[-1]).astype("float64") / 2
    product = q @ q.T if q.shape[0] < q.shape[1] else q.T @ q
    np.testing.assert_allclose(product, np.eye(min(q.shape)), atol={"float64": 1e-12, "float32": 1e-5}.get(dtype, 3e-3))


@pytest.mark.parametrize("shape", [(), (7,), (2, 3), (3, 3, 4, 5), (0, 3)])
def test_fans(shape):
    from keras.src.initializers.random_initializers import compute_fans

    assert initializers.compute_fans(shape) == compute_fans(shape)
    if len(shape) > 1:
        assert initializers.compute_fans(shape, [0], [1]) == compute_fans(shape, [0], [1])


# ---- seeds
@pytest.mark.parametrize("name", ["RandomNormal", "TruncatedNormal", "RandomUniform", "HeNormal", "Orthogonal"])
def test_seeds(name):
    cls = getattr(initializers, name)
    fixed, drawn, counting = cls(seed=3), cls(), cls(seed=random.SeedGenerator(3))
    assert fixed((2, 3)).tolist() == fixed((2, 3)).tolist() == cls(seed=3)((2, 3)).tolist()
    assert drawn((2, 3)).tolist() == drawn((2, 3)).tolist() != drawn.clone()((2, 3)).tolist()
    assert counting((2, 3)).tolist() != counting((2, 3)).tolist()


def test_default_seeds_come_from_pythons_random_as_in_keras():
    set_random_seed(5)
    ours = [initializers.HeNormal().seed for _ in range(2)]
    keras.utils.set_random_seed(5)
    assert ours == [keras.initializers.HeNormal().seed for _ in range(2)]


# ---- by name
@pytest.mark.parametrize("name", sorted(ALL_OBJECTS_DICT))
def test_names(name):
    expected = ALL_OBJECTS_DICT[name].__name__
    config = {"class_name": name, "config": {}}
    for identifier in (name, config, {"module": "keras.initializers", **config}):
        assert type(initializers.get(identifier)).__name__ == expected
    assert type(initializers.deserialize(name)).__name__ == expected


def test_other_identifiers():
    zeros = initializers.Zeros()
    assert initializers.get(zeros) is zeros
    assert initializers.get(None) is None
    assert isinstance(initializers.get(initializers.Zeros), initializers.Zeros)

    def function(shape, dtype=None):
        return Tensor(np.full(shape, 7.0))

    assert initializers.get(function) is function
    with CustomObjectScope({"sevens": function}):
        assert initializers.get("sevens") is function
    for values in (np.array([1.0, 2.0]), Tensor([1.0, 2.0])):
        given = initializers.get(values)
        assert given((2,), "int32").tolist() == [1, 2]
        with pytest.raises(ValueError, match="Expected `shape` to be"):
            given((3,))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda i: i.get("foo"), ValueError, "Could not interpret initializer identifier: foo"),
        (lambda i: i.get(3), ValueError, "Could not interpret initializer identifier: 3"),
        (lambda i: i.get({"class_name": "foo", "config": {}}), ValueError, "Could not interpret initializer"),
        (lambda i: i.GlorotUniform("a"), ValueError, "`seed` argument should be"),
        (lambda i: i.RandomNormal(seed=1.0), ValueError, "`seed` argument should be"),
        (lambda i: i.VarianceScaling(-1), ValueError, "`scale` must be positive"),
        (lambda i: i.VarianceScaling(mode="fan"), ValueError, "Invalid `mode` argument: fan"),
        (lambda i: i.VarianceScaling(distribution="x"), ValueError, "Invalid `distribution` argument: x"),
        (lambda i: i.Initializer()((2,)), NotImplementedError, "must implement the `__call__"),
        (lambda i: i.Initializer(1), TypeError, "takes no arguments"),
        (lambda i: i.STFT("x"), ValueError, "side should be 'real' or 'imag'"),
        (lambda i: i.STFT(window="xx"), ValueError, "xx"),
        (lambda i: i.STFT(scaling="xx"), ValueError, "Scaling is invalid"),
        (lambda i: i.STFT(window=[1.0])((8, 1, 5)), ValueError, "shape of `window`"),
        (lambda i: i.Orthogonal()((3,)), ValueError, "at least two-dimensional"),
        (lambda i: i.Identity()((3,)), ValueError, "2D matrices"),
    ],
)
def test_errors_are_keras(call, error, message):
    for module in (initializers, keras.initializers):
        with pytest.raises(error, match=message):
            call(module)


# ---- users' own
def test_subclass_with_its_own_constructor():
    class Scaled(initializers.Initializer):
        def __init__(self, factor):
            self.factor = factor

        def __call__(self, shape, dtype=None):
            return random.normal(shape, stddev=self.factor, dtype=dtype, seed=1)

        def get_config(self):
            return {"factor": self.factor}

    config = serialize_keras_object(Scaled(2.0))
    assert config["class_name"] == "Scaled" and config["config"] == {"factor": 2.0}
    with CustomObjectScope({"Scaled": Scaled}):
        assert initializers.get(config).factor == 2.0
        assert Scaled(3.0).clone().factor == 3.0
    with pytest.raises(TypeError, match="Could not locate class 'Scaled'"):
        initializers.get(config)


def test_subclass_of_a_built_in():
    class Wide(initializers.VarianceScaling):
        def __init__(self, seed=None):
            super().__init__(scale=4.0, mode="fan_out", seed=seed)

        def get_config(self):
            return {"seed": super().get_config()["seed"]}

    made = Wide(seed=2).clone()
    assert (made.scale, made.mode, made.seed) == (4.0, "fan_out", 2)


def test_as_a_field():
    class Owner(Saveable):
        kernel_initializer: initializers.Initializer = "glorot_uniform"
        bias_initializer: initializers.Initializer = None

    owner = Owner(bias_initializer=initializers.Zeros)
    assert isinstance(owner.kernel_initializer, initializers.GlorotUniform)
    assert Owner().bias_initializer is None
    assert owner.get_config() == {
        "kernel_initializer": keras.initializers.serialize(keras.initializers.GlorotUniform()),
        "bias_initializer": keras.initializers.serialize(keras.initializers.Zeros()),
    }
    assert isinstance(Owner.from_config(owner.get_config()).bias_initializer, initializers.Zeros)
