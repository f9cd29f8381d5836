"""A ticket that runs faster: a network pruned in blocks, and its inference on this machine's CPU.

    python examples/fast_ticket_on_cpu.py

Trains a wide LeNet-300-100 while pruning it in blocks of 16x128 weights, saves a ticket, and converts what is loaded
with `jt.sparsify`, which cuts out what is dead and keeps a layer dense unless measured rates promise that sparse is
faster. It takes less than a minute on 2 CPU cores. Expect a test accuracy near 0.93, a report with a line for each
layer, and inference three times as fast as dense or more; that depends on the machine and on what else runs on it.
"""

import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxticket as jt
from jaxticket import data, models

digits = data.load("digits")
images, labels = jnp.asarray(digits.train.images / 255.0, jnp.float32), jnp.asarray(digits.train.labels)
test_images = jnp.asarray(digits.test.images / 255.0, jnp.float32)

model = models.create_model("lenet300", num_classes=10, width=5.0)  # 1,500 and 500 hidden units
params, _ = models.init_variables(model, jax.random.key(0), (8, 8, 1))
schedule = jt.cubic(start=50, end=150, initial=0.0, final=0.92, every=10)
optimizer = jt.gradual(optax.adam(1e-3), schedule, scope="layer", granularity=jt.block(16, 128))


@jax.jit
def step(params, state, key):
    """One step on a random batch."""
    rows = jax.random.randint(key, (64,), 0, len(labels))

    def loss(params):
        logits = model.apply({"params": params}, images[rows])
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels[rows]).mean()

    updates, state = optimizer.update(jax.grad(loss)(params), state, params)
    return optax.apply_updates(params, updates), state


state = optimizer.init(params)
for key in jax.random.split(jax.random.key(1), 250):
    params, state = step(params, state, key)
mask = jt.mask_of(state)

with tempfile.TemporaryDirectory() as folder:
    jt.save_ticket(folder, jt.Ticket(params, mask, {}, {"weights": "trained"}))
    ticket = jt.load_ticket(folder)

batch = jnp.tile(test_images, (3, 1, 1, 1))[:1024]  # of the size that is to be fast
sparse = jt.sparsify(model, {"params": ticket.params}, ticket.mask, batch)
print(sparse.report)


def seconds(function, *inputs):
    """Median time of a call, of 15."""
    times = []
    for _ in range(16):
        begun = time.perf_counter()
        jax.block_until_ready(function(*inputs))
        times.append(time.perf_counter() - begun)
    return float(np.median(times[1:]))


dense_apply, sparse_apply = jax.jit(model.apply), jax.jit(sparse.apply)
speedup = seconds(dense_apply, {"params": params}, batch) / seconds(sparse_apply, sparse.variables, batch)
accuracy = float((sparse_apply(sparse.variables, test_images).argmax(-1) == digits.test.labels).mean())
print(f"test accuracy {accuracy:.3f}, {speedup:.1f} times as fast as dense")
