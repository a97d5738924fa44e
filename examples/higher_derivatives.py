"""Derivatives of derivatives: Newton's method, and the derivatives of tanh to order 4 in a picture.

    python examples/higher_derivatives.py [--short]      writes tanh.png (needs matplotlib: pip install kerasish[plot])
"""

import numpy as np

import kerasish as keras
from kerasish import ops


def f(x):
    return x**4.0 - 2.0 * x**2.0


# Newton's method: a step to where the second-order picture of f has its minimum
slope, curvature = keras.grad(f), keras.grad(keras.grad(f))
x = keras.Tensor(2.0, dtype="float64")
for step in range(8):
    print(f"{step}: x = {float(x):.10f}")
    x = keras.Tensor(x - slope(x) / curvature(x))

# d^n tanh / dx^n at many points at once: the slope of the sum is the slope at each point
derivatives = [ops.tanh]
for _ in range(4):
    derivatives.append(keras.grad(lambda x, g=derivatives[-1]: ops.sum(g(x))))
points = keras.Tensor(np.linspace(-4, 4, 400))
curves = [g(points).numpy() for g in derivatives]
print("largest values of the derivatives:", [round(float(np.abs(c).max()), 4) for c in curves])

try:
    import matplotlib.pyplot as plt
except ImportError:
    print("no picture: pip install kerasish[plot]")
else:
    for n, curve in enumerate(curves):
        plt.plot(points.numpy(), curve, label="tanh" if n == 0 else f"order {n}")
    plt.legend()
    plt.title("tanh and its derivatives")
    plt.savefig("tanh.png", dpi=100)
    print("wrote tanh.png")
