"""Data sets of benchmarks: real digits, and random images of other sizes, whose values do not change the time."""

import numpy as np

from jaxticket import data
from jaxticket.data import Dataset, Split


def digits_or_random(side: int, *, channels: int, train: int, rest: int) -> Dataset:
    """The digits for 8 pixels a side, else random images in ten classes.

    Args:
        side: height and width.
        channels: of random images.
        train: how many there are to train on.
        rest: how many in each of the other two splits.
    """
    if side == 8:
        return data.load("digits", val_fraction=0.1)
    rng = np.random.default_rng(0)

    def split(count: int) -> Split:
        pixels = rng.integers(0, 256, (count, side, side, channels), dtype=np.uint8)
        return Split(pixels, rng.integers(0, 10, count).astype(np.int32))

    names = tuple(map(str, range(10)))
    return Dataset("random", split(train), split(rest), split(rest), 10, names, (0.5,) * channels, (0.25,) * channels)
