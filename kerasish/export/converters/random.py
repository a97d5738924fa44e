"""Random numbers that a model draws in inference too, such as a variational encoder's. They are the runtime's own, not a seed's."""

from kerasish.export.graph import ELEMENT_TYPES, drawn, onnx


def _like(g, kind, dtype, **attributes):
    (spec,) = g.outputs
    shape = g.Expand(g.constant(0, "float32"), g.shape(spec.shape))
    return g.add(f"Random{kind}Like", [shape], 1, dtype, {"dtype": ELEMENT_TYPES[dtype], **attributes})


@drawn("_standard_normal")
def standard_normal(g, shape, mean, stddev, dtype):
    return _like(g, "Normal", g.outputs[0].dtype, mean=float(mean), scale=float(stddev))


@drawn("_uniform")
def uniform(g, shape, low, high, dtype):
    return _like(g, "Uniform", g.outputs[0].dtype, low=float(low), high=float(high))


@drawn("keep_mask")
def keep_mask(g, shape, rate):
    return g.GreaterOrEqual(_like(g, "Uniform", "float32", low=0.0, high=1.0), rate)


@onnx("masked_scale")
def masked_scale(g, x, mask, scale):
    return g.where(mask, g.Mul(x, scale), 0)
