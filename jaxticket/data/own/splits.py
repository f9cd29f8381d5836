"""What is trained on and what is tested: as given, or every class divided by the hashes of its names."""

import numpy as np

from jaxticket.core.errors import DataError
from jaxticket.data.own.schemes import LabelledImages
from jaxticket.data.sources.tfds_order import hash_order

TEST_FRACTION = 0.2


def official(splits: dict[str, LabelledImages], classes: list[str], place: str) -> dict[str, LabelledImages]:
    """The splits `train`, `test` and perhaps `val`, in the order of the hashes of names, as all data sets here.

    Without `test`, `val` is the test split; without both a fifth of each class is, those with the lowest hashes: the
    same images on every machine, and nearly the same when others are added.

    Raises:
        DataError: there is one class, a class has no image, or a single one where it has to be divided.
    """
    if splits["train"].labels.ndim > 1:  # divided as if all were of one class
        classes = ["all images"]
    elif len(classes) < 2:
        raise DataError(f"{place}: has no class but {classes[0]!r}; give images of two or more")
    counts = np.bincount(_groups(splits["train"]), minlength=len(classes))
    if not all(counts):
        raise DataError(f"{place}: has no training image of the class {classes[int(counts.argmin())]!r}; leave it out")
    ordered = {name: take(images, hash_order(name, images.names)) for name, images in splits.items()}
    if "test" not in ordered and "val" in ordered:
        ordered["test"] = ordered.pop("val")
    if "test" in ordered:
        return ordered
    train, tested = ordered["train"], np.zeros(len(ordered["train"].labels), bool)
    for label, count in enumerate(counts):
        rows = np.flatnonzero(_groups(train) == label)
        if count == 1:
            raise DataError(
                f"{place}: the class {classes[label]!r} has a single image, {train.names[rows[0]]}, which cannot be "
                "both trained on and tested; add images, or divide them into train and test"
            )
        tested[rows[: max(1, round(TEST_FRACTION * int(count)))]] = True
    return {"train": take(train, np.flatnonzero(~tested)), "test": take(train, np.flatnonzero(tested))}


def _groups(images: LabelledImages) -> np.ndarray:
    """The class of each image, zeros where they have none or several."""
    return images.labels if images.labels.ndim == 1 else np.zeros(len(images.labels), np.int32)


def take(images: LabelledImages, rows: np.ndarray) -> LabelledImages:
    """Some of the images, in the order of `rows`."""
    names = [images.names[int(row)] for row in rows]
    return LabelledImages(images.labels[rows], names, lambda row: images.read(int(rows[row])))
