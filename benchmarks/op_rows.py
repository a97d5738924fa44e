"""What ``ops.py`` times: an expression for each op in the names of ``kerasish.ops``, ``torch`` and ``jax.numpy``, and its inputs.

Sizes are those at which people notice how long an op takes: a million elements, batches of 32 images, rows of 1024. A row that
says nothing of another library writes the same there; ``NO`` means that it has no such op.
"""

# ruff: noqa: E501
import typing

NO = "no_such_op()"
WITHOUT_ROW = {  # these compute nothing, or what the caller's function computes
    "cond", "convert_to_numpy", "convert_to_tensor", "custom_gradient", "dtype", "fori_loop", "is_tensor", "jvp", "map", "ndim", "shape", "size",
    "stop_gradient", "switch", "vectorize", "vectorized_map", "while_loop",
}  # fmt: skip


class Row(typing.NamedTuple):
    """Expressions of x, y, z, and what these are; ``gradient``: whether the gradients of half the sum of squares are taken."""

    ours: str
    inputs: tuple
    torch: str
    jax: str
    torch_inputs: tuple
    gradient: bool


def row(ours, *inputs, torch=None, jax=None, torch_inputs=None, gradient=False):
    """The other libraries' expressions only where they differ."""
    return Row(ours, inputs, torch or ours, jax or ours, torch_inputs or inputs, gradient)


def floats(*shape):
    """Numbers around 0."""
    return shape, "normal"


def unit(*shape):
    """Numbers between 0 and 1, not quite reaching them."""
    return shape, "unit"


def truths(*shape):
    return shape, "bool"


def indices(high, *shape):
    """Integers below ``high``, of 64 bits for PyTorch, which wants its indices so."""
    return shape, high


def integers(high, *shape):
    """Integers below ``high``, of 32 bits for all."""
    return shape, -high


def increasing(n):
    return (n,), "increasing"


def positive(*shape):
    """Symmetric positive definite matrices."""
    return shape, "positive"


def complexes(*shape):
    return shape, "complex"


def triangular(*shape):
    return shape, "triangular"


def each(names, *inputs, **others):
    """A row for each expression; ``name`` alone stands for a call with all inputs. "ours|torch|jax" where names differ."""
    call = f"({', '.join('xyz'[: len(inputs)])})"
    full = lambda text: text if text == NO or "(" in text or " " in text else text + call
    rows = []
    for text in names:
        ours, torch, jax = (full(NO if part == "-" else part) for part in (text.split("|") + [text.split("|")[0]] * 2)[:3])
        rows.append(row(ours, *inputs, torch=torch, jax=jax, **others))
    return rows


def image(batch, size, channels):
    """An image for Keras and the same for PyTorch."""
    return floats(batch, size, size, channels), floats(batch, channels, size, size)


def convolution(batch, size, channels, filters, kernel, gradient=False):
    x, x_first = image(batch, size, channels)
    return row(
        "conv(x, y, padding='same')", x, floats(kernel, kernel, channels, filters), gradient=gradient,
        torch="F.conv2d(x, y, padding='same')", torch_inputs=(x_first, floats(filters, channels, kernel, kernel)),
        jax="lax.conv_general_dilated(x, y, (1, 1), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC'))",
    )  # fmt: skip


def attention(batch, length, heads, size, gradient=False):
    shapes = (floats(batch, length, heads, size),) * 3
    return row(
        "dot_product_attention(x, y, z)", *shapes, jax="nn.dot_product_attention(x, y, z)", gradient=gradient,
        torch="F.scaled_dot_product_attention(x, y, z)", torch_inputs=(floats(batch, heads, length, size),) * 3,
    )  # fmt: skip


def pooled(ours, torch, jax, gradient=False):
    x, x_first = image(128, 24, 32)
    return row(ours, x, torch=torch, torch_inputs=(x_first,), jax=jax, gradient=gradient)


M, MU, MI, MB = floats(1000, 1000), unit(1000, 1000), integers(1000, 1000, 1000), truths(1000, 1000)
RED, LINALG = floats(1000, 1000), positive(32, 64, 64)
PHOTOS = image(32, 224, 3)
_CONV = "lax.conv_general_dilated(x, y, {}, dimension_numbers=('NHWC', 'HWIO', 'NHWC'), feature_group_count={})"
_MAX_POOL = "lax.reduce_window(x, -inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), 'VALID')"
_AVERAGE_POOL = "lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), 'VALID') / 4"
_BLOCKS = "reshape(x, (32, 28, 2, 28, 2, 64))"

