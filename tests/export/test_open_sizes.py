"""What models do with sizes that they read off a tensor: the file does it with any size."""

import numpy as np
import pytest

from kerasish import layers, ops
from kerasish.backend.autodiff.state import clear_session
from kerasish.export.onnx import export_onnx
from kerasish.layers import InputSpec
from tests.export.driver import Called, check, outputs_of, run

STEPS = [(2, 4, 5), (3, 7, 5), (1, 1, 5)]


def rotary(x):
    places = ops.expand_dims(ops.arange(x.shape[1], dtype="float32"), -1)
    return x * ops.cos(places / 100 ** (ops.arange(0, 5, dtype="float32") / 5))


def relative(x):
    places = ops.arange(ops.shape(x)[1])
    apart = ops.abs(ops.expand_dims(places, 1) - places)
    return ops.take(ops.arange(100, dtype="float32"), apart)[None] + ops.matmul(x, ops.transpose(x, (0, 2, 1)))


def patches(x):
    n, h, w, c = ops.shape(x)
    x = ops.transpose(ops.reshape(x, (n, h // 2, 2, w // 2, 2, c)), (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (n, -1, 4 * c))


def with_a_token(x):
    return ops.concatenate([ops.broadcast_to(ops.ones((1, 1, 5)), (ops.shape(x)[0], 1, 5)), x], 1)


def slices(x):
    n = ops.shape(x)[1]
    return [x[:, -1], x[:, ::-1], x[..., None, 1:3], x[:, n - 1], x[0], x[:, n // 2 :]]


def masks(x):
    n = x.shape[1]
    return [ops.tri(n, k=1), ops.eye(n, dtype="int32"), ops.full((n, 2), 3.0), ops.tril(ops.matmul(x, ops.transpose(x, (0, 2, 1))))]


def repeated(x):
    ones, n = ops.ones((1, 5)), x.shape[0]
    return x[:, 0] * ops.tile(ops.arange(5, dtype="float32")[None], (n, 1)) + ops.repeat(ones, n, axis=0)


IDIOMS = {
    "rotary": (rotary, STEPS),
    "relative": (relative, STEPS),
    "patches": (patches, [(2, 4, 6, 3), (3, 8, 2, 3)]),
    "with_a_token": (with_a_token, STEPS),
    "slices": (slices, STEPS),
    "masks": (masks, STEPS),
    "repeated": (repeated, STEPS),
    "sizes as numbers": (lambda x: [ops.full((x.shape[1], 2), x.shape[1]), x * x.shape[1] ** 2, ops.cast(ops.size(x), "float32") * x], STEPS),
    "a size": (lambda x: [x, ops.shape(x)[1], ops.size(x)], STEPS),
    "branches": (lambda x: ops.switch(ops.shape(x)[0] % 3, [lambda v: v, lambda v: v * 2, lambda v: v * 3], x), STEPS),
    "mean": (lambda x: ops.sum(x, 1) / x.shape[1], STEPS),
    "einsum": (lambda x: ops.einsum("bij,bkj->bik", x, x), STEPS),
    "vectorized_map": (lambda x: ops.vectorized_map(lambda row: ops.tensordot(row, row, 2), x), STEPS),
    "map": (lambda x: ops.map(lambda row: row * 2 + ops.sum(row), x), STEPS),
    "sort": (lambda x: [ops.sort(x, axis=1), ops.argsort(x, axis=0), *ops.top_k(x, 2)], STEPS),
    "update": (lambda x: ops.scatter_update(ops.slice_update(x, (0, 0, 1), ops.ones((1, 1, 2))), [[0, 0, 1]], [9.0]), STEPS),
    "pad": (lambda x: [ops.pad(x, ((0, 0), (1, 2), (0, 0)), mode=mode) for mode in ("constant", "reflect", "symmetric")], STEPS[:2]),
    "roll": (lambda x: ops.roll(x, 1, axis=1), STEPS),
    "cumulated": (lambda x: [ops.cumsum(x, 1), ops.cumprod(x, 1)], STEPS),
    "windows": (lambda x: [ops.conv(x, np.ones((3, 5, 2), "float32"), 2, "same", "channels_last"),
                           ops.average_pool(x, 3, 2, "same", "channels_last"), ops.adaptive_max_pool(x, 1)], [*STEPS, (2, 8, 5)]),
    "constants": (lambda x: [ops.where(x > 0, np.float32("nan"), np.float32("-inf")), ops.cast(x, "float64") * 2, ops.cast(x * 9, "int64")], STEPS),
    "no examples": (lambda x: x * 2, [(2, 4, 5), (0, 4, 5)]),
}  # fmt: skip


@pytest.mark.parametrize("name", IDIOMS)
def test_idiom(name, tmp_path):
    function, shapes = IDIOMS[name]
    rng = np.random.default_rng(0)
    batches = [[rng.uniform(-1, 1, shape).astype("float32")] for shape in shapes]
    clear_session()
    check(Called(function), batches, tmp_path / "model.onnx", tuple(range(len(shapes[0]) - 1)))


def test_a_mask_over_steps(tmp_path):
    """All its open axes but the first are one size with the steps; also after an export in which they had other names."""
    attention = layers.MultiHeadAttention(2, 4)
    rng = np.random.default_rng(0)
    for masks in ([], [(2, 4, 4), (3, 7, 7)]):
        batches = [[rng.uniform(-1, 1, (n, steps, 5)).astype("float32"), *[rng.random(m) < 0.7 for m in masks if m[0] == n]]
                   for n, steps in ((2, 4), (3, 7))]  # fmt: skip
        model = Called(lambda x, mask=None: attention(x, x, attention_mask=mask, use_causal_mask=True))
        signature = [InputSpec(shape=(None, None, 5), dtype="float32"), InputSpec(shape=(None,) * 3, dtype="bool")][: len(batches[0])]
        export_onnx(model, tmp_path / "model.onnx", verbose=False, input_signature=signature)
        for arrays in batches:
            for found, wanted in zip(run(tmp_path / "model.onnx", arrays), outputs_of(model, arrays), strict=True):
                np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", ["LSTM", "GRU", "SimpleRNN"])
@pytest.mark.parametrize("options", [{}, {"go_backwards": True}])
@pytest.mark.parametrize("masked", [False, True])
def test_recurrent_layers_take_any_number_of_steps(layer, options, masked, tmp_path):
    layer, rng = getattr(layers, layer)(3, return_sequences=True, return_state=True, **options), np.random.default_rng(0)
    batches = [[rng.uniform(-1, 1, shape).astype("float32"), rng.random(shape[:2]) < 0.7] for shape in STEPS]
    check(Called(lambda x, mask: layer(x, mask=mask if masked else None)), batches, tmp_path / "model.onnx", (0, 1))


def test_what_follows_from_the_size_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"op 'adaptive_average_pool': .* only for an output size of 1"):
        check(Called(lambda x: ops.adaptive_average_pool(x, 2)), [[np.zeros((2, 4, 5), "float32")]], tmp_path / "model.onnx", (0, 1))
    with pytest.raises(ValueError, match=r"op 'half_spectrum': .*length is open"):
        check(Called(lambda x: ops.rfft(x)[0]), [[np.zeros((2, 4), "float32")]], tmp_path / "model.onnx", (0, 1))
