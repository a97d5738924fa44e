"""Whole sequences through an LSTM or a GRU, each as one call: what the recurrent layers use where its numbers are theirs.

``_lstm`` and ``_gru`` take inputs that are already multiplied by the kernel, all steps at once, and keep on a *tape* what their
gradient ops need: ``_lstm_gradient`` and ``_gru_gradient``, whose gradients in turn come from the same steps written in ops.

Layouts. Arguments and results are batch first: ``x`` (batch, steps, gates * units) with the gates side by side in Keras's order,
``kernel`` (units, gates * units), states (batch, units), ``sequence`` (batch, steps, units). The tape (steps + 1, 5, units, batch)
is steps first and batch last: each gate of a step is one block of memory, and the product of a step is ``kernel.T @ h``, whose
rows are such blocks. What is not there is a scalar: ``bias`` 0, ``mask`` True, and the gradient of the sequence 0.

``mask`` (batch, steps): where it is False the states stay as they are. ``reverse``: steps are taken from the last to the first;
``sequence`` and the tape are in the order in which they are taken. Without ``return_sequences`` gradients come only from the
last states. Half precision computes in float32, and so is the tape.

A kernel's ``out`` is a tuple: an array for each output.
"""

import functools

from kerasish.backend.autodiff.dtypes import floating, numpy_dtype, promote_dtypes
from kerasish.backend.autodiff.gradient import grad, zeros
from kerasish.backend.autodiff.op import add
from kerasish.ops.activation import nn_op, sigmoid
from kerasish.ops.control import scan
from kerasish.ops.elementwise import choose, tanh
from kerasish.ops.products import matmul
from kerasish.ops.reduction import sum
from kerasish.ops.shaping import expand_dims, flip, split, transpose

__all__: list[str] = []


# ---- one step, in ops
def lstm_step(x, h, c, recurrent, activation=tanh, gate=sigmoid, axis=-1):
    """New ``h`` and ``c`` (S. Hochreiter, J. Schmidhuber 1997). ``x``: inputs times the kernel; ``recurrent(h)``: ``h`` times its.
    The gates lie side by side along ``axis``."""
    i, f, new, o = split(x + recurrent(h), 4, axis=axis)
    c = gate(f) * c + gate(i) * activation(new)
    return gate(o) * activation(c), c


def gru_step(x, h, recurrent, activation=tanh, gate=sigmoid):
    """New ``h`` (K. Cho et al. 2014), where the reset gate acts on ``recurrent(h)``: ``h`` times its kernel, plus its bias."""
    x_z, x_r, x_new = split(x, 3, axis=-1)
    h_z, h_r, h_new = split(recurrent(h), 3, axis=-1)
    new = activation(x_new + gate(x_r + h_r) * h_new)
    return new + gate(x_z + h_z) * (h - new)


def _take_steps(step, x, states, mask, reverse):
    """Sequence and last states of ``step(x, *states) -> states``: what the kernels do in one go."""

    def masked(states, x_keep):
        x, keep = x_keep
        states = [choose(keep, new, old) for new, old in zip(step(x, *states), states, strict=True)]
        return states, states[0]

    def plain(states, x):
        states = list(step(x, *states))
        return states, states[0]

    xs = transpose(x, [1, 0, 2])
    f, xs = (masked, (xs, expand_dims(transpose(mask), -1))) if mask.ndim else (plain, xs)
    states, sequence = scan(f, list(states), xs, reverse=reverse)
    return [transpose(flip(sequence, axis=0) if reverse else sequence, [1, 0, 2]), *states]


def _lstm_in_steps(x, kernel, bias, h, c, mask, reverse):
    return _take_steps(lambda x, h, c: lstm_step(x, h, c, lambda h: matmul(h, kernel)), x + bias, (h, c), mask, reverse)


def _gru_in_steps(x, kernel, bias, h, mask, reverse):
    of_x, of_h = (bias[0], bias[1]) if bias.ndim else (bias, bias)
    return _take_steps(lambda x, h: [gru_step(x, h, lambda h: matmul(h, kernel) + of_h)], x + of_x, (h,), mask, reverse)


