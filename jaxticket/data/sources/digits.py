"""The digits that come with the package: 1,797 real 8x8 grey images of handwritten digits, ten classes.

They are the test part of the UCI data set "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak,
1998, doi 10.24432/C50P49, CC BY 4.0), as scikit-learn's `load_digits` has them; `digits-NOTICE.txt` is the
notice. The file holds the original values 0 to 16, which are spread over 0 to 255 when read.
"""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from jaxticket.core.errors import DataError
from jaxticket.data.splits import Split, permutation

_FILE = Path(__file__).with_name("digits.npz")
_TEST_SIZE = 360
_SPLIT_SEED = 0


def read_digits(path: Path = _FILE) -> dict[str, Split]:
    """The splits `train` (1,437 images) and `test` (360), uint8 [N, 8, 8, 1] with values 0, 16, 32, ..., 255.

    There is no official test split: the last 360 entries of a fixed permutation are it. Both splits keep the
    order of the file.

    Raises:
        DataError: the file of the installed package is missing or damaged.
    """
    try:
        with np.load(path) as stored:
            levels, labels = stored["images"], stored["labels"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{path}: cannot be read ({error}); install jaxticket again") from error
    # 255 / 16 to the nearest integer, in integers.
    images = ((levels.astype(np.uint16) * 255 + 8) // 16).astype(np.uint8)[..., None]
    shuffled = permutation(len(labels), _SPLIT_SEED)
    parts = {"train": shuffled[:-_TEST_SIZE], "test": shuffled[-_TEST_SIZE:]}
    ordered = {name: np.sort(indices) for name, indices in parts.items()}
    return {name: Split(images[rows], labels[rows].astype(np.int32)) for name, rows in ordered.items()}
