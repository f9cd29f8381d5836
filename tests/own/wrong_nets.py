"""Networks and a criterion that cannot be used: each is answered with one line."""

from flax import linen as nn
from flax import nnx

number = 3


class FiveWide(nn.Module):
    """Gives five numbers, whatever the data set."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(5)(x.reshape(x.shape[0], -1))


class NeedsHidden(nn.Module):
    """Has an option without a default."""

    num_classes: int
    hidden: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.num_classes)(nn.Dense(self.hidden)(x.reshape(x.shape[0], -1)))


class Crooked(nn.Module):
    """Multiplies what does not fit."""

    num_classes: int

    @nn.compact
    def __call__(self, x):
        return x @ x.reshape(x.shape[0], -1)


class CrookedInTraining(nn.Module):
    """Does so in training only."""

    num_classes: int

    @nn.compact
    def __call__(self, x, train):
        return x + unheard if train else nn.Dense(self.num_classes)(x.reshape(x.shape[0], -1))  # noqa: F821


class WithoutRngs(nnx.Module):
    """Draws the same initial weights for every seed."""

    def __init__(self, num_classes: int):
        self.dense = nnx.Linear(64, num_classes, rngs=nnx.Rngs(0))

    def __call__(self, x):
        return self.dense(x.reshape(x.shape[0], -1))


def layers(num_classes):
    """No module."""
    return [nn.Dense(num_classes)]


def of_images(images):
    """No criterion."""
    return images