ELEMENTWISE = [
    *each(["abs", "absolute", "fabs|abs|abs", "arcsinh", "arctan", "ceil", "floor", "round", "trunc", "sign", "negative", "square", "exp", "expm1",
           "exp2", "cos", "sin", "tan", "tanh", "sinh", "cosh", "erf|erf|lax.erf", "erfc|erfc|lax.erfc", "i0", "sinc", "isfinite", "isinf",
           "isnan", "isneginf", "isposinf", "isreal", "signbit", "logical_not", "nan_to_num", "deg2rad", "rad2deg", "reciprocal",
           "cbrt|-|cbrt", "copy|clone|copy", "clip(x, -1, 1)", "real|x + 0|x + 0", "imag|-|imag", "conj|x + 0|x + 0", "conjugate|-|conjugate",
           "cast(x, 'float16')|x.half()|x.astype('float16')", "saturate_cast(x, 'int8')|clamp(x, -128, 127).char()|clip(x, -128, 127).astype('int8')",
           "view(x, 'int32')|x.view(int32) + 0|lax.bitcast_convert_type(x, int32)", "angle"], M),
    *each(["sigmoid|sigmoid|nn.sigmoid", "relu|relu|nn.relu", "relu6|F.relu6|nn.relu6", "elu|F.elu|nn.elu", "celu|F.celu|nn.celu",
           "selu|F.selu|nn.selu", "gelu|F.gelu(x, approximate='tanh')|nn.gelu", "gelu(x, False)|F.gelu(x)|nn.gelu(x, False)", "glu|F.glu|nn.glu",
           "hard_shrink|F.hardshrink|where(abs(x) > 0.5, x, 0)", "hard_sigmoid|F.hardsigmoid|nn.hard_sigmoid", "hard_silu|F.hardswish|nn.hard_silu",
           "hard_swish|F.hardswish|nn.hard_swish", "hard_tanh|F.hardtanh|nn.hard_tanh", "leaky_relu|F.leaky_relu|nn.leaky_relu",
           "log_sigmoid|F.logsigmoid|nn.log_sigmoid", "silu|F.silu|nn.silu", "swish|F.silu|nn.swish", "softplus|F.softplus|nn.softplus",
           "softsign|F.softsign|nn.soft_sign", "squareplus|-|nn.squareplus", "soft_shrink|F.softshrink|where(x > 0.5, x - 0.5, where(x < -0.5, x + 0.5, 0))",
           "sparse_plus|-|nn.sparse_plus", "sparse_sigmoid|-|nn.sparse_sigmoid", "tanh_shrink|F.tanhshrink|x - tanh(x)",
           "threshold(x, 0.1, 0.0)|F.threshold(x, 0.1, 0.0)|where(x > 0.1, x, 0)"], M),
    *each(["arccos", "arcsin", "arctanh", "arccosh(1 + x)", "log", "log10", "log1p", "log2", "sqrt", "rsqrt|rsqrt|lax.rsqrt",
           "erfinv|erfinv|lax.erf_inv"], MU),
    *each(["add", "subtract", "multiply", "divide", "true_divide", "floor_divide", "mod|remainder|mod", "fmod", "fmax", "fmin", "maximum", "minimum",
           "hypot", "arctan2", "logaddexp", "logaddexp2", "heaviside", "nextafter", "equal|eq|equal", "not_equal|ne|not_equal", "greater",
           "greater_equal", "less", "less_equal", "isclose", "allclose", "logical_and", "logical_or", "logical_xor",
           "divide_no_nan|-|where(y == 0, 0, x / where(y == 0, 1, y))", "where(x > 0, x, y)",
           "select([x > 0, x < -1], [x, y])|where(x > 0, x, where(x < -1, y, 0))|select([x > 0, x < -1], [x, y])"], M, M),
    row("x + y", RED, floats(1000)),
    row("power(x, y)", MU, MU, torch="pow(x, y)"), row("power(x, 3)", M, torch="pow(x, 3)"),
    row("ldexp(x, y)", M, integers(8, 1000, 1000)), row("polar(x, y)", MU, MU, jax=NO),
    *each(["bitwise_and", "bitwise_or", "bitwise_xor", "gcd", "lcm"], MI, MI),
    *each(["bitwise_invert|bitwise_not|bitwise_not", "bitwise_not"], MI),
    *each(["bitwise_left_shift|bitwise_left_shift|left_shift", "bitwise_right_shift|bitwise_right_shift|right_shift",
           "left_shift|bitwise_left_shift|left_shift", "right_shift|bitwise_right_shift|right_shift"], MI, integers(8, 1000, 1000)),
    row("view_as_complex(x)", floats(500_000, 2), torch="view_as_complex(x) + 0", jax="lax.complex(x[:, 0], x[:, 1])"),
    row("view_as_real(x)", complexes(500_000), torch="view_as_real(x) + 0", jax="stack([x.real, x.imag], -1)"),
    row("sqrt(abs(x)) * x + 1", M), row("x * x * x", M),
]  # fmt: skip

