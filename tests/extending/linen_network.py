"""A network of one's own, in Flax Linen.

jaxticket run --config=tests/extending/linen_network.py --workdir=runs --config.model.options='{"depth": 3}'
"""

import jax
from flax import linen as nn

from jaxticket import models
from jaxticket.core.options import option
from jaxticket.experiments import default_config
from jaxticket.lab.presets import apply_preset


class Perceptron(nn.Module):
    """Flatten, `depth` layers of `features`, and the head."""

    num_classes: int
    features: int = option(32, minimum=1)
    depth: int = option(2, minimum=1)

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits [B, num_classes] of images float [B, H, W, C]."""
        x = x.reshape(x.shape[0], -1)
        for i in range(self.depth):
            x = nn.relu(nn.Dense(self.features, name=f"fc{i + 1}")(x))
        return nn.Dense(self.num_classes, name="head")(x)


recipe = {"optimizer": "adam", "lr": 3e-3, "batch_size": 128, "epochs": 4}
models.register(models.Network("perceptron", Perceptron, train=recipe))


def get_config():
    config = default_config("imp")
    apply_preset(config, "perceptron", "digits")
    return config