# ---- rules
def _shapes(gates, x, kernel, *states):
    """Of the sequence, the last states and the tape."""
    units = kernel[0]
    if len(x) != 3 or tuple(kernel) != (units, gates * units) or x[2] != gates * units or any(s[-1] != units for s in states):
        raise ValueError(
            f"Expected inputs (batch, steps, {gates} * units), a recurrent kernel (units, {gates} * units) and states (batch, units). "
            f"Received shapes {x}, {kernel} and {list(states)}."
        )
    batch, steps, _ = x
    batch = states[0][0] if batch is None else batch
    rows = None if steps is None else steps + 1
    return [(batch, steps, units), *[(batch, units)] * len(states), (rows, 5, units, batch)]


def _dtypes(dtypes, attrs):
    """All but the mask to their common dtype; the tape is wider than half precision."""
    casts, common = floating(dtypes[:-1], attrs)
    return (*casts, None), (*(common,) * (len(dtypes) - 3), promote_dtypes((common, "float32")))


def _dtypes_of_gradient(count):
    """Nothing is cast; so many gradients have the dtype of the first input."""
    return lambda dtypes, attrs: ((None,) * len(dtypes), (dtypes[0],) * count)


def _first_order(gradient_op, g, y, inputs, reverse, return_sequences):
    """Gradients of the inputs; none of the mask, and of a bias that is not there."""
    of_sequence = g[0] if return_sequences else zeros((), y[0].dtype)
    slopes = gradient_op(of_sequence, *g[1:-1], *inputs, y[0], y[-1], reverse=reverse)
    return [slope if x.ndim else None for x, slope in zip(inputs, [*slopes, None], strict=True)]


def _second_order(in_steps, n_states, weights, inputs, reverse):
    """Gradients of ``sum(weights * first-order gradients)`` with respect to a gradient op's inputs, which are: upstream gradients
    of the sequence and the states, the sequence op's inputs, and its outputs (that depend on those: no gradient)."""
    n = 1 + n_states
    mask = inputs[-3]
    wanted = inputs[:-3]

    def weighed(ys, weights):
        return functools.reduce(add, [sum(y * w) for y, w in zip(ys, weights, strict=True)])

    def slopes(*args):
        upstream, args = args[:n], args[n:]
        return grad(lambda *args: weighed(in_steps(*args, mask, reverse), upstream), tuple(range(len(args))))(*args)

    return [*grad(lambda *args: weighed(slopes(*args), weights), tuple(range(len(wanted))))(*wanted), None, None, None]


# ---- what kernels share
def _wide(x):
    return numpy_dtype("float32") if x.dtype.itemsize < 4 else x.dtype