REDUCTIONS = [
    *each(["sum", "sum(x, axis=0)", "sum(x, axis=-1)", "mean(x, axis=-1)", "max|max|max", "max(x, axis=-1)|amax(x, -1)|max(x, -1)", "min(x, axis=0)|amin(x, 0)|min(x, 0)",
           "amax(x, axis=-1)", "amin(x, axis=-1)", "prod", "var(x, axis=-1)|var(x, -1, correction=0)|var(x, -1)", "std(x, axis=0)|std(x, 0, correction=0)|std(x, 0)",
           "count_nonzero(x, axis=-1)", "argmax(x, axis=-1)", "argmax(x, axis=0)", "argmin(x, axis=-1)", "ptp(x, axis=-1)|amax(x, -1) - amin(x, -1)|ptp(x, -1)",
           "average(x, axis=-1)|mean(x, -1)|average(x, -1)", "logsumexp(x, axis=-1)|logsumexp(x, -1)|nn.logsumexp(x, -1)",
           "nansum(x, axis=-1)", "nanmean(x, axis=-1)", "nanmax(x, axis=-1)|-|nanmax(x, -1)", "nanmin(x, axis=-1)|-|nanmin(x, -1)",
           "nanprod(x, axis=-1)|-|nanprod(x, -1)", "nanstd(x, axis=-1)|-|nanstd(x, -1)", "nanvar(x, axis=-1)|-|nanvar(x, -1)",
           "nanargmax(x, axis=-1)|-|nanargmax(x, -1)", "nanargmin(x, axis=-1)|-|nanargmin(x, -1)",
           "norm(x, axis=-1)|linalg.vector_norm(x, dim=-1)|linalg.norm(x, axis=-1)", "normalize(x, axis=-1)|F.normalize(x, dim=-1)|x / maximum(linalg.norm(x, axis=-1, keepdims=True), 1e-12)",
           "moments(x, [-1])|var_mean(x, -1, correction=0)|(mean(x, -1), var(x, -1))", "trapezoid(x, axis=-1)|trapezoid(x, dim=-1)|trapezoid(x, axis=-1)",
           "cumsum(x, axis=-1)", "cumsum(x, axis=0)", "cumprod(x, axis=-1)", "nancumsum(x, axis=-1)|-|nancumsum(x, axis=-1)",
           "nancumprod(x, axis=-1)|-|nancumprod(x, axis=-1)", "diff(x, axis=-1)"], RED),
    *each(["any(x, axis=-1)", "all(x, axis=-1)"], MB),
    *each(["median(x, axis=-1)", "percentile(x, 30, axis=-1)|quantile(x, 0.3, -1)|percentile(x, 30, axis=-1)", "quantile(x, 0.3, axis=-1)|quantile(x, 0.3, -1)|quantile(x, 0.3, axis=-1)",
           "nanmedian(x, axis=-1)", "nanpercentile(x, 30, axis=-1)|nanquantile(x, 0.3, -1)|nanpercentile(x, 30, axis=-1)",
           "nanquantile(x, 0.3, axis=-1)|nanquantile(x, 0.3, -1)|nanquantile(x, 0.3, axis=-1)"], floats(256, 1024)),
    row("corrcoef(x)", floats(256, 1024)), row("psnr(x, y, 1.0)", M, M, torch="-10 * log10(mean((x - y) ** 2))", jax="-10 * log10(mean((x - y) ** 2))"),
]  # fmt: skip

