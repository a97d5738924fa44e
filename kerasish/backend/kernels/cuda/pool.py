"""Pools of images and their gradients: a thread for each result.

A gradient's thread has one element of the image and asks the windows that it is in, in order, so that nothing is added by several
threads at once. Images with the channels first are images of one channel, as many more.
"""


from kerasish.backend.autodiff.shapes import per_axis, window_padding
from kerasish.backend.kernels.cuda.launch import THREADS, candidate, source
from kerasish.backend.kernels.cuda.prelude import MEMORY, REGISTER
from kerasish.config import standardize_data_format

_SIZES = ("height", "width", "channels", "out_height", "out_width", "top", "left", "size_y", "size_x", "stride_y", "stride_x")
_COMMON = """
#define LIMIT(x, low, high) ((x) < (low) ? (low) : (x) > (high) ? (high) : (x))
const i64 i = (i64)blockIdx.x * %d + threadIdx.x;
if (i >= count) return;
const i64 c = i %% channels, column = i / channels %% %s, row = i / channels / %s %% %s, image = i / channels / %s / %s;
"""
_WINDOW = """
const i64 y0 = oy * stride_y - top, x0 = ox * stride_x - left;
const i64 y_first = y0 < 0 ? 0 : y0, y_end = y0 + size_y < height ? y0 + size_y : height;
const i64 x_first = x0 < 0 ? 0 : x0, x_end = x0 + size_x < width ? x0 + size_x : width;
"""
_AT = "((image * height + ty) * width + tx) * channels + c"
_FORWARD = f"""const i64 oy = row, ox = column;
{_WINDOW}
%(type)s result = %(start)s;
for (i64 ty = y_first; ty < y_end; ++ty)
    for (i64 tx = x_first; tx < x_end; ++tx) result = %(combine)s(result, get(x[{_AT}]));
put(y + i, %(end)s);
"""
_BACKWARD = f"""const i64 first_y = row + top < size_y ? 0 : (row + top - size_y) / stride_y + 1;
const i64 first_x = column + left < size_x ? 0 : (column + left - size_x) / stride_x + 1;
const i64 last_y = LIMIT((row + top) / stride_y, -1, out_height - 1), last_x = LIMIT((column + left) / stride_x, -1, out_width - 1);
%(type)s sum = 0;
for (i64 oy = %(from)s_y; %(while_y)s; %(step)soy)
    for (i64 ox = %(from)s_x; %(while_x)s; %(step)sox) {{
        {_WINDOW}
        const i64 o = ((image * out_height + oy) * out_width + ox) * channels + c;
        %(share)s
    }}
put(out + i, sum);
"""
_FIRST = f"""const auto maximum = get(y[o]);
const bool end = row == y0 + size_y - 1 && column == x0 + size_x - 1;
bool mine = end || get(x[i]) == maximum;
for (i64 ty = y_first; mine && ty <= row; ++ty)
    for (i64 tx = x_first; tx < (ty == row ? column : x_end); ++tx) mine = mine && !(get(x[{_AT}]) == maximum);
sum += get(g[o]) * (mine ? 1 : 0);
"""


class _Pool:
    """The sizes of a pool of 1 or 2 spatial axes, as the kernels want them."""

    def __init__(self, attrs, shape, out_shape):
        last, rank = standardize_data_format(attrs["data_format"]) == "channels_last", len(shape) - 2
        spatial, out_spatial = (s[1:-1] if last else s[2:] for s in (shape, out_shape))
        size = per_axis(attrs["pool_size"], rank, "pool_size")
        strides = size if attrs["strides"] is None else per_axis(attrs["strides"], rank, "strides")
        before = [b for b, _ in window_padding(spatial, size, strides, attrs["padding"], (1,) * rank)]
        one, none = (1,) * (2 - rank), (0,) * (2 - rank)
        sizes = [*one, *spatial, shape[-1] if last else 1, *one, *out_spatial]
        self.args = [*sizes, *none, *before, *one, *size, *one, *strides]


def _launch(request, names, body, image, result, back):
    """A launch of a kernel over the results. ``image``, ``result``: shapes before and after the pool."""
    dtypes = {b.dtype for b in (*request.inputs, *request.outputs)}
    if len(dtypes) > 1 or not dtypes <= {"float32", "float64", "float16", "bfloat16"} or len(image) not in (3, 4):
        return None
    out = request.outputs[0]
    if 0 in (*image, *result):
        return None
    [dtype] = dtypes
    t, axes = MEMORY[dtype], ("width", "height") if back else ("out_width", "out_height")
    common = _COMMON % (THREADS, axes[0], axes[0], axes[1], axes[0], axes[1])
    parameters = [*(f"const {t} *{name}" for name in names[:-1]), f"{t} *{names[-1]}", "i64 count", *(f"i64 {name}" for name in _SIZES)]
    text = source(parameters, common + body.replace("%(type)s", REGISTER[dtype]), THREADS)
    args = [*(request.dense(i) for i in range(len(request.inputs))), out, out.size, *_Pool(request.attrs, image, result).args]
    return [request.each(text, args, out.size)]


def _filled(text, **names):
    """A text with its ``%(name)s`` replaced, where the name is given."""
    for name, value in names.items():
        text = text.replace(f"%({name})s", value)
    return text


def _forward(request, **names):
    return _launch(request, ("x", "y"), _filled(_FORWARD, **names), request.inputs[0].shape, request.outputs[0].shape, back=False)


def _backward(request, names, share, last_first):
    order = {"from": "last", "step": "--", "while_y": "oy >= first_y", "while_x": "ox >= first_x"}
    if not last_first:
        order = {"from": "first", "step": "++", "while_y": "oy <= last_y", "while_x": "ox <= last_x"}
    body = _filled(_BACKWARD, share=share, **order)
    return _launch(request, names, body, request.outputs[0].shape, request.inputs[0].shape, back=True)


@candidate("max_pool")
def max_pool(request):
    """Maxima of windows."""
    return _forward(request, start="-infinity()", combine="larger<%(type)s>", end="result")


@candidate("average_pool")
def average_pool(request):
    """Means of windows."""
    count = "(%(type)s)((y_end - y_first) * (x_end - x_first))"
    return _forward(request, start="0", combine="Sum::combine<%(type)s>", end=f"result / {count}")


@candidate("_to_first_maximum")
def to_first_maximum(request):
    """Each window's ``g`` at its first element that equals its maximum, at its last where none does (with NaN)."""
    return _backward(request, ("g", "x", "y", "out"), _FIRST, last_first=True)


@candidate("_average_pool_input")
def average_pool_input(request):
    """Each window's ``g`` over the number of its elements, at all of them."""
    share = "sum += get(g[o]) / (%(type)s)((y_end - y_first) * (x_end - x_first));"
    return _backward(request, ("g", "out"), share, last_first=True)
