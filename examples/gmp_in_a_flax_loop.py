"""Gradual magnitude pruning (Zhu & Gupta, 2017) in an ordinary Flax training loop.

    python examples/gmp_in_a_flax_loop.py

The loop is that of the Flax documentation; one line is new, the wrapper around the optimizer. It takes less than
half a minute on 2 CPU cores. Expect the sparsity to rise to 90 %, fast at first, and a test accuracy near 0.96.
"""

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax.training import train_state

import jaxticket as jt
from jaxticket import data

STEPS = 300


class Net(nn.Module):
    """Two hidden layers."""

    @nn.compact
    def __call__(self, x):
        """Logits of images."""
        x = x.reshape(len(x), -1)
        x = nn.relu(nn.Dense(300, name="fc1")(x))
        x = nn.relu(nn.Dense(100, name="fc2")(x))
        return nn.Dense(10, name="head")(x)  # modules called head are not pruned


@jax.jit
def train_step(state, x, y):
    """One step on a batch."""

    def loss(params):
        return optax.softmax_cross_entropy_with_integer_labels(state.apply_fn({"params": params}, x), y).mean()

    return state.apply_gradients(grads=jax.grad(loss)(state.params))


digits = data.load("digits")
images, labels = jnp.asarray(digits.train.images / 255.0, jnp.float32), jnp.asarray(digits.train.labels)
test_images = jnp.asarray(digits.test.images / 255.0, jnp.float32)

schedule = jt.cubic(start=50, end=200, initial=0.0, final=0.9, every=10)
optimizer = jt.gradual(optax.adam(1e-3), schedule)  # the line that prunes

params = Net().init(jax.random.key(0), images[:1])["params"]
state = train_state.TrainState.create(apply_fn=Net().apply, params=params, tx=optimizer)
for number, key in enumerate(jax.random.split(jax.random.key(1), STEPS), start=1):
    rows = jax.random.randint(key, (64,), 0, len(labels))
    state = train_step(state, images[rows], labels[rows])
    if number % 50 == 0:
        print(f"step {number}: sparsity {jt.sparsity(jt.mask_of(state.opt_state)):.3f}")

mask = jt.mask_of(state.opt_state)
accuracy = float((state.apply_fn({"params": state.params}, test_images).argmax(-1) == digits.test.labels).mean())
kept, total = jt.count(mask)
print(f"test accuracy {accuracy:.3f} with {kept:,} of {total:,} weights")