NORMALIZATION = [
    row("softmax(x)", floats(128, 1000), torch="softmax(x, -1)", jax="nn.softmax(x)"), row("softmax(x)", RED, torch="softmax(x, -1)", jax="nn.softmax(x)"),
    row("log_softmax(x)", RED, torch="log_softmax(x, -1)", jax="nn.log_softmax(x)"), row("sparsemax(x)", floats(256, 1000), torch=NO, jax=NO),
    row("layer_normalization(x)", RED, torch="F.layer_norm(x, x.shape[-1:])", jax="nn.standardize(x, -1)"),
    row("rms_normalization(x)", RED, torch="F.rms_norm(x, x.shape[-1:])", jax="x * lax.rsqrt(mean(x * x, -1, keepdims=True) + 1e-6)"),
    row("batch_normalization(x, y, z, axis=-1)", floats(32, 32, 32, 64), floats(64), unit(64), torch="F.batch_norm(x, y, z)",
        torch_inputs=(floats(32, 64, 32, 32), floats(64), unit(64)), jax="(x - y) * lax.rsqrt(z + 1e-3)"),
    row("binary_crossentropy(x, y)", MU, MU, torch="F.binary_cross_entropy(y, x, reduction='none')", jax="-(x * log(y) + (1 - x) * log(1 - y))"),
    row("categorical_crossentropy(x, y, from_logits=True)", unit(256, 1000), floats(256, 1000), torch="-(x * log_softmax(y, -1)).sum(-1)",
        jax="-(x * nn.log_softmax(y)).sum(-1)"),
    row("sparse_categorical_crossentropy(x, y, from_logits=True)", indices(1000, 256), floats(256, 1000), torch="F.cross_entropy(y, x, reduction='none')",
        jax="-take_along_axis(nn.log_softmax(y), x[:, None], 1)"),
    row("ctc_loss(x, y, full((32,), 20), full((32,), 100))", integers(28, 32, 20), floats(32, 100, 29),
        torch="F.ctc_loss(log_softmax(y, -1).transpose(0, 1), x + 1, full((32,), 100), full((32,), 20), reduction='none')",
        jax=NO),
    row("ctc_decode(x, full((32,), 100))", floats(32, 100, 29), torch=NO, jax=NO),
]  # fmt: skip

PRODUCTS = [
    *[row("matmul(x, y)", floats(*a), floats(*b)) for a, b in (((64, 64), (64, 64)), ((512, 512), (512, 512)), ((128, 784), (784, 512)), ((64, 128, 64), (64, 64, 128)))],
    row("dot(x, y)", floats(512, 512), floats(512, 512), torch="matmul(x, y)"), row("inner(x, y)", floats(512, 512), floats(512, 512)),
    row("vdot(x, y)", floats(1_000_000), floats(1_000_000)), row("outer(x, y)", floats(1000), floats(1000)),
    row("kron(x, y)", floats(32, 32), floats(32, 32)), row("cross(x, y)", floats(100_000, 3), floats(100_000, 3), torch="linalg.cross(x, y)"),
    row("tensordot(x, y, 1)", floats(8, 64, 128), floats(128, 256)), row("cdist(x, y)", floats(1000, 64), floats(1000, 64), jax="sqrt(((x[:, None] - y[None]) ** 2).sum(-1))"),
    row("einsum('bqhd,bkhd->bhqk', x, y)", floats(8, 128, 4, 32), floats(8, 128, 4, 32)),
    row("einsum('bi,bij,bj->b', x, y, z)", floats(256, 64), floats(256, 64, 64), floats(256, 64)),
    row("correlate(x, y)", floats(20_000), floats(100), torch="F.conv1d(x[None, None], y[None, None])"),
    attention(32, 200, 2, 32), *[attention(2, length, 8, 64) for length in (128, 512, 1024, 2048)],
]  # fmt: skip

