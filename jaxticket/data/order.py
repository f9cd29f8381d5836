"""The order of TensorFlow Datasets, which is the order of the images here, wherever they were found.

That library writes the examples of a split sorted by the MD5 hash of (split name, key). With the same order
for data read from raw archives, index 17 is the same image on every machine, and so is a validation split.
"""

import hashlib

import numpy as np


def hash_order(split: str, n: int) -> np.ndarray:
    """The rows of a raw archive in the order of TensorFlow Datasets, int64 [n].

    Holds for data sets whose keys are the running index, as those of the MNIST family are.

    Args:
        split: the split's name in TensorFlow Datasets, `train` or `test`; it is the salt of the hash.
        n: number of examples in the archive.
    """
    salted = hashlib.md5(split.encode(), usedforsecurity=False)

    def digest(key: int) -> bytes:
        hashed = salted.copy()
        hashed.update(str(key).encode())
        return hashed.digest()

    return np.array(sorted(range(n), key=digest), np.int64)
