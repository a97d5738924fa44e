"""Pools of images and their gradients, along one to three axes, with windows of one size or as many as are wanted: a thread for each
result.

A gradient's thread has one element of the image and asks the windows that it is in, in order, so that nothing is added by several
threads at once. Images with the channels first are images of one channel, as many more. Memory is the bound where windows are small.
"""

from kerasish.backend.autodiff.shapes import per_axis, window_padding
from kerasish.backend.kernels.cuda.axes import LARGEST
from kerasish.backend.kernels.cuda.launch import THREADS, candidate, source
from kerasish.backend.kernels.cuda.prelude import MEMORY, REGISTER
from kerasish.backend.kernels.cuda.reduce import SIMPLE, reduction
from kerasish.config import standardize_data_format

_AXES = "zyx"
_SIZES = ["channels", *(f"{name}_{a}" for name in ("n", "out", "before", "size", "stride") for a in _AXES)]
_COMMON = """
const I i = (I)blockIdx.x * %d + threadIdx.x;
if (i >= count) return;
const I c = i %% channels, at_x = i / channels %% %s_x, at_y = i / channels / %s_x %% %s_y;
const I plane = i / channels / %s_x / %s_y, at_z = plane %% %s_z, image = plane / %s_z;
"""
# a window's first element on the image, the one behind its last on the image, its last one; and an element's first and last window
_SPAN = {
    False: ("const I start_{a} = o{a} * stride_{a} - before_{a}, first_{a} = start_{a} < 0 ? 0 : start_{a};\n"
            "const I last_{a} = start_{a} + size_{a} - 1, end_{a} = last_{a} < n_{a} ? last_{a} + 1 : n_{a};",
            "at_{a} + before_{a} < size_{a} ? 0 : (at_{a} + before_{a} - size_{a}) / stride_{a} + 1",
            "(at_{a} + before_{a}) / stride_{a} < out_{a} ? (at_{a} + before_{a}) / stride_{a} : out_{a} - 1"),
    True: ("const I first_{a} = o{a} * n_{a} / out_{a}, end_{a} = ((o{a} + 1) * n_{a} + out_{a} - 1) / out_{a}, last_{a} = end_{a} - 1;",
           "at_{a} * out_{a} / n_{a}", "((at_{a} + 1) * out_{a} - 1) / n_{a}"),
}  # fmt: skip
_AT = "(((image * n_z + tz) * n_y + ty) * n_x + tx) * channels + c"
_FORWARD = f"""const I oz = at_z, oy = at_y, ox = at_x;
%(window)s
%(type)s result = %(start)s;
for (I tz = first_z; tz < end_z; ++tz)
    for (I ty = first_y; ty < end_y; ++ty)
        for (I tx = first_x; tx < end_x; ++tx) result = %(combine)s(result, get(x[{_AT}]));
put(y + i, %(end)s);
"""
_BACKWARD = """const I low_z = %(low_z)s, low_y = %(low_y)s, low_x = %(low_x)s;
const I high_z = %(high_z)s, high_y = %(high_y)s, high_x = %(high_x)s;
%(type)s sum = 0;
for (I oz = high_z; oz >= low_z; --oz)
    for (I oy = high_y; oy >= low_y; --oy)
        for (I ox = high_x; ox >= low_x; --ox) {
            %(window)s
            const I o = (((image * out_z + oz) * out_y + oy) * out_x + ox) * channels + c;
            %(share)s
        }
put(out + i, sum);
"""
_FIRST = f"""const auto maximum = get(y[o]);
bool mine = (at_z == last_z && at_y == last_y && at_x == last_x) || get(x[i]) == maximum;
for (I tz = first_z; mine && tz <= at_z; ++tz)
    for (I ty = first_y; mine && ty < (tz == at_z ? at_y + 1 : end_y); ++ty)
        for (I tx = first_x; tx < (tz == at_z && ty == at_y ? at_x : end_x); ++tx) mine = mine && !(get(x[{_AT}]) == maximum);
sum += get(g[o]) * (mine ? 1 : 0);
"""
_COUNT = "(%(type)s)((end_z - first_z) * (end_y - first_y) * (end_x - first_x))"


def _sizes(attrs, shape, out_shape, adaptive):
    """The sizes of a pool as the kernels want them."""
    last, rank = standardize_data_format(attrs["data_format"]) == "channels_last", len(shape) - 2
    spatial, out_spatial = (s[1:-1] if last else s[2:] for s in (shape, out_shape))
    before, size, strides = [[0] * rank] * 3
    if not adaptive:
        size = per_axis(attrs["pool_size"], rank, "pool_size")
        strides = size if attrs["strides"] is None else per_axis(attrs["strides"], rank, "strides")
        before = [b for b, _ in window_padding(spatial, size, strides, attrs["padding"], (1,) * rank)]
    one, none = (1,) * (3 - rank), (0,) * (3 - rank)
    return [shape[-1] if last else 1, *one, *spatial, *one, *out_spatial, *none, *before, *one, *size, *one, *strides]