IMAGES = [
    convolution(32, 28, 1, 32, 3), convolution(32, 32, 64, 64, 3), convolution(8, 56, 64, 256, 1),
    row("depthwise_conv(x, y, padding='same')", image(32, 32, 64)[0], floats(3, 3, 64, 1), torch="F.conv2d(x, y, padding='same', groups=64)",
        torch_inputs=(image(32, 32, 64)[1], floats(64, 1, 3, 3)), jax=_CONV.format("(1, 1), 'SAME'", 64).replace("y,", "y.reshape(3, 3, 1, 64),")),
    row("separable_conv(x, y, z, padding='same')", image(32, 32, 64)[0], floats(3, 3, 64, 1), floats(1, 1, 64, 64),
        torch="F.conv2d(F.conv2d(x, y, padding='same', groups=64), z)", torch_inputs=(image(32, 32, 64)[1], floats(64, 1, 3, 3), floats(64, 64, 1, 1)), jax=NO),
    row("conv_transpose(x, y, 2, padding='same')", image(16, 16, 64)[0], floats(4, 4, 32, 64), torch="F.conv_transpose2d(x, y, stride=2, padding=1)",
        torch_inputs=(image(16, 16, 64)[1], floats(64, 32, 4, 4)), jax="lax.conv_transpose(x, y, (2, 2), 'SAME', transpose_kernel=True)"),
    row("conv(x, y)", floats(32, 200, 64), floats(5, 64, 64), torch="F.conv1d(x, y)", torch_inputs=(floats(32, 64, 200), floats(64, 64, 5)),
        jax="lax.conv_general_dilated(x, y, (1,), 'VALID', dimension_numbers=('NWC', 'WIO', 'NWC'))"),
    pooled("max_pool(x, 2)", "F.max_pool2d(x, 2)", _MAX_POOL), pooled("average_pool(x, 2)", "F.avg_pool2d(x, 2)", _AVERAGE_POOL),
    pooled("adaptive_average_pool(x, 7)", "F.adaptive_avg_pool2d(x, 7)", NO), pooled("adaptive_max_pool(x, 7)", "F.adaptive_max_pool2d(x, 7)", NO),
    row("unfold(x, 3)", floats(16, 32, 32, 32), torch="F.unfold(x, 3)", jax="lax.conv_general_dilated_patches(x, (3, 3), (1, 1), 'VALID')"),
    row("fold(x, (32, 32), 3)", floats(16, 288, 900), torch="F.fold(x, (32, 32), 3)", jax=NO),
    row("depth_to_space(x, 2)", floats(32, 28, 28, 256), torch="F.pixel_shuffle(x, 2)", torch_inputs=(floats(32, 256, 28, 28),),
        jax="reshape(transpose(reshape(x, (32, 28, 28, 2, 2, 64)), (0, 1, 3, 2, 4, 5)), (32, 56, 56, 64))"),
    row("space_to_depth(x, 2)", floats(32, 56, 56, 64), torch="F.pixel_unshuffle(x, 2)", torch_inputs=(floats(32, 64, 56, 56),),
        jax=f"reshape(transpose({_BLOCKS}, (0, 1, 3, 2, 4, 5)), (32, 28, 28, 256))"),
    row("image.resize(x, (112, 112))", PHOTOS[0], torch="F.interpolate(x, (112, 112), mode='bilinear')", torch_inputs=PHOTOS[1:], jax="image.resize(x, (32, 112, 112, 3), 'bilinear', antialias=False)"),
    row("image.resize(x, (256, 256), 'bicubic')", PHOTOS[0], torch="F.interpolate(x, (256, 256), mode='bicubic')", torch_inputs=PHOTOS[1:], jax="image.resize(x, (32, 256, 256, 3), 'cubic', antialias=False)"),
    row("image.resize(x, (256, 256), 'nearest')", PHOTOS[0], torch="F.interpolate(x, (256, 256), mode='nearest')", torch_inputs=PHOTOS[1:], jax="image.resize(x, (32, 256, 256, 3), 'nearest')"),
    row("image.affine_transform(x, y)", floats(8, 224, 224, 3), floats(8, 8), torch="F.grid_sample(x, F.affine_grid(y, x.shape))",
        torch_inputs=(floats(8, 3, 224, 224), floats(8, 2, 3)), jax=NO),
    row("image.map_coordinates(x, y, 1)", floats(1000, 1000), unit(2, 1000, 1000), torch="F.grid_sample(x[None, None], y.reshape(1, 1000, 1000, 2))",
        jax="scipy.ndimage.map_coordinates(x, y, 1)"),
    row("image.gaussian_blur(x, (5, 5))", floats(8, 224, 224, 3), torch="F.conv2d(x, ones(3, 1, 5, 5), padding=2, groups=3)", torch_inputs=(floats(8, 3, 224, 224),), jax=NO),
    row("image.rgb_to_grayscale(x)", PHOTOS[0], torch="x[:, :1] * 0.3 + x[:, 1:2] * 0.6 + x[:, 2:] * 0.1", torch_inputs=PHOTOS[1:], jax="(x * array([0.3, 0.6, 0.1])).sum(-1, keepdims=True)"),
    row("image.rgb_to_hsv(x)", unit(8, 224, 224, 3), torch=NO, jax=NO), row("image.hsv_to_rgb(x)", unit(8, 224, 224, 3), torch=NO, jax=NO),
    row("image.sobel_edges(x)", floats(8, 224, 224, 3), torch=NO, jax=NO), row("image.extract_patches(x, 16)", PHOTOS[0], torch="F.unfold(x, 16, stride=16)", torch_inputs=PHOTOS[1:],
        jax="lax.conv_general_dilated_patches(x, (16, 16), (16, 16), 'VALID', dimension_numbers=('NHWC', 'HWIO', 'NHWC'))"),
    row("image.crop_images(x, 16, 16, target_height=192, target_width=192)", PHOTOS[0], torch="x[:, :, 16:208, 16:208].contiguous()", torch_inputs=PHOTOS[1:], jax="x[:, 16:208, 16:208]"),
]  # fmt: skip

