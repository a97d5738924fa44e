"""Rows for the normalization layers."""

from tests.conformance.layer_driver import A, config, layer_row, make

FLAT, SEQUENCE, IMAGE = A(6, 4), A(3, 4, 6), A(3, 4, 5, 6)
STEPS = A(3, 4, dtype="bool")
EVERYTHING = {
    "beta_initializer": "ones", "gamma_initializer": "he_normal", "beta_regularizer": "l1",
    "gamma_regularizer": make("regularizers.L2", 0.1), "beta_constraint": "non_neg", "gamma_constraint": "unit_norm", "name": "other",
}  # fmt: skip
CLIPPING = {"rmin": 0.7, "rmax": 1.3, "dmax": 0.2}
TRAINED = {"training": (True,), "grad": False}  # JAX takes the gradient by the kernel before the change, other backends after it

ROWS = [
    layer_row(
        "BatchNormalization",
        config().but(training=(False, True)),
        config(axis=1, momentum=0.6, epsilon=0.1).but(steps=3, inputs=[IMAGE], training=(False, True)),
        config(1, center=False).but(inputs=[SEQUENCE], unknown=(2,)),
        config(scale=False).but(inputs=[IMAGE], unknown=(1, 2)),
        config(trainable=False),
        config(momentum=0.5).but(inputs=[SEQUENCE], masks=[STEPS], steps=2),
        config(moving_mean_initializer="ones", moving_variance_initializer="zeros", **{**EVERYTHING, "gamma_initializer": "ones"}),
        config(renorm=True, renorm_clipping=CLIPPING, momentum=0.6, renorm_momentum=0.7).but(steps=3, inputs=[IMAGE]),
        config(renorm=True, renorm_clipping={"rmax": 1.1}, center=False, scale=False).but(steps=2),
        config(renorm=True, scale=False, moving_variance_initializer="ones").but(masks=[STEPS], inputs=[SEQUENCE]),
        inputs=[FLAT],
        training=(True,),
        weights=(0.5, 1.5),
        tol=5e-5,
    ),
    layer_row(
        "LayerNormalization",
        config(),
        config(axis=1).but(unknown=(2,)),
        config(axis=[1, 2]).but(inputs=[IMAGE]),
        config(axis=(-2, -1), epsilon=0.1).but(inputs=[IMAGE], unknown=(1,)),
        config(center=False),
        config(scale=False),
        config(center=False, scale=False, axis=[1, 2]),
        config(**{**EVERYTHING, "gamma_initializer": "ones"}).but(masks=[STEPS]),
        inputs=[SEQUENCE],
        tol=2e-5,
    ),
    layer_row(
        "GroupNormalization",
        config(2),
        config(-1),
        config(1, epsilon=0.1).but(inputs=[IMAGE]),
        config(3, axis=-1, center=False).but(inputs=[IMAGE], unknown=(1, 2)),
        config(2, axis=1, scale=False).but(inputs=[IMAGE]),
        config(groups=2, axis=-2, **{**EVERYTHING, "gamma_initializer": "ones"}).but(masks=[STEPS]),
        config(2).but(inputs=[FLAT]),
        inputs=[SEQUENCE],
        tol=2e-5,
    ),
    layer_row(
        "RMSNormalization",
        config(),
        config(epsilon=0.1, name="other").but(unknown=(1,)),
        config((2, 1)),
        inputs=[SEQUENCE],
    ),
    layer_row(
        "UnitNormalization",
        config(),
        config(axis=1).but(masks=[STEPS], unknown=(1,)),
        config(axis=(1, 2)).but(inputs=[IMAGE]),
        inputs=[SEQUENCE],
        half=False,  # Keras's epsilon underflows to a warning of JAX
    ),
    layer_row(
        "SpectralNormalization",
        config(make("layers.Dense", 3)),
        config(make("layers.Dense", 3, activation="tanh", use_bias=False), 3, name="other").but(**TRAINED, steps=2),
        config(make("layers.Dense", 3, kernel_initializer="zeros")).but(**TRAINED, weights=None),
        config(make("layers.Conv2D", 3, 2)).but(inputs=[IMAGE]),
        config(make("layers.Conv2D", 3, 2), 2).but(inputs=[IMAGE], **TRAINED),
        inputs=[FLAT],
    ),
]
