"""Random numbers: a seed and a counter in, the same numbers out, on every array library, eager, replayed and resumed.

All numbers come from the bits of Philox4x64-10, a counter-based generator (J. Salmon et al. 2011), with the key
``[seed, counter]``; a :class:`SeedGenerator` counts. The key is a tensor and an input like any other, so a recorded step draws
anew at each replay. Kernels turn bits into numbers by integer and elementwise arithmetic alone.
"""

import math
import random as python_random

import numpy as np

from kerasish import config
from kerasish.backend.autodiff.dtypes import is_float, is_int, keep, numpy_dtype, standardize_dtype, to, to_attribute
from kerasish.backend.autodiff.op import add, as_tensor, composite, op
from kerasish.backend.autodiff.shapes import broadcast, first, normalize_axis, same
from kerasish.backend.autodiff.state import auto_name, name_scope, state
from kerasish.backend.autodiff.tensor import Tensor, standardize_shape
from kerasish.backend.autodiff.variable import Variable
from kerasish.saveable import Saveable

_GENERATOR, _SEED = "global_seed_generator", "global_random_seed"
config._on_backend.append(lambda name: state.global_attributes.pop(_GENERATOR, None))  # its counter is an array of another library


# ---- seeds
class SeedGenerator(Saveable):
    """A seed and a counter of the draws made with it, in the variable ``state`` (``keras.random.SeedGenerator``).

    Each draw with the generator gives other numbers; the same seed gives the same sequence of them. ``seed=None`` takes one
    from Python's ``random``. Raises ValueError for a seed that is no integer.

    >>> generator = SeedGenerator(42)
    >>> generator.next().tolist(), generator.next().tolist()
    ([42, 0], [42, 1])
    """

    keras_module = "keras.random"

    def __init__(self, seed=None, name=None, **kwargs):
        if kwargs:
            raise ValueError(f"Unrecognized keyword arguments: {kwargs}")
        if seed is not None and not isinstance(seed, (int, np.integer)):
            raise ValueError(f"Argument `seed` must be an integer. Received: seed={seed}")
        self.name = name or auto_name(type(self).__name__)
        self._initial_seed = None if seed is None else int(seed)
        start = _first_key(make_default_seed() if seed is None else seed)
        with name_scope(self.name, caller=self):
            self.state = Variable(start, trainable=False, aggregation="none", name="seed_generator_state")

    def next(self, ordered=True):
        """The key ``[seed, counter]`` of the next draw. ``ordered=False`` goes on to a scrambled state, as Keras does."""
        key = self.state.value
        self.state.assign(add(key, _first_key(0, 1)) if ordered else _scrambled(key))
        return key

    def get_config(self):
        return {"seed": self._initial_seed, "name": self.name}


def _first_key(seed, counter=0):
    return Tensor([int(seed) & 0xFFFFFFFF, counter], dtype="uint32")


@op(same, [None], module="random")
def _scrambled(xp, key):
    return (key + 1) * 5387 % 933199  # in 32 bits, wrapping around


def make_default_seed():
    """A seed from Python's ``random``, whose own seed thus decides it."""
    return python_random.randint(1, int(1e9))


def global_seed_generator():
    """The generator of draws that are given no seed."""
    attributes = state.global_attributes
    if attributes.get(_GENERATOR) is None:
        attributes[_GENERATOR] = SeedGenerator(attributes.get(_SEED))
    return attributes[_GENERATOR]


def set_random_seed(seed):
    """Seed Python's ``random``, NumPy and the draws that are given no seed (``keras.utils.set_random_seed``).

    >>> set_random_seed(1)
    >>> a = uniform(())
    >>> set_random_seed(1)
    >>> float(a) == float(uniform(()))
    True
    """
    if not isinstance(seed, int):
        raise ValueError(f"`seed` has to be an integer, got {seed} ({type(seed)})")
    python_random.seed(seed)
    np.random.seed(seed)
    state.global_attributes[_SEED] = seed
    state.global_attributes.pop(_GENERATOR, None)
    config._changes.count += 1  # recorded steps that draw without a seed hold the generator


def get_random_seed():
    """What :func:`set_random_seed` was given last, None if nothing."""
    return state.global_attributes.get(_SEED)