ORDER = [
    *each(["sort(x, axis=-1)", "argsort(x, axis=-1)", "argpartition(x, 20)|-|argpartition(x, 20)", "top_k(x, 10)|topk(x, 10)|lax.top_k(x, 10)"], floats(256, 1024)),
    row("top_k(x, 10)", floats(128, 1000), torch="topk(x, 10)", jax="lax.top_k(x, 10)"), row("sort(x)", floats(100_000)),
    row("in_top_k(x, y, 5)", indices(1000, 256), floats(256, 1000), torch="(topk(y, 5)[1] == x[:, None]).any(1)", jax="(lax.top_k(y, 5)[1] == x[:, None]).any(1)"),
    row("searchsorted(x, y)", increasing(10_000), unit(100_000)), row("digitize(y, x)", increasing(100), unit(100_000), torch="bucketize(y, x, right=True)"),
    row("histogram(x, 100)", floats(100_000), torch="histc(x, 100)"), row("bincount(x, minlength=1000)", indices(1000, 100_000), jax="bincount(x, length=1000)"),
    row("unique(x)", indices(1000, 100_000), jax=NO), row("nonzero(x)", truths(1000, 1000), jax=NO), row("isin(x, y)", indices(10_000, 100_000), indices(10_000, 100)),
    row("unravel_index(x, (1000, 1000))", indices(1_000_000, 100_000)),
]  # fmt: skip

INDEXING = [
    row("take(x, y, axis=0)", floats(50_000, 128), indices(50_000, 4096), torch="F.embedding(y, x)"),
    row("take(x, y, axis=1)", M, indices(1000, 500), torch="index_select(x, 1, y)"),
    row("take_along_axis(x, y, axis=-1)", M, indices(1000, 1000, 10), torch="take_along_dim(x, y, -1)"),
    row("get_item(x, (slice_(10, 900), slice_(None, None, 2)))", M, torch="x[10:900, ::2].contiguous()", jax="x[10:900, ::2]"), row("x[y]", M, indices(1000, 4096)),
    row("scatter(x, y, (1000, 128))", indices(1000, 4096, 1), floats(4096, 128), torch="zeros(1000, 128).index_add(0, x[:, 0], y)", jax="zeros((1000, 128)).at[x[:, 0]].add(y)"),
    row("scatter_update(x, y, z)", floats(20000, 128), indices(20000, 3200, 1), floats(3200, 128),
        torch="x.index_put((y[:, 0],), z)", jax="x.at[y[:, 0]].set(z)"),
    row("scatter_update(x, y, z, 'add')", floats(20000, 128), indices(20000, 3200, 1), floats(3200, 128),
        torch="x.index_add(0, y[:, 0], z)", jax="x.at[y[:, 0]].add(z)"),
    *[row(f"segment_{name}(x, y, 1000)", floats(100_000, 64), indices(1000, 100_000), jax=f"ops.segment_{name}(x, y, 1000)",
          torch=f"{start}(1000, 64).{reduce}") for name, start, reduce in (("sum", "zeros", "index_add(0, y, x)"),
          ("max", "zeros", "index_reduce(0, y, x, 'amax', include_self=False)"), ("min", "zeros", "index_reduce(0, y, x, 'amin', include_self=False)"),
          ("prod", "ones", "index_reduce(0, y, x, 'prod')"))],
    row("one_hot(x, 1000)", indices(1000, 1000), torch="F.one_hot(x, 1000).float()", jax="nn.one_hot(x, 1000)"),
    row("multi_hot(x, 1000)", indices(1000, 1000, 10), torch="zeros(1000, 1000).scatter(1, x, 1.0)", jax="nn.one_hot(x, 1000).max(1)"),
    row("slice(x, (10, 10), (900, 900))", M, torch="x[10:910, 10:910].contiguous()", jax="lax.slice(x, (10, 10), (910, 910))"),
    row("slice_update(x, (10, 10), y)", M, floats(900, 900), torch="slice_scatter(x, slice_scatter(x[10:910], y, 1, 10, 910), 0, 10, 910)", jax="lax.dynamic_update_slice(x, y, (10, 10))"),
    row("pad(x, 2)", M, torch="F.pad(x, (2, 2, 2, 2))"), row("pad(x, 2, 'reflect')", M, torch="F.pad(x[None], (2, 2, 2, 2), 'reflect')"),
]  # fmt: skip

