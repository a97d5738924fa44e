"""The same training three times: with ``fit``, with a step of one's own, and with a loop of one's own.

    python examples/custom_training_loop.py [--short]
"""

import sys

import numpy as np
from data import load_digits

import kerasish as keras
from kerasish import layers

(x, y), (x_test, y_test) = load_digits(1000 if "--short" in sys.argv else 10_000)
x, x_test = x.reshape(-1, 784), x_test.reshape(-1, 784)
BATCH = 100


def layer_stack():
    keras.utils.set_random_seed(0)
    return [keras.Input((784,)), layers.Dense(64, activation="relu"), layers.Dense(10)]


loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

# 1. fit
model = keras.Sequential(layer_stack())
model.compile(keras.optimizers.SGD(0.1), loss_fn)
model.fit(x, y, batch_size=BATCH, epochs=1, shuffle=False, verbose=0)


# 2. fit with a train_step of one's own
class OwnStep(keras.Sequential):
    def train_step(self, data):
        x, y = data
        with keras.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"loss": loss}


own_step = OwnStep(layer_stack())
own_step.compile(keras.optimizers.SGD(0.1), loss_fn)
own_step.fit(x, y, batch_size=BATCH, epochs=1, shuffle=False, verbose=0)

# 3. a loop of one's own
own_loop = keras.Sequential(layer_stack())
optimizer = keras.optimizers.SGD(0.1)
accuracy = keras.metrics.SparseCategoricalAccuracy()
for start in range(0, len(x), BATCH):
    batch, labels = x[start : start + BATCH], y[start : start + BATCH]
    logits = own_loop(batch, training=True)
    loss_fn(labels, logits).backward()
    optimizer.apply([v.grad for v in own_loop.trainable_variables], own_loop.trainable_variables)
    accuracy.update_state(labels, logits)
print(f"accuracy while training: {float(accuracy.result()):.4f}")

for name, other in (("own step", own_step), ("own loop", own_loop)):
    same = all(np.allclose(a, b, atol=1e-6) for a, b in zip(model.get_weights(), other.get_weights(), strict=True))
    print(f"{name}: weights {'equal to' if same else 'DIFFER from'} those of fit")
