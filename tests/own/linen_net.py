"""A plain network in Flax Linen, as a user has it in a file: it knows nothing of jaxticket."""

from collections.abc import Callable

from flax import linen as nn


class LinenNet(nn.Module):
    """Two convolutions with batch normalisation, dropout, and two dense layers."""

    num_classes: int
    features: int = 8
    rate: float = 0.2
    activation: Callable = nn.relu

    @nn.compact
    def __call__(self, x, deterministic):
        for _ in range(2):
            x = nn.Conv(self.features, (3, 3), use_bias=False)(x)
            x = self.activation(nn.BatchNorm(use_running_average=deterministic)(x))
        x = self.activation(nn.Dense(32)(x.mean(axis=(1, 2))))
        x = nn.Dropout(self.rate, deterministic=deterministic)(x)
        return nn.Dense(self.num_classes)(x)