SHAPING = [
    *each(["transpose|x.t().contiguous()|transpose", "swapaxes(x, 0, 1)|x.t().contiguous()|swapaxes(x, 0, 1)", "moveaxis(x, 0, 1)|x.t().contiguous()|moveaxis(x, 0, 1)",
           "flip(x, 0)|flip(x, (0,))|flip(x, 0)", "fliplr", "flipud", "rot90", "roll(x, 5)", "roll(x, 5, axis=1)|roll(x, 5, 1)|roll(x, 5, 1)", "tril", "triu",
           "repeat(x, 2, axis=0)|repeat_interleave(x, 2, 0)|repeat(x, 2, axis=0)", "tile(x, (2, 1))", "trace", "diagonal|diagonal(x).contiguous()|diagonal",
           "diag|diag|diag", "zeros_like", "ones_like", "empty_like", "full_like(x, 2.0)", "ravel|x.clone()|x + 0", "reshape(x, (500, 2000))|x.clone()|x + 0", "expand_dims(x, 0)|x.clone()|x + 0",
           "squeeze(x)|x.clone()|x + 0", "split(x, 4)|[p.clone() for p in split(x, 250)]|split(x, 4)", "array_split(x, 3)|[p.clone() for p in tensor_split(x, 3)]|array_split(x, 3)",
           "hsplit(x, 4)|[p.clone() for p in hsplit(x, 4)]|hsplit(x, 4)", "vsplit(x, 4)|[p.clone() for p in vsplit(x, 4)]|vsplit(x, 4)",
           "unstack(x)|[p.clone() for p in unbind(x)]|[*x]", "array(x)|tensor_(x)|copy(x)", "rearrange(x, 'a (b c) -> b a c', b=10)|x.reshape(1000, 10, 100).permute(1, 0, 2).contiguous()|transpose(x.reshape(1000, 10, 100), (1, 0, 2))"], M),
    row("dsplit(x, 4)", floats(100, 100, 100), torch="[p.clone() for p in dsplit(x, 4)]"),
    *each(["concatenate([x, y], axis=-1)|cat([x, y], -1)|concatenate([x, y], axis=-1)", "append(x, y, axis=0)|cat([x, y])|append(x, y, axis=0)", "stack([x, y])", "hstack([x, y])", "vstack([x, y])", "dstack([x, y])"], M, M),
    row("broadcast_to(x, (1000, 1000))", floats(1000), torch="broadcast_to(x, (1000, 1000)).contiguous()"), row("diagflat(x)", floats(1000), jax="diag(x)"),
    row("meshgrid(x, y)", floats(1000), floats(1000), torch="[p.contiguous() for p in meshgrid(x, y, indexing='xy')]"),
    row("vander(x, 32)", unit(10_000)), row("extract_sequences(x, 400, 160)", floats(32, 16_000), torch="x.unfold(-1, 400, 160).contiguous()", jax=NO),
    row("reshape(transpose(x, (0, 2, 1, 3)), (32, 2, 6400))", floats(32, 200, 2, 32), torch="reshape(permute(x, (0, 2, 1, 3)), (32, 2, 6400))"),
    row("eye(1000)"), row("identity(1000)", torch="eye(1000)"), row("tri(1000)", torch="tril(ones(1000, 1000))"), row("zeros((1000, 1000))"), row("ones((1000, 1000))"),
    row("empty((1000, 1000))"), row("full((1000, 1000), 2.0)"), row("arange(1000000)"), row("linspace(0, 1, 1000000)"),
    row("logspace(0, 1, 1000000)"), row("geomspace(1, 10, 1000000)", torch=NO), *[row(f"{name}(100000)", torch=f"{name}_window(100000)")
                                                                                  for name in ("bartlett", "blackman", "hamming")],
    row("hanning(100000)", torch="hann_window(100000)"), row("kaiser(100000, 14.0)", torch="kaiser_window(100000)"),
]  # fmt: skip

LINEAR = [
    *each(["cholesky|linalg.cholesky|linalg.cholesky", "cholesky_inverse|cholesky_inverse|-", "det|linalg.det|linalg.det", "inv|linalg.inv|linalg.inv",
           "eigh|linalg.eigh|linalg.eigh", "eig|linalg.eig|-", "qr|linalg.qr|linalg.qr", "svd|linalg.svd|linalg.svd", "slogdet|linalg.slogdet|linalg.slogdet",
           "logdet|logdet|-", "lu_factor|linalg.lu_factor|scipy.linalg.lu_factor", "pinv|linalg.pinv|linalg.pinv", "matrix_rank|linalg.matrix_rank|linalg.matrix_rank",
           "norm(x, 'nuc', axis=(-2, -1))|linalg.norm(x, 'nuc', (-2, -1))|linalg.norm(x, 'nuc', axis=(-2, -1))"], LINALG),
    row("solve(x, y)", LINALG, floats(32, 64, 8), torch="linalg.solve(x, y)", jax="linalg.solve(x, y)"),
    row("solve_triangular(x, y, lower=True)", triangular(32, 64, 64), floats(32, 64, 8), torch="linalg.solve_triangular(x, y, upper=False)", jax="lax.linalg.triangular_solve(x, y, left_side=True, lower=True)"),
    row("lstsq(x, y)", floats(512, 64), floats(512, 8), torch="linalg.lstsq(x, y)", jax="linalg.lstsq(x, y)"),
]  # fmt: skip

