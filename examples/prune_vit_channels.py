"""A Vision Transformer with whole channels cut out, until it needs half of the multiply-accumulates.

    python examples/prune_vit_channels.py

Trains a small transformer on 8x8 digits, takes the least important channels away, cuts them out, and trains the smaller
network on. It takes less than a minute on 2 CPU cores, most of it to compile. Expect a test accuracy near 0.95,
about as much with half of the multiply-accumulates, and what is left: the perceptrons lose channels.
"""

import jax
import jax.numpy as jnp
import optax

import jaxticket as jt
from jaxticket import data
from jaxticket.models.networks.vit import VisionTransformer

digits = data.load("digits")
images, labels = jnp.asarray(digits.train.images / 255.0, jnp.float32), jnp.asarray(digits.train.labels)
test_images, test_labels = jnp.asarray(digits.test.images / 255.0, jnp.float32), jnp.asarray(digits.test.labels)


def train(apply, variables, steps, seed):
    """Trains any function (variables, images) -> logits with AdamW and a cosine schedule."""
    optimizer = optax.adamw(optax.cosine_decay_schedule(2e-3, steps))

    def loss(variables, x, y):
        return optax.softmax_cross_entropy_with_integer_labels(apply(variables, x), y).mean()

    @jax.jit
    def step(variables, state, key):
        rows = jax.random.randint(key, (64,), 0, len(labels))
        updates, state = optimizer.update(jax.grad(loss)(variables, images[rows], labels[rows]), state, variables)
        return optax.apply_updates(variables, updates), state

    state = optimizer.init(variables)
    for key in jax.random.split(jax.random.key(seed), steps):
        variables, state = step(variables, state, key)
    return variables


def accuracy(apply, variables):
    """Share of the test images that are classified rightly."""
    return float((jax.jit(apply)(variables, test_images).argmax(-1) == test_labels).mean())


model = VisionTransformer(features=64, heads=4, depth=2, patch_size=4).module(num_classes=10)
variables = jax.jit(model.init)(jax.random.key(0), images[:1])
variables = train(model.apply, variables, steps=300, seed=1)
dense_accuracy = accuracy(model.apply, variables)
print(f"dense: test accuracy {dense_accuracy:.3f}")

pruned = jt.prune_channels(model.apply, variables, images[:1], macs=0.5)
print(pruned)

small = jt.shrink(model.apply, variables, pruned.mask, images[:1])
cut_accuracy = accuracy(small.apply, small.params)
print(f"cut: test accuracy {cut_accuracy:.3f}")

tuned = train(small.apply, small.params, steps=100, seed=2)
tuned_accuracy = accuracy(small.apply, tuned)
print(f"trained on: test accuracy {tuned_accuracy:.3f} with {pruned.macs[1] / pruned.macs[0]:.0%} of the operations")
