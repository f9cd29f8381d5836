"""Parts of a data set for studies: some of its classes, some of its images, some of its labels wrong."""

import re

import numpy as np

from jaxticket.core.errors import ConfigError
from jaxticket.data.specs import DatasetSpec
from jaxticket.data.splits import Split, permutation


def parse_part(part: str) -> tuple[int, int]:
    """`1/2` as (0, 2): the index of a part, from 0, and the number of parts; `full` is (0, 1).

    Raises:
        ConfigError: the text is not of this form.
    """
    if part == "full":
        return 0, 1
    match = re.fullmatch(r"(\d+)/(\d+)", part)
    index, parts = (int(group) for group in match.groups()) if match else (0, 0)
    if not 1 <= index <= parts:
        raise ConfigError(f"part={part!r}: must be 'full', or such as '1/2', the first of two equal parts")
    return index - 1, parts


def check_parts(spec: DatasetSpec, part: str) -> None:
    """Refuses parts that would lose a class.

    Raises:
        ConfigError: naming the part and what is possible.
    """
    _, parts = parse_part(part)
    classes = spec.num_classes
    if parts > 1 and not spec.one_class_each:
        raise ConfigError(f"part={part!r}: the images of {spec.name} do not have one class each; use 'full'")
    if classes % parts:
        possible = ", ".join(str(n) for n in range(2, classes + 1) if classes % n == 0 and n <= 10)
        raise ConfigError(
            f"part={part!r}: {classes} classes of {spec.name} make no {parts} equal parts; use {possible or '1'} parts"
        )


def class_parts(num_classes: int, parts: int, seed: int | None = None) -> list[np.ndarray]:
    """The classes of each of `parts` equal parts.

    Args:
        num_classes: a multiple of `parts`.
        parts: at least 1.
        seed: of a permutation of the classes; None: contiguous ranges of labels, as COLT (section 3) has them.

    Returns:
        One int64 array of `num_classes // parts` labels for each part. Label `i` of a part is its `i`-th entry.

    Raises:
        ConfigError: the parts would lose a class.
    """
    if parts < 1 or num_classes % parts:
        raise ConfigError(f"parts={parts}: must divide the {num_classes} classes, so that none is lost")
    order = np.arange(num_classes) if seed is None else permutation(num_classes, seed)
    return np.split(order, parts)


def take_classes(split: Split, classes: np.ndarray) -> Split:
    """The images of some classes, in their order, relabelled to 0, 1, ... in the order of `classes`."""
    label = labels_within(classes, max(int(split.labels.max(initial=-1)), int(classes.max())) + 1)
    rows = np.flatnonzero(label[split.labels] >= 0)
    return Split(split.images[rows], label[split.labels[rows]])


def labels_within(classes: np.ndarray, num_classes: int) -> np.ndarray:
    """The name of each of `num_classes` labels within a part: its position in `classes`, else -1: int32."""
    label = np.full(num_classes, -1, np.int32)
    label[classes] = np.arange(len(classes), dtype=np.int32)
    return label


def noisy_labels(labels: np.ndarray, share: float, num_classes: int, seed: int) -> np.ndarray:
    """Labels of which exactly `round(share * N)` are wrong: int32 [N].

    Which ones, and which of the other classes each gets, is uniform (Zhang et al. 2017, section 2.1, except that no
    label stays right by chance).

    Raises:
        ConfigError: there is no other class.
    """
    count = round(share * len(labels))
    if count and num_classes < 2:
        raise ConfigError(f"label_noise={share}: needs at least 2 classes, found {num_classes}")
    rows = permutation(len(labels), seed)[:count]
    # A stream of its own, so that which labels change does not say what they become.
    steps = np.random.PCG64([seed, 1]).random_raw(count) % max(num_classes - 1, 1)
    noisy = labels.copy()
    noisy[rows] = (labels[rows] + 1 + steps.astype(np.int32)) % num_classes
    return noisy
