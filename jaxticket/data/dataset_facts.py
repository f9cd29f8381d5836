"""What there is to say of a data set that can be read: sizes, classes, and the constants of normalisation."""

from typing import Any

import numpy as np

from jaxticket.core.text_table import text_table
from jaxticket.data.own.schemes import scheme_of
from jaxticket.data.splits import Dataset, Split

_MOST_CLASSES = 50


def dataset_facts(dataset: Dataset) -> str:
    """Lines of text: images, mean and standard deviation, and classes with the number of images of each.

    Of labels of pixels it counts those; of numbers it has the mean and standard deviation of each output.

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
    lines = [f"{dataset.name}: {sizes} images of {'x'.join(map(str, shape))}, {_labels(dataset)}"]
    for name, values in (("mean", dataset.mean), ("std", dataset.std)):
        lines.append(f"{name}: {', '.join(f'{value:.4f}' for value in values)} (config.data.{name})")
    if scheme_of(dataset.name):
        lines.append("augmentation: none unless config.data.augment has some, such as crop_padding=4 and flip=True")
    counted = {name: part for name, part in splits.items() if isinstance(part, Split)}
    columns = [_each(part.labels, dataset) for part in counted.values()]
    rows = zip(dataset.class_names, *columns, strict=True)
    first = "class" if dataset.targets == "classes" else "output"
    table = text_table([(first, *counted), *list(rows)[:_MOST_CLASSES]], left=(0,))
    more = [f"and {dataset.num_classes - _MOST_CLASSES} more"] if dataset.num_classes > _MOST_CLASSES else []
    return "\n".join([*lines, *table, *more])


def _labels(dataset: Dataset) -> str:
    """What the labels of an image are."""
    if dataset.targets != "classes":
        return f"{dataset.num_classes} number{'s' * (dataset.num_classes > 1)} for each"
    return f"{dataset.num_classes} classes{' for each pixel' if dataset.target_shape else ''}"


def _each(labels: np.ndarray, dataset: Dataset) -> list[str]:
    """How many labels are of each class, or mean and standard deviation of each output."""
    if dataset.targets == "classes":
        return [str(count) for count in np.bincount(np.ravel(labels), minlength=dataset.num_classes)]
    values = np.asarray(labels, np.float64).reshape(-1, dataset.num_classes)
    return [f"{mean:.4g} ± {std:.4g}" for mean, std in zip(values.mean(0), values.std(0), strict=True)]


_NAMES = {"train": "training", "val": "validation", "test": "test"}
