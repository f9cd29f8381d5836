"""The order of TensorFlow Datasets, which is the order of the images here, wherever they were found.

That library writes the examples of a split sorted by the MD5 hash of (split name, key). With the same order
for data read from raw archives, index 17 is the same image on every machine, and so is a validation split.
"""

import hashlib
from collections.abc import Sequence

import numpy as np


def hash_order(split: str, keys: int | Sequence[str | int]) -> np.ndarray:
    """The rows of a raw archive in the order of TensorFlow Datasets, int64 [number of keys].

    Args:
        split: the split's name in TensorFlow Datasets, such as `train`; it is the salt of the hash.
        keys: the key of every example; a number n stands for the running index 0 .. n-1.
    """
    salted = hashlib.md5(split.encode(), usedforsecurity=False)
    keys = range(keys) if isinstance(keys, int) else keys

    def digest(row: int) -> bytes:
        hashed = salted.copy()
        # Keys that are paths hash alike on every system.
        hashed.update(str(keys[row]).replace("\\", "/").encode())
        return hashed.digest()

    return np.array(sorted(range(len(keys)), key=digest), np.int64)