def draw_seed(seed):
    """The key for one draw: of a SeedGenerator its next, of an integer always the same, of None the global generator's."""
    if isinstance(seed, SeedGenerator):
        return seed.next()
    if isinstance(seed, (int, np.integer)):
        return _first_key(seed)
    if seed is None:
        return global_seed_generator().next()
    if isinstance(seed, Tensor) and seed.shape == (2,):
        return seed
    raise ValueError(f"Argument `seed` must be either an integer or a `SeedGenerator`, got {seed} ({type(seed)})")


def _key(seed, shape):
    """The key for numbers of that shape; one without a value where sizes are unknown, so that the result has none either."""
    key = draw_seed(seed)
    if None not in shape:
        return key
    if state.stateless is None and not state.symbolic:
        raise TypeError(f"Random numbers need a shape of integers. Received: shape={shape}")
    return Tensor(None, key.shape, key.dtype)


def _shape(shape):
    return standardize_shape([shape] if isinstance(shape, (int, np.integer)) else shape)


def _float_dtype(dtype, function):
    dtype = standardize_dtype(dtype)
    if not is_float(dtype):
        raise ValueError(f"`keras.random.{function}` requires a floating point `dtype`. Received: dtype={dtype}")
    return dtype


# ---- from bits to numbers: helpers of kernels; the arrays they return are new and may be changed
_FORMATS = {"float16": (16, 11), "bfloat16": (16, 8), "float32": (32, 24), "float64": (64, 53)}  # bits drawn, bits used


