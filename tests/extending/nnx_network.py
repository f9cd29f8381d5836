"""A network of one's own, in Flax NNX.

jaxticket run --config=tests/extending/nnx_network.py --workdir=runs
"""

import jax
from flax import nnx

from jaxticket import models
from jaxticket.experiments import default_config
from jaxticket.lab.presets import apply_preset


class Small(nnx.Module):
    """Convolution `stem`, batch normalisation, mean over the image, `head`."""

    def __init__(self, num_classes: int, image_shape: tuple[int, int, int], channels: int = 8, *, rngs: nnx.Rngs):
        self.stem = nnx.Conv(image_shape[2], channels, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(channels, rngs=rngs)
        self.conv = nnx.Conv(channels, channels, (3, 3), rngs=rngs)
        self.head = nnx.Linear(channels, num_classes, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits [B, num_classes] of images float [B, H, W, C]."""
        x = nnx.relu(self.norm(self.stem(x)))
        x = nnx.relu(self.conv(x)).mean(axis=(1, 2))
        return self.head(x)


models.register(models.Network("small", Small, train={"optimizer": "adam", "lr": 3e-3, "batch_size": 128, "epochs": 2}))


def get_config():
    config = default_config("imp")
    apply_preset(config, "small", "digits")
    return config
