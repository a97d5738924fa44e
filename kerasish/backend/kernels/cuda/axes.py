"""Axes of buffers, brought to their simplest form, and the C that walks along them."""

from kerasish.backend.kernels.cuda.launch import THREADS, source
from kerasish.backend.kernels.cuda.prelude import MEMORY

LARGEST = (1 << 31) - (1 << 17)  # offsets below it are 32-bit integers, also those a little beyond the end


def merged(axes):
    """Axes as tuples (size, stride, ...), outer ones first, without those of size 1; neighbours that are one are made one."""
    found = []
    for size, *strides in axes:
        if size == 1:
            continue
        if found and all(s == size * t for s, t in zip(found[-1][1:], strides, strict=True)):
            found[-1] = (found[-1][0] * size, *strides)
        else:
            found.append((size, *strides))
    return found


def index_type(*buffers):
    """The type of offsets into some buffers."""
    reach = (max([b.size, *(sum((n - 1) * abs(s) for n, s in zip(b.shape, b.strides, strict=True)) for _ in (0,))]) for b in buffers)
    return "int" if all(r < LARGEST for r in reach) else "i64"


def offsets(i, axes, names):
    """Lines that find offsets of element number ``i``. ``axes``: how many; ``names``: of offsets, axis a having the size ``n<a>``
    and, for an offset ``x``, the stride ``x_s<a>``."""
    lines = [f"I rest = {i};", *(f"I {name} = 0;" for name in names)]
    for a in reversed(range(axes)):
        digit = f"rest % n{a}" if a else "rest"
        lines.append(f"{{ const I digit = {digit}; {' '.join(f'{name} += digit * {name}_s{a};' for name in names)} rest /= n{a}; }}")
    return lines


def parameters(axes, names):
    """The parameters that ``offsets`` needs, sizes first."""
    return [f"i64 p_n{a}" for a in range(axes)] + [f"i64 p_{name}_s{a}" for name in names for a in range(axes)]


def as_index(axes, names):
    """Lines that make the parameters numbers of the type of offsets."""
    wanted = [f"n{a}" for a in range(axes)] + [f"{name}_s{a}" for name in names for a in range(axes)]
    return [f"const I {name} = (I)p_{name};" for name in wanted]


def arguments(axes):
    """The arguments for ``parameters``, of axes (size, stride, ...)."""
    return [n for column in zip(*axes, strict=True) for n in column]


def each(request, y, body, inputs=(), places=None, numbers=None, more=""):
    """A launch with a thread for each element of ``y``, a dense buffer: ``body`` puts something to ``y + i``.

    ``inputs`` are its arrays ``x0``..., ``places`` offsets by name with a stride for each axis of ``y``: where something lies or how far
    an element is along an axis. ``numbers`` are whole numbers by name.
    """
    places, numbers = places or {}, numbers or {}
    found = merged([(n, *(strides[a] for strides in places.values())) for a, n in enumerate(y.shape)]) if places else []
    reach = [sum((n - 1) * abs(s) for n, s in zip(y.shape, strides, strict=True)) for strides in places.values()]
    large = max([y.size, *(x.size for x in inputs), *reach]) >= LARGEST
    lines = [f"typedef {'i64' if large else 'int'} I;", *as_index(len(found), places),
             f"const I i = (I)blockIdx.x * {THREADS} + threadIdx.x;", "if (i >= (I)count) return;"]  # fmt: skip
    lines += [*(offsets("i", len(found), list(places)) if places else []), body]
    given = [*(f"const {MEMORY[x.dtype]} *x{j}" for j, x in enumerate(inputs)), f"{MEMORY[y.dtype]} *y", "i64 count"]
    given += [*parameters(len(found), places), *(f"i64 {name}" for name in numbers)]
    text = source(given, "\n".join(lines), THREADS, more=more)
    return request.each(text, [*inputs, y, y.size, *arguments(found), *numbers.values()], y.size)


def spread(x, shape):
    """The strides of a buffer that is broadcast to a shape."""
    fewer = len(shape) - len(x.shape)
    sizes, strides = (1,) * fewer + tuple(x.shape), (0,) * fewer + tuple(x.strides)
    return [0 if n == 1 and m != 1 else s for n, m, s in zip(sizes, shape, strides, strict=True)]


def unit(rank, axis, stride=1):
    """The strides of how far something is along one axis."""
    return [stride if a == axis else 0 for a in range(rank)]


def without(strides, axis):
    """Strides, 0 for one axis."""
    return [0 if a == axis else s for a, s in enumerate(strides)]