def _launch(request, names, body, image, result, back, adaptive, total=None):
    """A launch of a kernel over the results. ``image``, ``result``: shapes before and after the pool; ``total``: one more input."""
    dtypes = {b.dtype for b in (*request.inputs, *request.outputs)}
    if len(dtypes) > 1 or not dtypes <= {"float32", "float64", "float16", "bfloat16"} or len(image) not in (3, 4, 5):
        return None
    out = request.outputs[0]
    if 0 in (*image, *result):
        return None
    [dtype] = dtypes
    t, index = MEMORY[dtype], "int" if max(b.size for b in (*request.inputs, *request.outputs)) < LARGEST else "i64"
    common = _COMMON % (THREADS, *["n" if back else "out"] * 7)
    window, low, high = _SPAN[adaptive]
    names_of_axes = {f"{name}_{a}": text.format(a=a) for name, text in (("low", low), ("high", high)) for a in _AXES}
    body = _filled(body, window="\n".join(window.format(a=a) for a in _AXES), **names_of_axes)
    sizes = [f"typedef {index} I;", *(f"const I {name} = (I)p_{name};" for name in ("count", *_SIZES))]
    parameters = [*(f"const {t} *{name}" for name in names[:-1]), f"{t} *{names[-1]}", *(f"i64 p_{name}" for name in ("count", *_SIZES))]
    if total is not None:
        parameters.insert(0, f"const {MEMORY[total.dtype]} *total")
    text = source(parameters, "\n".join(sizes) + common + body.replace("%(type)s", REGISTER[dtype]), THREADS)
    args = [*(request.dense(i) for i in range(len(request.inputs))), out, out.size]
    args = [*([] if total is None else [total]), *args, *_sizes(request.attrs, image, result, adaptive)]
    return [request.each(text, args, out.size)]


def _filled(text, **names):
    """A text with its ``%(name)s`` replaced, where the name is given."""
    for name, value in names.items():
        text = text.replace(f"%({name})s", value)
    return text


def _forward(request, adaptive, total=None, **names):
    shapes = request.inputs[0].shape, request.outputs[0].shape
    return _launch(request, ("x", "y"), _filled(_FORWARD, **names), *shapes, False, adaptive, total)


def _backward(request, names, share, adaptive, total=None, more=""):
    body = _filled(_BACKWARD, share=share).replace("put(out + i, sum);", f"put(out + i, sum{more});")
    return _launch(request, names, body, request.outputs[0].shape, request.inputs[0].shape, True, adaptive, total)


def _is_adaptive(request):
    return "adaptive" in request.op.name


def _totals(request):
    """Sums of whole images, and the launches for them: the op multiplies all of an image by a matrix, so NaN anywhere gives NaN."""
    x = request.inputs[0]
    if not _is_adaptive(request) or x.dtype not in REGISTER or "float" not in x.dtype or not x.size:
        return None, []
    last, rank = standardize_data_format(request.attrs["data_format"]) == "channels_last", len(x.shape)
    wide = "float64" if x.dtype == "float64" else "float32"
    count, nbytes = x.shape[0] * x.shape[-1 if last else 1], 8 if wide == "float64" else 4
    total = request.scratch(count * nbytes, (count,), wide)
    text = SIMPLE % {"register": REGISTER[wide], "operation": "Sum", "element": "v[j]"}
    gone = set(range(1, rank - 1) if last else range(2, rank))
    return total, reduction(request, x, gone, [total]).launches(text, nbytes, "put(y0 + to, acc.x);")


@candidate("max_pool", "adaptive_max_pool")
def max_pool(request):
    """Maxima of windows."""
    return _forward(request, _is_adaptive(request), start="-infinity()", combine="larger<%(type)s>", end="result")


@candidate("average_pool", "adaptive_average_pool")
def average_pool(request):
    """Means of windows."""
    total, before = _totals(request)
    end = f"result / {_COUNT}" + (" + 0 * total[image * channels + c]" if before else "")
    launches = _forward(request, _is_adaptive(request), total, start="0", combine="Sum::combine<%(type)s>", end=end)
    return launches and [*before, *launches]


@candidate("_to_first_maximum", "_to_first_adaptive")
def to_first_maximum(request):
    """Each window's ``g`` at its first element that equals its maximum, at its last where none does (with NaN)."""
    return _backward(request, ("g", "x", "y", "out"), _FIRST, _is_adaptive(request))


@candidate("_average_pool_input", "_adaptive_average_input")
def average_pool_input(request):
    """Each window's ``g`` over the number of its elements, at all of them."""
    total, before = _totals(request)
    more = " + 0 * total[image * channels + c]" if before else ""
    launches = _backward(request, ("g", "out"), f"sum += get(g[o]) / {_COUNT};", _is_adaptive(request), total, more)
    return launches and [*before, *launches]
