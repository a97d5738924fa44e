"""Sizes that stand for any: what an exporter records a model with, where axes of its inputs are open.

A :class:`Size` is a number like any other to the code that runs with it, and knows how it follows from the sizes of the inputs:
``x.shape[0] * 4`` of a batch is ``batch*4``. So a recorded shape is an expression, which a file can hold. As a tensor it is a
call (``size_of``); what is made of such a shape (zeros, a range) is a call as well, not a constant.
"""

import math
import threading

from kerasish.backend.autodiff import op as core
from kerasish.backend.autodiff.op import op

__all__: list[str] = []


@op(lambda size: (), [], lambda dtypes, attrs: ((), "int32"))
def size_of(xp, size):
    """A size as a tensor."""
    return xp.asarray(int(size), dtype=xp.int32)


@op(lambda n: (n,), [], lambda dtypes, attrs: ((), "int32"))
def positions(xp, n):
    """The numbers from 0 up to, without, ``n``."""
    return xp.arange(n, dtype=xp.int32)


class _Reading(threading.local):
    """Whether code has asked for a shape with a size that is open: it may count with None (``arange(0, None)`` is empty)."""

    open_size = False


reading = _Reading()


class Size(int):
    """A number that stands for a size that is open. ``terms``: products of atoms -> how often; an atom is the name of an open size
    or ``("//", terms, terms)``.

    It equals only sizes: no number that happens to be the one that it was made with. Where a fraction comes of it, that is a tensor.

    >>> batch = Size(840, {("batch",): 1})
    >>> batch * 4 + 2, batch * 4 // batch, batch - batch
    (<batch*4+2>, 4, 0)
    """

    terms: dict

    def __new__(cls, value, terms):
        size = super().__new__(cls, value)
        size.terms = terms
        return size

    @classmethod
    def _made(cls, value, terms):
        terms = {atoms: n for atoms, n in terms.items() if n}
        return cls(value, terms) if set(terms) - {()} else int(value)

    def __add__(self, other):
        if not isinstance(other, int):
            return self.value + other if isinstance(other, float) else NotImplemented
        terms = dict(self.terms)
        for atoms, n in _terms(other).items():
            terms[atoms] = terms.get(atoms, 0) + n
        return self._made(int(self) + int(other), terms)

    def __mul__(self, other):
        if not isinstance(other, int):
            return self.value * other if isinstance(other, float) else NotImplemented
        terms: dict = {}
        for a, n in self.terms.items():
            for b, m in _terms(other).items():
                atoms = tuple(sorted(a + b, key=repr))
                terms[atoms] = terms.get(atoms, 0) + n * m
        return self._made(int(self) * int(other), terms)

    __radd__, __rmul__ = __add__, __mul__

    def __pow__(self, other):
        if isinstance(other, Size) or not isinstance(other, int) or other < 0:
            return self.value ** float(other) if isinstance(other, (int, float)) else NotImplemented
        return math.prod([self] * other)

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + -other if isinstance(other, (int, float)) else NotImplemented

    def __rsub__(self, other):
        return -self + other if isinstance(other, (int, float)) else NotImplemented

    def __truediv__(self, other):
        return self.value / other if isinstance(other, (int, float)) else NotImplemented

    def __rtruediv__(self, other):
        return other / self.value if isinstance(other, (int, float)) else NotImplemented

    def __floordiv__(self, other):
        return _divided(self, other) if isinstance(other, int) else NotImplemented

    def __rfloordiv__(self, other):
        return _divided(other, self) if isinstance(other, int) else NotImplemented

    def __mod__(self, other):
        return self - self // other * other if isinstance(other, int) else NotImplemented

    def __rmod__(self, other):
        return other - other // self * self if isinstance(other, int) else NotImplemented

    def __divmod__(self, other):
        return self // other, self % other

    def __eq__(self, other):
        return isinstance(other, Size) and int(self) == int(other)

    def __ne__(self, other):
        return not self == other

    def __hash__(self):
        return hash((Size, int(self), frozenset(_names(self.terms))))  # caches must not mix up what has the same number by chance

    def __index__(self):
        return self  # code that makes sure of a number calls this

    def __repr__(self):
        return f"<{expression(self)}>"

    @property
    def value(self):
        """As a tensor: what ``as_tensor`` asks for."""
        return size_of._without_value([], {"size": self}, "int32", False)


def _terms(n):
    return n.terms if isinstance(n, Size) else {(): int(n)}


def _names(terms):
    """The open sizes that terms are made of."""
    for atoms in terms:
        for atom in atoms:
            if isinstance(atom, str):
                yield atom
            else:
                yield from _names(dict([*atom[1], *atom[2]]))


def frozen_terms(n):
    """The terms as a key: pairs (atoms, how often), in order."""
    return tuple(sorted(_terms(n).items(), key=repr))


def _divided(n, by):
    value = int(n) // int(by)
    if len(_terms(by)) == 1:
        ((gone, k),) = _terms(by).items()
        if all(m % k == 0 and all(a.count(atom) >= gone.count(atom) for atom in gone) for a, m in _terms(n).items()):
            terms = {}
            for a, m in _terms(n).items():
                left = list(a)
                for atom in gone:
                    left.remove(atom)
                terms[tuple(left)] = m // k
            return Size._made(value, terms)
    return Size(value, {(("//", frozen_terms(n), frozen_terms(by)),): 1})


def expression(n):
    """The size in words: ``batch*4+2``."""
    if not isinstance(n, Size):
        return str(n)
    return "+".join("*".join([*map(_atom, atoms), *([str(k)] if k != 1 or not atoms else [])]) for atoms, k in n.terms.items())


def _atom(atom):
    if isinstance(atom, str):
        return atom
    return "floor(({})/({}))".format(*(expression(Size(0, dict(terms))) for terms in atom[1:]))


# ---- tensors of such shapes
def is_open(sizes):
    """Whether any of the sizes stands for others."""
    return any(isinstance(n, Size) for n in sizes)


def closed(shape):
    """The shape with None for sizes that stand for any."""
    return tuple(None if isinstance(n, Size) else n for n in shape)


def open_call(op, x, **attrs):
    """The op's call on one tensor, which gives an open shape: also where the tensor is a constant."""
    return op._without_value([x], attrs, x.dtype, False)


def repeated(x, shape):
    """``x`` broadcast to an open shape."""
    return open_call(core.broadcast_to, x, shape=tuple(shape))


def sliced_size(s, n):
    """How many elements a slice takes of an axis, where an open size is involved: None otherwise. A bound that is open, as that of
    a table with a row for each step, is taken to be inside."""
    if not is_open((n, s.start, s.stop)):
        return None
    step = 1 if s.step is None else s.step
    low, high = (0, n) if step > 0 else (-1, n - 1)

    def bound(at, default):
        if at is None:
            return default
        at = at + n if at < 0 else at
        return at if isinstance(at, Size) else min(max(at, low), high)

    start, stop = bound(s.start, low if step > 0 else high), bound(s.stop, high if step > 0 else low)
    return max(-((start - stop) // step), 0)


def count(start, stop, step):
    """How many numbers there are from ``start`` up to, without, ``stop``."""
    return max(-((start - stop) // step), 0) if isinstance(step, int) else max(math.ceil((stop - start) / step), 0)


def numbers_up_to(n):
    """The numbers from 0 up to, without, an open size."""
    return positions._without_value([], {"n": n}, "int32", False)