FOURIER = [
    row("rfft(x)", floats(128, 1024), torch="fft.rfft(x)", jax="fft.rfft(x)"), row("fft((x, y))", floats(256, 1024), floats(256, 1024), torch="fft.fft(complex(x, y))", jax="fft.fft(lax.complex(x, y))"),
    row("fft2((x, y))", floats(1024, 1024), floats(1024, 1024), torch="fft.fft2(complex(x, y))", jax="fft.fft2(lax.complex(x, y))"),
    row("ifft2((x, y))", floats(1024, 1024), floats(1024, 1024), torch="fft.ifft2(complex(x, y))", jax="fft.ifft2(lax.complex(x, y))"),
    row("irfft((x, y))", floats(128, 513), floats(128, 513), torch="fft.irfft(complex(x, y))", jax="fft.irfft(lax.complex(x, y))"),
    row("stft(x, 400, 160, 512)", floats(32, 16_000), torch="stft(x, 512, 160, 400, hann_window(400), return_complex=True)", jax="scipy.signal.stft(x, nperseg=400, noverlap=240, nfft=512)[2]"),
    row("istft((x, y), 400, 160, 512)", floats(32, 101, 257), floats(32, 101, 257), torch="istft(complex(x, y).transpose(1, 2), 512, 160, 400, hann_window(400))", jax=NO),
]  # fmt: skip

LOOPS = [
    row("associative_scan(add, x)", M, torch="cumsum(x, 0)", jax="lax.associative_scan(add, x)"),
    row("scan(lambda s, i: (tanh(s @ y), i), x, z)", floats(64, 256), floats(256, 256), floats(50), torch=NO, jax="lax.scan(lambda s, i: (tanh(s @ y), i), x, z)"),
]  # fmt: skip

_GRADIENTS = ["tanh(x) * y", "x / (1 + y * y)", "maximum(x, y)", "where(x > 0, x, y)"]
GRADIENTS = [r._replace(gradient=True) for r in [
    *each(_GRADIENTS, M, M), *each(["gelu|F.gelu(x, approximate='tanh')|nn.gelu", "silu|F.silu|nn.silu", "sum(x, axis=-1)", "mean(x, axis=0)",
        "max(x, axis=-1)|amax(x, -1)|max(x, -1)", "var(x, axis=-1)|var(x, -1, correction=0)|var(x, -1)", "softmax|softmax(x, -1)|nn.softmax", "log_softmax|log_softmax(x, -1)|nn.log_softmax",
        "layer_normalization(x)|F.layer_norm(x, x.shape[-1:])|nn.standardize(x, -1)", "cumsum(x, axis=-1)", "transpose|x.t().contiguous()|transpose"], RED),
    row("sqrt(x) + log(x)", MU), row("matmul(x, y)", floats(512, 512), floats(512, 512)), row("matmul(x, y)", floats(64, 128, 64), floats(64, 64, 128)),
    row("einsum('bqhd,bkhd->bhqk', x, y)", floats(8, 128, 4, 32), floats(8, 128, 4, 32)),
    convolution(32, 28, 1, 32, 3), convolution(32, 32, 64, 64, 3), pooled("max_pool(x, 2)", "F.max_pool2d(x, 2)", _MAX_POOL), pooled("average_pool(x, 2)", "F.avg_pool2d(x, 2)", _AVERAGE_POOL),
    *[r for r in PRODUCTS if "attention" in r.ours],
    *[r for r in INDEXING if r.ours in ("take(x, y, axis=0)", "take_along_axis(x, y, axis=-1)", "scatter_update(x, y, z)", "segment_sum(x, y, 1000)", "segment_max(x, y, 1000)", "pad(x, 2)")],
    *[r for r in ORDER if r.ours in ("sort(x, axis=-1)", "top_k(x, 10)[0]")], *[r for r in NORMALIZATION if "crossentropy" in r.ours],
    *[r for r in SHAPING if r.ours.startswith("concatenate")], *[r for r in IMAGES if ("resize" in r.ours and "112" in r.ours) or r.ours.startswith("depthwise")],
    row("inv(x)", LINALG, torch="linalg.inv(x)", jax="linalg.inv(x)"), row("cholesky(x)", LINALG, torch="linalg.cholesky(x)", jax="linalg.cholesky(x)"),
]]  # fmt: skip

SMALL = [*each(["add", "maximum"], floats(10), floats(10)), *each(["exp", "sum"], floats(10)), row("matmul(x, y)", floats(4, 4), floats(4, 4))]
ROWS = [*ELEMENTWISE, *REDUCTIONS, *NORMALIZATION, *PRODUCTS, *IMAGES, *ORDER, *INDEXING, *SHAPING, *LINEAR, *FOURIER, *LOOPS, *GRADIENTS]