def _words(xp, key, size, width):
    """Unsigned integers of 8, 16, 32 or 64 random bits."""
    return xp.random_bits(key, -(-size * width // 32)).view(f"uint{width}")[:size]


def _split(xp, key, number):
    """Keys for independent draws within one."""
    return xp.random_bits(key, 2 * number).reshape(number, 2)


def _unit(xp, key, size, dtype):
    """Uniform on [0, 1): as many of the top bits as the dtype holds exactly."""
    width, digits = _FORMATS[dtype]
    words = _words(xp, key, size, width)
    words >>= width - digits
    floats = words.view(f"int{width}").astype(numpy_dtype(dtype))  # signed integers convert faster
    floats *= 2.0**-digits
    return floats


def _open_unit(xp, key, size):
    """Uniform on (0, 1) in float64, with neither end: its logarithm is finite and not 0."""
    return (_words(xp, key, size, 32) + 0.5) * 2.0**-32


def _standard_normal(xp, key, size, dtype):
    """Box and Muller 1958: two normal numbers of two uniform ones."""
    half = -(-size // 2)
    uniform = _unit(xp, key, 2 * half, dtype)
    radius, angle = uniform[:half], uniform[half:]
    xp.subtract(1.0, radius, out=radius)  # (0, 1]
    xp.log(radius, out=radius)
    radius *= -2.0
    xp.sqrt(radius, out=radius)
    angle *= 2.0 * math.pi
    normal = xp.empty(2 * half, numpy_dtype(dtype))
    xp.cos(angle, out=normal[:half])
    xp.sin(angle, out=normal[half:])
    normal[:half] *= radius
    normal[half:] *= radius
    return normal[:size]


# M. Giles 2010, "Approximating the erfinv function": the middle branch, in w - 2.5 for w = -log(1 - x**2); holds for w < 5
_ERFINV = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164,
           0.246640727, 1.50140941)  # fmt: skip
_ERF_OF_TWO_SIGMA = math.erf(math.sqrt(2.0))


def _standard_truncated_normal(xp, key, size, dtype):
    """The inverse of the distribution function between -2 and 2, where the arguments of erfinv stay below 0.955."""
    if dtype == "float64":
        x = 2.0 * _unit(xp, key, size, dtype) - 1.0
        y = math.sqrt(2.0) * xp.erfinv(x * _ERF_OF_TWO_SIGMA)
    else:
        words = _words(xp, key, size, 32).view("int32")
        words >>= 7  # 25 bits, one of them the sign
        x = words.astype(xp.float32)
        x *= _ERF_OF_TWO_SIGMA * 2.0**-24
        w = x * x
        xp.subtract(1.0, w, out=w)
        xp.log(w, out=w)
        xp.subtract(-2.5, w, out=w)
        y = w * _ERFINV[0]
        for c in _ERFINV[1:-1]:
            y += c
            y *= w
        y += _ERFINV[-1]
        y *= x
        y *= math.sqrt(2.0)
    return xp.clip(y, -2.0, 2.0, out=y)


def _log_gamma(xp, key, alpha):
    """Logarithms of gamma variates: Marsaglia and Tsang 2000, redrawing what is refused; NaN where alpha isn't positive."""
    valid = (alpha > 0) & (alpha < math.inf)
    alpha = xp.where(valid, alpha, 1.0)
    d = xp.where(alpha < 1, alpha + 1, alpha) - 1 / 3
    c = 1 / xp.sqrt(9 * d)
    log_v = xp.zeros_like(d)
    pending = xp.arange(d.size)
    key, boost_key = _split(xp, key, 2)
    while pending.size:
        key, normal_key, uniform_key = _split(xp, key, 3)
        x, dp = _standard_normal(xp, normal_key, pending.size, "float64"), d[pending]
        v = (1 + c[pending] * x) ** 3
        accepted = v > 0
        log_vp = xp.log(xp.where(accepted, v, 1.0))
        accepted &= xp.log(_open_unit(xp, uniform_key, pending.size)) < 0.5 * x * x + dp * (1 - v + log_vp)
        log_v[pending[accepted]] = log_vp[accepted]
        pending = pending[~accepted]
    boost = xp.log(_open_unit(xp, boost_key, d.size)) / alpha  # gamma(a) is gamma(a + 1) times uniform ** (1 / a)
    return xp.where(valid, xp.log(d) + log_v + xp.where(alpha < 1, boost, 0.0), math.nan)


def _beta(xp, key, alpha, beta):
    """Of two gamma variates, the part that is the first; their logarithms keep small parameters from underflowing to 0 / 0."""
    alpha_key, beta_key = _split(xp, key, 2)
    x, y = _log_gamma(xp, alpha_key, alpha), _log_gamma(xp, beta_key, beta)
    top = xp.maximum(x, y)
    x, y = xp.exp(x - top), xp.exp(y - top)
    return x / (x + y)


_FEW = 16  # trials that are counted one by one


def _binomial(xp, key, counts, p):
    """Relles 1972: how many of n uniform numbers lie below p. The middle one of them is a beta variate, and halves n."""
    valid = (counts >= 0) & (counts < math.inf) & (p >= 0) & (p <= 1)
    n, p = xp.where(valid, xp.floor(counts), 0.0), xp.where(valid, p, 0.0)
    successes = xp.zeros_like(n)
    many = xp.flatnonzero(n > _FEW)
    while many.size:
        key, beta_key = _split(xp, key, 2)
        trials, below = n[many], p[many]
        rank = xp.floor(trials / 2) + 1
        middle = _beta(xp, beta_key, rank, trials + 1 - rank)
        left = middle <= below  # then `rank` successes are certain, and the rest lies between the middle and 1
        successes[many] += xp.where(left, rank, 0.0)
        n[many] = xp.where(left, trials - rank, rank - 1)
        share = xp.where(left, (below - middle) / (1 - middle), below / middle)
        p[many] = xp.clip(share, 0.0, 1.0)
        many = many[n[many] > _FEW]
    trials = _open_unit(xp, key, _FEW * n.size).reshape(_FEW, n.size)
    successes += ((trials < p) & (xp.arange(_FEW)[:, None] < n)).sum(axis=0)
    return xp.where(valid, successes, math.nan)


def _flat(xp, x, shape):
    return xp.broadcast_to(x, shape).ravel().astype(xp.float64)


# ---- the primitives: what a recorded step draws
def _given_shape(*inputs, shape, **attributes):
    return shape


def _drawn(inputs, dtype=to_attribute, shape=_given_shape):
    """Declares a primitive whose inputs, the key first, get no gradients."""
    return op(shape, [None] * inputs, dtype, module="random")


@_drawn(1, to("uint32"))
def random_bits(xp, key, shape):
    """Random 32-bit unsigned integers.

    >>> random_bits(draw_seed(7), (2, 3)).shape
    (2, 3)
    """
    return xp.random_bits(key, math.prod(shape)).reshape(shape)


@_drawn(1)
def _uniform(xp, key, shape, low, high, dtype):
    x = _unit(xp, key, math.prod(shape), dtype).reshape(shape)
    if high - low != 1:
        x *= high - low
    if low or high < 0:
        x += low
        x = _kept_inside(xp, x, xp.asarray(low, dtype=x.dtype), xp.asarray(high, dtype=x.dtype))
    return x


def _kept_inside(xp, x, low, high):
    """Rounding can reach the upper end, which the interval leaves out; an empty interval gives its lower end."""
    return xp.maximum(xp.minimum(x, xp.nextafter(high, xp.full_like(high, -math.inf))), low)


@op(broadcast, [lambda g, y, x, low, high: g, None, None], module="random")
def _inside(xp, x, low, high):
    return _kept_inside(xp, x, low, high)


def _normal_kernel(standard):
    """Kernel that draws in float32 or float64, then scales and shifts, and only then rounds to a narrower dtype."""

    def kernel(xp, key, shape, mean, stddev, dtype):
        x = standard(xp, key, math.prod(shape), "float64" if dtype == "float64" else "float32")
        if stddev != 1:
            x *= stddev
        if mean:
            x += mean
        return x.reshape(shape).astype(numpy_dtype(dtype), copy=False)

    kernel.__name__ = standard.__name__
    return kernel


_normal = _drawn(1)(_normal_kernel(_standard_normal))
_truncated_normal = _drawn(1)(_normal_kernel(_standard_truncated_normal))


@_drawn(3)
def _randint(xp, key, low, high, shape, dtype):
    """The upper half of a product of 64 random bits and the number of choices: bias at most that number over 2**64."""
    bits = _words(xp, key, math.prod(shape), 64).reshape(shape)
    choices = xp.where(high > low, high - low, 0).astype(xp.uint64)
    upper, lower = choices >> 32, choices & 0xFFFFFFFF
    bits_upper, bits_lower = bits >> 32, bits & 0xFFFFFFFF
    middle = bits_upper * lower + (bits_lower * lower >> 32)
    carry = bits_lower * upper + (middle & 0xFFFFFFFF)
    offset = bits_upper * upper + (middle >> 32) + (carry >> 32)
    return (low + offset.astype(xp.int64)).astype(numpy_dtype(dtype))


@_drawn(2, shape=lambda key, logits, num_samples, **_: (logits[0], num_samples))
def _categorical(xp, key, logits, num_samples, dtype):
    """Gumbel's trick: the largest of logits plus noise."""
    rows, classes = logits.shape
    noise = _open_unit(xp, key, rows * num_samples * classes).reshape(rows, num_samples, classes)
    noise = -xp.log(-xp.log(noise))
    noise += logits[:, None, :]
    return xp.argmax(noise, axis=-1).astype(numpy_dtype(dtype))


@_drawn(2)
def _gamma_draw(xp, key, alpha, shape, dtype):
    alpha = _flat(xp, alpha, shape)
    y = xp.where(alpha == 0, 0.0, xp.exp(_log_gamma(xp, key, alpha)))
    return y.astype(numpy_dtype(dtype)).reshape(shape)


@_drawn(3)
def _beta_draw(xp, key, alpha, beta, shape, dtype):
    y = _beta(xp, key, _flat(xp, alpha, shape), _flat(xp, beta, shape))
    return y.astype(numpy_dtype(dtype)).reshape(shape)


@_drawn(3)
def _binomial_draw(xp, key, counts, probabilities, shape, dtype):
    y = _binomial(xp, key, _flat(xp, counts, shape), _flat(xp, probabilities, shape))
    return y.astype(numpy_dtype(dtype)).reshape(shape)


@_drawn(1, to("bool"))
def keep_mask(xp, key, shape, rate):
    """False with probability ``rate``, to 2**-40: a byte decides, and for one in 256 of them, a tie, 32 bits more.

    A byte each is a quarter of the bits that a float would take, and the bits are most of the time that dropout takes.
    """
    if rate >= 1:
        return xp.zeros(shape, bool)
    size = math.prod(shape)
    threshold, rest = divmod(min(round(rate * 2**40), 2**40 - 1), 2**32)
    spare = -(-size // 256) if rest else 0
    bits = xp.random_bits(key, spare + -(-size // 4))
    coarse = bits[spare:].view("uint8")[:size]
    mask = coarse >= threshold
    if rest:
        ties = xp.flatnonzero(coarse == threshold)
        mask[ties] = (bits[:spare] >= rest)[ties % spare]
    return mask.reshape(shape)


def _masked_shape(x, mask, scale):
    if len(mask) > len(x) or broadcast(x, mask) != x:
        raise ValueError(f"Dropout: a mask of shape {mask} (`noise_shape`) does not fit inputs of shape {x}.")
    return x


@op(_masked_shape, [lambda g, y, x, mask, scale: masked_scale(g, mask, scale), None], keep, module="random")
def masked_scale(xp, x, mask, scale):
    """``x * scale`` where the mask is true, else 0."""
    _masked_shape(x.shape, mask.shape, scale)
    # the integer with the same bits times 0 or 1: no branch as in `where`, and what is dropped is 0 even if it was NaN
    y = xp.multiply(x.view(f"int{8 * x.itemsize}"), mask).view(x.dtype)
    y *= scale
    return y


@_drawn(1, to("int64"))
def _random_order(xp, key, shape, axis):
    return xp.argsort(_words(xp, key, math.prod(shape), 64).reshape(shape), axis=axis)


@op(same, [None], module="random")
def _inverse_order(xp, order, axis):
    return xp.argsort(order, axis=axis)


@op(first, [lambda g, y, x, order, axis: _reorder(g, _inverse_order(order, axis), axis), None], keep, module="random")
def _reorder(xp, x, order, axis):
    return xp.take_along_axis(x, order, axis)


# ---- keras.random
def _parameters(shape, dtype, *values):
    """Parameters of a distribution as tensors; ValueError where they don't broadcast to the shape of what is drawn."""
    tensors = [as_tensor(value, dtype) for value in values]
    for x in tensors:
        if broadcast(shape, x.shape) != shape:
            raise ValueError(f"A parameter of shape {x.shape} does not broadcast to the shape {shape} that was asked for.")
    return tensors


def _is_number(x):
    return isinstance(x, (int, float, np.integer, np.floating))


def uniform(shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
    """Uniform floats in ``[minval, maxval)``, the upper end never reached (``keras.random.uniform``).

    The bounds may be tensors that broadcast to the shape. Raises ValueError for a dtype that is not floating.

    >>> uniform((2, 3), seed=1).shape
    (2, 3)
    """
    shape, dtype = _shape(shape), _float_dtype(dtype, "uniform")
    key = _key(seed, shape)
    if _is_number(minval) and _is_number(maxval):
        return _uniform(key, shape, float(minval), float(maxval), dtype)
    low, high = _parameters(shape, dtype, minval, maxval)
    return _inside(_uniform(key, shape, 0.0, 1.0, dtype) * (high - low) + low, low, high)


def _normal_like(draw, function, shape, mean, stddev, dtype, seed):
    shape, dtype = _shape(shape), _float_dtype(dtype, function)
    key = _key(seed, shape)
    if _is_number(mean) and _is_number(stddev):
        return draw(key, shape, float(mean), float(stddev), dtype)
    return draw(key, shape, 0.0, 1.0, dtype) * as_tensor(stddev, dtype) + as_tensor(mean, dtype)


def normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Normal floats (``keras.random.normal``). Mean and deviation may be tensors that broadcast with the shape.

    >>> x = normal((1000,), mean=3.0, seed=1)
    >>> bool(abs(x.numpy().mean() - 3.0) < 0.1)
    True
    """
    return _normal_like(_normal, "normal", shape, mean, stddev, dtype, seed)


def truncated_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Normal floats no further than two deviations from the mean (``keras.random.truncated_normal``).

    >>> bool(abs(truncated_normal((1000,), seed=1).numpy()).max() <= 2.0)
    True
    """
    return _normal_like(_truncated_normal, "truncated_normal", shape, mean, stddev, dtype, seed)


def randint(shape, minval, maxval, dtype="int32", seed=None):
    """Integers in ``[minval, maxval)``, or ``minval`` where that is empty (``keras.random.randint``).

    The bounds may be tensors that broadcast to the shape. Raises ValueError for a dtype that is not an integer one.

    >>> sorted(set(randint((100,), 2, 5, seed=1).tolist()))
    [2, 3, 4]
    """
    shape, dtype = _shape(shape), standardize_dtype(dtype)
    if not is_int(dtype):
        raise ValueError(f"`keras.random.randint` requires an integer `dtype`, not {dtype}")
    return _randint(_key(seed, shape), *_parameters(shape, "int64", minval, maxval), shape, dtype)


@composite(module="random", inputs=["logits"])
def categorical(logits, num_samples, dtype="int32", seed=None):
    """Class numbers drawn with probabilities ``softmax(logits)`` (``keras.random.categorical``).

    ``logits``: (batch, classes), ValueError for another rank; the result is (batch, num_samples).

    >>> categorical([[0.0, 50.0], [50.0, 0.0]], 3, seed=1).tolist()
    [[1, 1, 1], [0, 0, 0]]
    """
    logits = as_tensor(logits)
    if logits.ndim != 2:
        raise ValueError(f"`logits` should be a 2-D tensor (batch, classes), got {logits}")
    return _categorical(_key(seed, logits.shape), logits, num_samples, standardize_dtype(dtype))


@composite(module="random", inputs=["inputs"])
def dropout(inputs, rate, noise_shape=None, seed=None):
    """Each input 0 with probability ``rate``, else over ``1 - rate``, so that the expectation stays (``keras.random.dropout``).

    ``noise_shape``: what is drawn, broadcast to the inputs; None in it means the inputs' size. Differentiable in the inputs.

    >>> set(dropout([1.0] * 99, 0.5, seed=1).tolist()) == {0.0, 2.0}
    True
    """
    x = as_tensor(inputs)
    if not 0 <= rate <= 1:
        raise ValueError(f"`rate` must be between 0 and 1. Received: rate={rate}")
    if rate == 0:
        return x
    if not is_float(x.dtype):
        raise TypeError(f"Dropout scales its inputs: they must be floats. Received dtype {x.dtype}.")
    shape = x.shape if noise_shape is None else tuple(x.shape[i] if n is None else n for i, n in enumerate(noise_shape))
    mask = keep_mask(_key(seed, shape), shape, float(rate))
    return masked_scale(x, mask, 1 / (1 - rate) if rate < 1 else 0.0)


@composite(module="random", inputs=["x"])
def shuffle(x, axis=0, seed=None):
    """The elements in random order along an axis, each line along it by itself (``keras.random.shuffle``). Differentiable.

    >>> sorted(shuffle([1, 2, 3], seed=1).tolist())
    [1, 2, 3]
    """
    x = as_tensor(x)
    axis = normalize_axis(axis, x.ndim)
    return _reorder(x, _random_order(_key(seed, x.shape), x.shape, axis), axis)


def gamma(shape, alpha, dtype=None, seed=None):
    """Gamma variates of shape parameter ``alpha`` and scale 1; NaN for a negative alpha (``keras.random.gamma``).

    >>> bool((gamma((5,), 2.0, seed=1).numpy() > 0).all())
    True
    """
    shape, dtype = _shape(shape), _float_dtype(dtype, "gamma")
    return _gamma_draw(_key(seed, shape), *_parameters(shape, "float64", alpha), shape, dtype)


def beta(shape, alpha, beta, dtype=None, seed=None):
    """Beta variates; the parameters broadcast to the shape, NaN where one is not positive (``keras.random.beta``).

    >>> bool((beta((5,), 2.0, [1.0, 2.0, 3.0, 4.0, 5.0], seed=1).numpy() < 1).all())
    True
    """
    shape, dtype = _shape(shape), _float_dtype(dtype, "beta")
    return _beta_draw(_key(seed, shape), *_parameters(shape, "float64", alpha, beta), shape, dtype)


def binomial(shape, counts, probabilities, dtype=None, seed=None):
    """Numbers of successes in ``counts`` trials, as floats; NaN for impossible parameters (``keras.random.binomial``).

    >>> binomial((3,), 10, [0.0, 0.0, 1.0], seed=1).tolist()
    [0.0, 0.0, 10.0]
    """
    shape, dtype = _shape(shape), _float_dtype(dtype, "binomial")
    return _binomial_draw(_key(seed, shape), *_parameters(shape, "float64", counts, probabilities), shape, dtype)