def _steps_first(x, gates, reverse):
    """View (steps, gates, units, batch) of (batch, steps, gates * units), in the order in which steps are taken."""
    batch, steps, size = x.shape
    x = x.reshape(batch, steps, gates, size // gates).transpose(1, 2, 3, 0)
    return x[::-1] if reverse else x


def _batch_last(xp, bias, gates, units, batch, dtype):
    """A bias as a block (gates, units, batch), so that adding it runs through memory once."""
    return xp.broadcast_to(bias.reshape(gates, units, 1), (gates, units, batch)).astype(dtype, order="C")


def _masked_out(xp, mask, reverse):
    """For each step which examples to leave as they are; None where there is no mask."""
    if not mask.ndim:
        return None
    out = xp.ascontiguousarray(xp.logical_not(mask.T))
    return out[::-1] if reverse else out


def _sigmoid(xp, y):
    """In place, as a tanh: that costs NumPy less than ``1 / (1 + exp(-y))``, and never overflows."""
    y *= 0.5
    xp.tanh(y, out=y)
    y *= 0.5
    y += 0.5


def _states_before(xp, h, sequence, reverse):
    """The state before each step, rows (batch * steps, units) in the order of the inputs."""
    batch, steps, units = sequence.shape
    before = xp.empty((batch, steps, units), _wide(sequence))
    in_order = before[:, ::-1] if reverse else before
    in_order[:, :1] = h.reshape(batch, 1, units)
    in_order[:, 1:] = sequence[:, :-1]
    return before.reshape(batch * steps, units)


def _upstream(g, dtype):
    """The last state's gradient as a block (units, batch) that may be written into."""
    return g.T.astype(dtype, order="C")


def _steps_of(g):
    """View (steps, units, batch) of the sequence's gradient; None where there is none."""
    return g.transpose(1, 2, 0) if g.ndim else None


def _results(xp, out, dtype, *shapes):
    return out or tuple(xp.empty(shape, dtype) for shape in shapes)


def _fill(results, values):
    """Write values into the results, where they are not there yet."""
    for result, value in zip(results, values, strict=True):
        if result is not value:
            result[...] = value
    return results


# ---- LSTM
@nn_op(
    lambda *of_lstm_gradient, reverse: list(of_lstm_gradient[3:8]),
    lambda g, y, *inputs, reverse: _second_order(_lstm_in_steps, 2, g, inputs, reverse),
    _dtypes_of_gradient(5),
)
def _lstm_gradient(xp, g, g_h, g_c, x, kernel, bias, h, c, mask, sequence, tape, reverse=False, out=None):
    """Gradients of ``_lstm``'s inputs, all but the mask. ``x`` is not read (so its memory may be that of its gradient): it is
    there for gradients of higher order.
    """
    dtype, (batch, steps, units) = tape.dtype, sequence.shape
    kernel = kernel.astype(dtype, copy=False)
    results = _results(xp, out, x.dtype, *(a.shape for a in (x, kernel, bias, h, c)))
    dx = results[0] if x.dtype == dtype else xp.empty(x.shape, dtype)
    dx_steps, g_steps, masked_out = _steps_first(dx, 4, reverse), _steps_of(g), _masked_out(xp, mask, reverse)
    dh, dc = _upstream(g_h, dtype), _upstream(g_c, dtype)
    dz, slopes, scratch = (xp.empty((*blocks, units, batch), dtype) for blocks in ((4,), (5,), ()))
    of_gates, of_o, of_c = slopes[:3], slopes[3], slopes[4]
    for t in reversed(range(steps)):
        _lstm_slopes(xp, tape[t], tape[t + 1, 4], slopes)
        if g_steps is not None:
            dh += g_steps[t]
        xp.multiply(dh, of_c, out=scratch)
        dc += scratch
        xp.multiply(of_gates, dc, out=dz[:3])
        xp.multiply(of_o, dh, out=dz[3])
        dc *= tape[t, 1]
        dx_steps[t] = dz
        if masked_out is not None:
            xp.multiply(dh, masked_out[t], out=scratch)  # that of states that stayed as they were
        xp.matmul(kernel, dz.reshape(4 * units, batch), out=dh)
        if masked_out is not None:
            dh += scratch
    rows = dx.reshape(batch * steps, 4 * units)
    d_kernel = xp.matmul(_states_before(xp, h, sequence, reverse).T, rows)
    return _fill(results, (dx, d_kernel, xp.sum(rows, axis=0) if bias.ndim else 0, dh.T, dc.T))


def _lstm_slopes(xp, row, new_c, slopes):
    """What gives a step's gradients of the gates before their activation: ``dc`` times the slopes of i, f, new; ``dh`` times that
    of o. ``dh`` times the last one is added to ``dc`` first."""
    i, _, new, o, _ = row
    of_i_f, of_new, of_o, of_c = slopes[:2], slopes[2], slopes[3], slopes[4]
    xp.subtract(1, row[:2], out=of_i_f)
    of_i_f *= row[:2]
    of_i_f *= row[2::2]  # new, and c before the step
    xp.multiply(new, new, out=of_new)
    xp.subtract(1, of_new, out=of_new)
    of_new *= i
    xp.tanh(new_c, out=of_c)
    xp.subtract(1, o, out=of_o)
    of_o *= o
    of_o *= of_c
    of_c *= of_c
    xp.subtract(1, of_c, out=of_c)
    of_c *= o


@nn_op(
    lambda x, kernel, bias, h, c, mask, reverse, return_sequences: _shapes(4, x, kernel, h, c),
    lambda g, y, *inputs, **attrs: _first_order(_lstm_gradient, g, y, inputs, **attrs),
    _dtypes,
)
def _lstm(xp, x, kernel, bias, h, c, mask, reverse=False, return_sequences=True, out=None):
    """Sequence, last ``h``, last ``c`` and tape of an LSTM with Keras's default activations, gates i, f, new, o.

    ``bias`` (4 * units). Tape (steps + 1, 5, units, batch): the gates, activated, and ``c`` before the step. Of the row after the
    last step only ``c`` is filled. Where the mask is False the tape has i, new, o = 0 and f = 1, so gradients need not ask.
    """
    (batch, steps, _), units, dtype = x.shape, kernel.shape[0], _wide(x)
    sequence, last_h, last_c, tape = out or (
        *_results(xp, None, x.dtype, (batch, steps, units), h.shape, c.shape),
        xp.empty((steps + 1, 5, units, batch), dtype),
    )
    x_steps, masked_out = _steps_first(x, 4, reverse), _masked_out(xp, mask, reverse)
    kernel = kernel.T.astype(dtype, order="C")
    bias = _batch_last(xp, bias, 4, units, batch, dtype) if bias.ndim else None
    state, product = h.T.astype(dtype, order="C"), xp.empty((4 * units, batch), dtype)
    gates_of_h, scratch = product.reshape(4, units, batch), xp.empty((units, batch), dtype)
    tape[0, 4] = c.T
    for t in range(steps):
        row, new_c = tape[t], tape[t + 1, 4]
        gates, i_f, (i, f, new, o, c) = row[:4], row[:2], row
        xp.matmul(kernel, state, out=product)
        gates[...] = x_steps[t]
        gates += gates_of_h
        if bias is not None:
            gates += bias
        _sigmoid(xp, i_f)
        _sigmoid(xp, o)
        xp.tanh(new, out=new)
        if masked_out is not None:
            xp.copyto(gates, 0, where=masked_out[t])
            xp.copyto(f, 1, where=masked_out[t])
        xp.multiply(f, c, out=new_c)
        xp.multiply(i, new, out=scratch)
        new_c += scratch
        xp.tanh(new_c, out=scratch)
        xp.multiply(o, scratch, out=scratch)
        if masked_out is not None:
            xp.copyto(scratch, state, where=masked_out[t])
        state, scratch = scratch, state
        sequence[:, t] = state.T
    return _fill((sequence, last_h, last_c, tape), (sequence, state.T, tape[steps, 4].T, tape))


# ---- GRU
@nn_op(
    lambda *of_gru_gradient, reverse: list(of_gru_gradient[2:6]),
    lambda g, y, *inputs, reverse: _second_order(_gru_in_steps, 1, g, inputs, reverse),
    _dtypes_of_gradient(4),
)
def _gru_gradient(xp, g, g_h, x, kernel, bias, h, mask, sequence, tape, reverse=False, out=None):
    """Gradients of ``_gru``'s inputs, all but the mask: as ``_lstm_gradient``."""
    dtype, (batch, steps, units) = tape.dtype, sequence.shape
    kernel = kernel.astype(dtype, copy=False)
    results = _results(xp, out, x.dtype, *(a.shape for a in (x, kernel, bias, h)))
    dx = results[0] if x.dtype == dtype else xp.empty(x.shape, dtype)
    d_inner = xp.empty((batch, steps, units), dtype)
    dx_steps, inner_steps, g_steps = _steps_first(dx, 3, reverse), _steps_first(d_inner, 1, reverse), _steps_of(g)
    dh, of_gates = _upstream(g_h, dtype), xp.empty((units, batch), dtype)
    dz, slopes = xp.empty((3, units, batch), dtype), xp.empty((3, units, batch), dtype)
    for t in reversed(range(steps)):
        _gru_slopes(xp, tape[t], slopes)
        if g_steps is not None:
            dh += g_steps[t]
        xp.multiply(slopes[::2], dh, out=dz[::2])
        xp.multiply(slopes[1], dz[2], out=dz[1])
        dx_steps[t] = dz
        xp.multiply(dz[2], tape[t, 1], out=dz[2])
        inner_steps[t] = dz[2:]
        dh *= tape[t, 0]
        xp.matmul(kernel, dz.reshape(3 * units, batch), out=of_gates)
        dh += of_gates
    rows, inner_rows = dx.reshape(batch * steps, 3 * units), d_inner.reshape(batch * steps, units)
    before = _states_before(xp, h, sequence, reverse).T
    d_kernel = xp.concatenate([xp.matmul(before, rows[:, : 2 * units]), xp.matmul(before, inner_rows)], axis=1)
    d_bias = 0
    if bias.ndim:
        of_x = xp.sum(rows, axis=0)
        d_bias = xp.stack([of_x, xp.concatenate([of_x[: 2 * units], xp.sum(inner_rows, axis=0)])])
    return _fill(results, (dx, d_kernel, d_bias, dh.T))


def _gru_slopes(xp, row, slopes):
    """What ``dh`` (z, new) and the gradient of the new state before its activation (r) are multiplied with."""
    z, r, new, inner, h = row
    of_z, of_r, of_new = slopes
    xp.multiply(new, new, out=of_new)
    xp.subtract(1, of_new, out=of_new)
    xp.subtract(1, z, out=of_z)
    of_new *= of_z
    of_z *= z
    xp.subtract(h, new, out=of_r)
    of_z *= of_r
    xp.subtract(1, r, out=of_r)
    of_r *= r
    of_r *= inner


@nn_op(
    lambda x, kernel, bias, h, mask, reverse, return_sequences: _shapes(3, x, kernel, h),
    lambda g, y, *inputs, **attrs: _first_order(_gru_gradient, g, y, inputs, **attrs),
    _dtypes,
)
def _gru(xp, x, kernel, bias, h, mask, reverse=False, return_sequences=True, out=None):
    """Sequence, last state and tape of a GRU with Keras's default activations and ``reset_after``, gates z, r, new.

    ``bias`` (2, 3 * units): the inputs', and that of the recurrent product. Tape (steps + 1, 5, units, batch): the gates,
    activated, the recurrent product's part for the third, and the state before the step. Of the row after the last step only the
    state is filled. Where the mask is False the tape has z = 1 and r, new = 0, so gradients need not ask.
    """
    (batch, steps, _), units, dtype = x.shape, kernel.shape[0], _wide(x)
    sequence, last_h, tape = out or (
        *_results(xp, None, x.dtype, (batch, steps, units), h.shape),
        xp.empty((steps + 1, 5, units, batch), dtype),
    )
    x_steps, masked_out = _steps_first(x, 3, reverse), _masked_out(xp, mask, reverse)
    kernel = kernel.T.astype(dtype, order="C")
    product = xp.empty((3 * units, batch), dtype)
    gates_of_h = product.reshape(3, units, batch)
    of_x, of_h = (_batch_last(xp, b, 3, units, batch, dtype) for b in bias) if bias.ndim else (None, None)
    tape[0, 4] = h.T
    for t in range(steps):
        row, new_h = tape[t], tape[t + 1, 4]
        gates, z_r, (z, r, new, inner, h) = row[:3], row[:2], row
        xp.matmul(kernel, h, out=product)
        gates[...] = x_steps[t]
        if bias.ndim:
            gates += of_x
            gates_of_h += of_h
        z_r += gates_of_h[:2]
        inner[...] = gates_of_h[2]
        _sigmoid(xp, z_r)
        xp.multiply(r, inner, out=new_h)
        new += new_h
        xp.tanh(new, out=new)
        if masked_out is not None:
            xp.copyto(gates, 0, where=masked_out[t])
            xp.copyto(z, 1, where=masked_out[t])
        xp.subtract(h, new, out=new_h)
        new_h *= z
        new_h += new
        sequence[:, t] = new_h.T
    return _fill((sequence, last_h, tape), (sequence, tape[steps, 4].T, tape))
