"""What there is to say of a data set that can be read: sizes, classes, and the constants of normalisation."""

from typing import Any

import numpy as np

from jaxticket.core.text_table import text_table
from jaxticket.data.own.schemes import scheme_of
from jaxticket.data.splits import Dataset, Split

_MOST_CLASSES = 50


def dataset_facts(dataset: Dataset) -> str:
    """Lines of text: images, classes with the number of images of each, mean and standard deviation.

    Example:
        >>> from jaxticket import data
        >>> from jaxticket.data.dataset_facts import dataset_facts
        >>> print(dataset_facts(data.load("digits")).splitlines()[0])
        digits: 1,293 training, 144 validation and 360 test images of 8x8x1, 10 classes
    """
    splits = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    sizes = " and ".join(", ".join(f"{part.size:,} {_NAMES[name]}" for name, part in splits.items()).rsplit(", ", 1))
    train: Any = dataset.train
    shape = train.images.shape[1:] if isinstance(train, Split) else (train.side, train.side, 3)
    lines = [f"{dataset.name}: {sizes} images of {'x'.join(map(str, shape))}, {dataset.num_classes} classes"]
    for name, values in (("mean", dataset.mean), ("std", dataset.std)):
        lines.append(f"{name}: {', '.join(f'{value:.4f}' for value in values)} (config.data.{name})")
    if scheme_of(dataset.name):
        lines.append("augmentation: none unless config.data.augment has some, such as crop_padding=4 and flip=True")
    counted = {name: part for name, part in splits.items() if isinstance(part, Split)}
    counts = [np.bincount(part.labels, minlength=dataset.num_classes) for part in counted.values()]
    rows = zip(dataset.class_names, *(map(str, count) for count in counts), strict=True)
    table = text_table([("class", *counted), *list(rows)[:_MOST_CLASSES]], left=(0,))
    more = [f"and {dataset.num_classes - _MOST_CLASSES} more"] if dataset.num_classes > _MOST_CLASSES else []
    return "\n".join([*lines, *table, *more])


_NAMES = {"train": "training", "val": "validation", "test": "test"}
