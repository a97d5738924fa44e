"""LSTM and GRU as the operators of these names, where nothing is masked; else step by step, as a Scan."""

from kerasish.export.graph import Value, onnx

_ORDERS = {4: [0, 3, 1, 2], 3: [0, 1, 2]}  # of the gates: ONNX has i, o, f, c and z, r, h


def _by_gates(g, matrix, units, gates):
    """A matrix (rows, gates * units) as ONNX has it: (1, gates * units, rows), gates in its order."""
    y = g.Transpose(matrix, perm=[1, 0])
    if gates == 4:
        parts = g.Split(y, g.int64(*[units] * 4), axis=0, outputs=4)
        y = g.Concat(*[parts[i] for i in _ORDERS[4]], axis=0)
    return g.unsqueeze(y, 0)


def _vector(g, bias, units, gates):
    if gates == 4:
        parts = g.Split(bias, g.int64(*[units] * 4), axis=0, outputs=4)
        return g.Concat(*[parts[i] for i in _ORDERS[4]], axis=0)
    return bias


def _bias(g, bias, units, gates):
    """(1, 2 * gates * units): that of the inputs and that of the states; zeros where there is none."""
    if not bias.ndim:
        return None
    if bias.ndim == 2:
        return g.Reshape(bias, g.int64(1, -1))
    zeros = g.Expand(g.constant(0, bias.dtype), g.int64(gates * units))
    return g.unsqueeze(g.Concat(_vector(g, bias, units, gates), zeros, axis=0), 0)


def _inputs(g, x, units, gates):
    """What the operator multiplies by its kernel. ``x`` comes multiplied: by a kernel, if its call is one that says so."""
    call = g.root.producers.get(x)
    if call is not None and call.name == "matmul" and call.inputs[1].shape is not None and call.inputs[1].ndim == 2:
        return call.inputs[0], call.inputs[1]
    identity = g.EyeLike(g.Expand(g.constant(0, x.dtype), g.int64(gates * units, gates * units)))
    return x, Value(identity, None, x.dtype)


def _whole(g, operator, gates, x, kernel, bias, states, reverse, **attributes):
    units = kernel.shape[0]
    x, of_inputs = _inputs(g, x, units, gates)
    last = len(states)
    y, *states = g.add(
        operator,
        [g.Transpose(x, perm=[1, 0, 2]), _by_gates(g, of_inputs, units, gates), _by_gates(g, kernel, units, gates),
         _bias(g, bias, units, gates), None, *[g.unsqueeze(state, 0) for state in states]],
        outputs=1 + last,
        attributes={"hidden_size": units, "direction": "reverse" if reverse else "forward", **attributes},
    )  # fmt: skip
    y = g.Transpose(g.squeeze(y, 1), perm=[1, 0, 2])
    return (g.slice(y, 1, None, None, -1) if reverse else y, *[g.squeeze(state, 0) for state in states])


def _steps(g, step, x, states, mask, reverse):
    """The sequence and the last states of a step that leaves masked states as they are."""
    body = g.inner()
    units, batch = states[0].shape[-1], x.shape[0]
    before = [Value(body.name(f"{g.path}/state"), (batch, units), x.dtype) for _ in states]
    slices = [Value(body.name(f"{g.path}/slice"), shape, kind) for shape, kind in (((batch, x.shape[2]), x.dtype), ((batch,), "bool"))]
    body.inputs = [*before, *slices]
    keep = body.unsqueeze(slices[1], 1)
    after = [body.Where(keep, new, old) for new, old in zip(step(body, slices[0], *before), before, strict=True)]
    body.results = [*after, body.Identity(after[0])]
    *states, y = g.Scan(
        *states, g.Transpose(x, perm=[1, 0, 2]), g.Transpose(g.cast(mask, "bool"), perm=[1, 0]), outputs=len(states) + 1,
        body=body, num_scan_inputs=2, scan_input_directions=[int(reverse)] * 2,
    )  # fmt: skip
    return (g.Transpose(y, perm=[1, 0, 2]), *states)


@onnx("_lstm")
def lstm(g, x, kernel, bias, h, c, mask, reverse, return_sequences):
    if not mask.ndim:
        return (*_whole(g, "LSTM", 4, x, kernel, bias, (h, c), reverse), None)

    def step(g, x, h, c):
        z = g.Add(x, g.MatMul(h, kernel))
        z = g.Add(z, bias) if bias.ndim else z
        i, f, new, o = g.Split(z, g.int64(*[kernel.shape[0]] * 4), axis=1, outputs=4)
        c = g.Add(g.Mul(g.Sigmoid(f), c), g.Mul(g.Sigmoid(i), g.Tanh(new)))
        return g.Mul(g.Sigmoid(o), g.Tanh(c)), c

    return (*_steps(g, step, x, (h, c), mask, reverse), None)


@onnx("_gru")
def gru(g, x, kernel, bias, h, mask, reverse, return_sequences):
    if not mask.ndim:
        return (*_whole(g, "GRU", 3, x, kernel, bias, (h,), reverse, linear_before_reset=1), None)
    of_x, of_h = (g.Gather(bias, g.constant(i, "int64")) for i in range(2)) if bias.ndim else (None, None)

    def step(g, x, h):
        sizes = g.int64(*[kernel.shape[0]] * 3)
        of_state = g.MatMul(h, kernel)
        if bias.ndim:
            x, of_state = g.Add(x, of_x), g.Add(of_state, of_h)
        x_z, x_r, x_new = g.Split(x, sizes, axis=1, outputs=3)
        h_z, h_r, h_new = g.Split(of_state, sizes, axis=1, outputs=3)
        new = g.Tanh(g.Add(x_new, g.Mul(g.Sigmoid(g.Add(x_r, h_r)), h_new)))
        return [g.Add(new, g.Mul(g.Sigmoid(g.Add(x_z, h_z)), g.Sub(h, new)))]

    return (*_steps(g, step, x, (h,), mask, reverse), None)
