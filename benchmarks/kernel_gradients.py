"""Gradients of convolution kernels, XLA's and by products: `python benchmarks/kernel_gradients.py`.

For some convolutions the time of the convolution itself, of the gradient of its kernel as XLA computes it, and of that
which `jaxticket.training.kernel_gradients` puts in its place on a CPU; then of value and gradients of whole networks.
Five minutes on two cores. The result is written to `benchmarks/results/`.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# The folder of this file must not be searched for imports: it holds a module named like a standard one.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from jax import lax  # noqa: E402

from benchmarks._measure import interleaved, ratio, summary, write  # noqa: E402
from jaxticket import models  # noqa: E402
from jaxticket.training.kernel_gradients import with_fast_kernel_gradients  # noqa: E402

# Batch, side of the images, inputs, outputs, stride of a 3x3 convolution; those of ResNet-20 and ResNet-18, and VGG.
CONVOLUTIONS = [
    (128, 32, 3, 16, 1),
    (128, 32, 16, 16, 1),
    (128, 32, 16, 32, 2),
    (128, 16, 32, 32, 1),
    (64, 32, 64, 64, 1),
    (64, 16, 128, 128, 1),
]
NETWORKS = {"resnet20": 128, "resnet18": 64, "conv2": 128}


def of_a_convolution(batch: int, side: int, inputs: int, outputs: int, stride: int) -> dict[str, Callable[[], Any]]:
    images = jax.random.normal(jax.random.key(0), (batch, side, side, inputs))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, inputs, outputs))

    def convolution(kernel: jax.Array, images: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(
            images, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    slopes = convolution(kernel, images)

    def gradient(kernel: jax.Array, images: jax.Array, slopes: jax.Array) -> jax.Array:
        return jax.vjp(lambda kernel: convolution(kernel, images), kernel)[1](slopes)[0]

    # Arguments, as the compiler would compute with constants beforehand.
    forward, xla, products = map(jax.jit, (convolution, gradient, with_fast_kernel_gradients(gradient)))
    return {
        "convolution": lambda: forward(kernel, images),
        "xla": lambda: xla(kernel, images, slopes),
        "products": lambda: products(kernel, images, slopes),
    }


def of_a_network(name: str, batch: int) -> dict[str, Callable[[], Any]]:
    model = models.create_model(name, 10)
    params, state = models.init_variables(model, jax.random.key(0), (32, 32, 3))
    images = jax.random.normal(jax.random.key(1), (batch, 32, 32, 3))
    labels = jnp.arange(batch) % 10

    def loss(params: Any, images: jax.Array) -> jax.Array:
        logits, _ = models.apply_model(model, params, state, images, train=True)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()

    gradient = jax.value_and_grad(loss)
    xla, products = jax.jit(gradient), jax.jit(with_fast_kernel_gradients(gradient))
    return {"xla": lambda: xla(params, images), "products": lambda: products(params, images)}


def timed(name: str, contenders: dict[str, Callable[[], Any]], rounds: int) -> dict[str, Any]:
    seconds = interleaved(contenders, rounds)
    faster = ratio(seconds, "xla", "products")
    print(f"{name}: {faster['median']} times as fast", flush=True)
    return {"seconds": {form: summary(times) for form, times in seconds.items()}, "times_faster": faster}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="timed calls of each")
    options = parser.parse_args()
    results = {}
    for batch, side, inputs, outputs, stride in CONVOLUTIONS:
        name = f"{batch} x {side}x{side}x{inputs} to {outputs}, stride {stride}"
        results[name] = timed(name, of_a_convolution(batch, side, inputs, outputs, stride), options.rounds)
    for name, batch in NETWORKS.items():
        results[f"{name}, batch {batch}"] = timed(name, of_a_network(name, batch), options.rounds)
    print(write("kernel-gradients", {"cases": results}))


if __name__ == "__main__":
    main()
