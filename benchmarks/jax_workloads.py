"""The workloads as JAX users write them: a pure step with its gradient, compiled as one. Sizes and data are those of ``workloads.py``.

Losses take logits, images are channels last, weights start from normal numbers of the usual sizes; optimizers are written out.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from workloads import RESNET_BLOCKS, VOCABULARY, classes, digits, noise, texts


class _Weights:
    """Makes weights one after the other."""

    def __init__(self):
        self.key = jax.random.key(0)

    def __call__(self, *shape, scale=None):
        self.key, key = jax.random.split(self.key)
        fan_in = functools.reduce(lambda a, b: a * b, shape[:-1], 1)
        return jax.random.normal(key, shape) * ((2.0 / max(fan_in, 1)) ** 0.5 if scale is None else scale)

    def dense(self, n, m):
        return {"w": self(n, m), "b": jnp.zeros(m)}


def _dense(p, x):
    return x @ p["w"] + p["b"]


# ---- losses and optimizers: `init(weights)`, `update(gradients, slots, weights)`
def crossentropy(y, targets):
    return -jnp.take_along_axis(jax.nn.log_softmax(y), targets[:, None], axis=1).mean()


def binary_crossentropy(y, targets):
    return (jnp.maximum(y, 0) - y * targets + jnp.log1p(jnp.exp(-jnp.abs(y)))).mean()


def squared_error(y, targets):
    return jnp.square(y - targets).mean()


def sgd(rate, momentum=0.0):
    def update(g, slots, w):
        v = jax.tree.map(lambda v, g: momentum * v - rate * g, slots, g)
        return jax.tree.map(jnp.add, w, v), v

    return lambda w: jax.tree.map(jnp.zeros_like, w), update


def rmsprop(rate=1e-3, rho=0.9):
    def update(g, slots, w):
        v = jax.tree.map(lambda v, g: rho * v + (1 - rho) * g * g, slots, g)
        return jax.tree.map(lambda w, g, v: w - rate * g / (jnp.sqrt(v) + 1e-7), w, g, v), v

    return lambda w: jax.tree.map(jnp.zeros_like, w), update


def adam(rate=1e-3, b1=0.9, b2=0.999):
    def update(g, slots, w):
        m, v, t = slots
        t = t + 1
        m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, m, g)
        v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, v, g)
        step = rate * jnp.sqrt(1 - b2**t) / (1 - b1**t)
        return jax.tree.map(lambda w, m, v: w - step * m / (jnp.sqrt(v) + 1e-7), w, m, v), (m, v, t)

    return lambda w: (jax.tree.map(jnp.zeros_like, w), jax.tree.map(jnp.zeros_like, w), jnp.zeros(())), update


# ---- models: (weights, state, apply(weights, state, x, key) -> outputs, state)
def _mlp(sizes):
    make = _Weights()
    weights = [make.dense(n, m) for n, m in zip(sizes, sizes[1:], strict=False)]

    def apply(w, state, x, key):
        for p in w[:-1]:
            x = jax.nn.relu(_dense(p, x))
        return _dense(w[-1], x), state

    return weights, (), apply


def mlp(samples=60000, batch=128, width=512, depth=1):
    x, y = digits(samples)
    return _mlp([784, *[width] * depth, 10]), crossentropy, rmsprop(), x.reshape(-1, 784), y, batch


def bigmlp(samples=16384, batch=256, width=2048, depth=3):
    return _mlp([1024, *[width] * depth, 10]), crossentropy, adam(), noise(samples, 1024), classes(samples, 10), batch


def tiny(samples=8192, batch=32):
    x = noise(samples, 8)
    return _mlp([8, 16, 1]), squared_error, sgd(0.01), x, 2 * x[:, :1] + 1, batch


def _conv(x, w, stride=1, padding="VALID"):
    return lax.conv_general_dilated(x, w, (stride, stride), padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def _dropout(x, rate, key):
    return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0)


def cnn(samples=60000, batch=128):
    make, (x, y) = _Weights(), digits(samples)
    weights = make(3, 3, 1, 32), jnp.zeros(32), make(3, 3, 32, 64), jnp.zeros(64), make.dense(1600, 10)

    def apply(w, state, x, key):
        x = _pool(jax.nn.relu(_conv(x, w[0]) + w[1]))
        x = _pool(jax.nn.relu(_conv(x, w[2]) + w[3]))
        return _dense(w[4], _dropout(x.reshape(x.shape[0], -1), 0.5, key)), state

    return (weights, (), apply), crossentropy, adam(), x[..., None], y, batch


def resnet(samples=2048, batch=64):
    make = _Weights()

    def convolution(n, m):
        return {"w": make(3, 3, n, m), "gamma": jnp.ones(m), "beta": jnp.zeros(m)}

    weights, sizes, channels = {"first": convolution(3, 16), "blocks": []}, [16], 16
    for filters, stride in RESNET_BLOCKS:
        block = {"a": convolution(channels, filters), "b": convolution(filters, filters)}
        if stride > 1:
            block["w"], block["bias"] = make(1, 1, channels, filters), jnp.zeros(filters)
        weights["blocks"].append(block)
        sizes += [filters, filters]
        channels = filters
    weights["head"] = make.dense(64, 10)

    def normalized(p, x, averages, stride=1):
        x = _conv(x, p["w"], stride, "SAME")
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        kept = averages.pop(0)
        averages.append((0.99 * kept[0] + 0.01 * mean, 0.99 * kept[1] + 0.01 * variance))
        return (x - mean) * lax.rsqrt(variance + 1e-3) * p["gamma"] + p["beta"]

    def apply(w, state, x, key):
        averages = list(state)
        x = jax.nn.relu(normalized(w["first"], x, averages))
        for p, (_, stride) in zip(w["blocks"], RESNET_BLOCKS, strict=True):
            y = jax.nn.relu(normalized(p["a"], x, averages, stride))
            y = normalized(p["b"], y, averages)
            x = jax.nn.relu(y + (_conv(x, p["w"], stride, "SAME") + p["bias"] if stride > 1 else x))
        return _dense(w["head"], x.mean((1, 2))), tuple(averages)

    state = tuple((jnp.zeros(n), jnp.ones(n)) for n in sizes)
    return (weights, state, apply), crossentropy, sgd(0.1, 0.9), noise(samples, 32, 32, 3), classes(samples, 10), batch


def lstm(samples=4096, batch=32, length=100):
    make = _Weights()
    weights = {"words": make(VOCABULARY, 128, scale=0.05), "x": make(128, 256), "h": make(64, 256), "b": jnp.zeros(256)}
    weights["head"] = make.dense(64, 1)

    def apply(w, state, tokens, key):
        gates = w["words"][tokens] @ w["x"] + w["b"]

        def cell(carry, z):
            h, c = carry
            i, f, g, o = jnp.split(z + h @ w["h"], 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), None

        zeros = jnp.zeros((tokens.shape[0], 64))
        (h, _), _ = lax.scan(cell, (zeros, zeros), jnp.swapaxes(gates, 0, 1))
        return _dense(w["head"], h), state

    y = classes(samples, 2).astype("float32")[:, None]
    return (weights, (), apply), binary_crossentropy, adam(), texts(samples, length), y, batch


def _normalized(p, x):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-6) * p["w"] + p["b"]


def transformer(samples=4096, batch=32, length=200, width=32, heads=2):
    make = _Weights()
    weights = {name: make.dense(n, m) for name, n, m in (
        ("q", width, heads * width), ("k", width, heads * width), ("v", width, heads * width), ("out", heads * width, width),
        ("up", width, 32), ("down", 32, width), ("hidden", width, 20), ("head", 20, 2))}  # fmt: skip
    weights |= {name: {"w": jnp.ones(width), "b": jnp.zeros(width)} for name in ("norm1", "norm2")}
    weights["words"] = make(VOCABULARY, width, scale=0.05)

    def apply(w, state, tokens, key):
        x = w["words"][tokens]
        q, k, v = (_dense(w[name], x).reshape(*x.shape[:2], heads, width) for name in "qkv")
        attended = jax.nn.dot_product_attention(q, k, v).reshape(*x.shape[:2], heads * width)
        x = _normalized(w["norm1"], x + _dense(w["out"], attended))
        x = _normalized(w["norm2"], x + _dense(w["down"], jax.nn.relu(_dense(w["up"], x))))
        x = _dropout(x.mean(1), 0.1, key)
        return _dense(w["head"], jax.nn.relu(_dense(w["hidden"], x))), state

    return (weights, (), apply), crossentropy, adam(), texts(samples, length), classes(samples, 2), batch


def built(name, **sizes):
    """``run(n)`` that trains for n steps, shuffled anew in each epoch, the data on the device."""
    (weights, state, apply), loss_function, (init, update), x, y, batch = globals()[name](**sizes)
    x, y = jnp.asarray(x), jnp.asarray(y)

    @functools.partial(jax.jit, donate_argnums=0)
    def step(carry, order, at, x, y):
        weights, state, slots, key, total, hits = carry
        key, own = jax.random.split(key)
        index = lax.dynamic_slice(order, (at,), (batch,))
        inputs, targets = x[index], y[index]

        def loss_of(w):
            outputs, new = apply(w, state, inputs, own)
            return loss_function(outputs, targets), (outputs, new)

        (loss, (outputs, state)), g = jax.value_and_grad(loss_of, has_aux=True)(weights)
        weights, slots = update(g, slots, weights)
        right = (outputs > 0) == targets if outputs.shape == targets.shape else outputs.argmax(-1) == targets
        return weights, state, slots, key, total + loss * batch, hits + right.sum()

    carry = [(weights, state, init(weights), jax.random.key(1), jnp.zeros(()), jnp.zeros((), int))]

    def run(n):
        made = 0
        while made < n:
            order = jax.random.permutation(jax.random.key(made), len(x))
            for at in range(0, len(x) // batch * batch, batch)[: n - made]:
                carry[0] = step(carry[0], order, at, x, y)
                made += 1
        jax.block_until_ready(carry[0])
        return made

    return run
