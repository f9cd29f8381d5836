"""Weights and images that are a function of their names, the same for ever: what the golden logits were made from."""

import math
import zlib

import numpy as np


def uniform(name, shape):
    """float64 of `shape`, on [-1, 1): the raw output of PCG64, a stream that NumPy promises to keep (NEP 19)."""
    raw = np.random.PCG64(zlib.crc32(name.encode())).random_raw(math.prod(shape))
    return (np.asarray(raw, np.uint64) >> np.uint64(11)).reshape(shape) * 2.0**-52 - 1.0


def fill(name, shape):
    """The tensor of a PyTorch state dict: He's variance for kernels, normalisations that change little."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    value = uniform(name, shape)
    if len(shape) >= 2:
        value *= math.sqrt(3 * (2 if len(shape) == 4 else 1) / math.prod(shape[1:]))
    elif name.endswith("running_var"):
        value = 1 + value / 2
    elif name.endswith("weight"):
        value = 0.8 + value / 4
    else:
        value /= 16
    return value.astype(np.float32)


def images(size, count=2):
    """float32 images [count, 3, size, size] on [-2, 2): noise around a colour."""
    noise = uniform(f"images {size}", (count, 3, size, size))
    return (noise + uniform(f"colours {size}", (count, 3, 1, 1))).astype(np.float32)
