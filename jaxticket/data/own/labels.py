"""Labels as they are found, numbers or texts, and the classes that they stand for."""

from collections.abc import Mapping, Sequence

import numpy as np

from jaxticket.core.errors import DataError


def targets_of(
    place: str, labels: Mapping[str, np.ndarray], names: Sequence[str] = ()
) -> tuple[list[str], dict[str, np.ndarray]]:
    """As `classes_of`, of arrays that may also be numbers, several labels of an image, or a class for each pixel.

    Numbers [N] or [N, outputs], and 0 and 1 for each of several labels [N, outputs], become float32 [N, outputs];
    classes [N, height, width] int32 of that shape.

    Raises:
        DataError: as `classes_of`, or numbers that are not finite, or as many in all splits.
    """
    train = labels["train"]
    if train.dtype.kind != "f" and train.ndim != 2:
        classes, found = classes_of(place, {split: one.reshape(-1) for split, one in labels.items()}, names)
        return classes, {split: one.reshape(labels[split].shape) for split, one in found.items()}
    values = {split: one.reshape(len(one), -1).astype(np.float32) for split, one in labels.items()}
    outputs = values["train"].shape[1]
    for split, found in values.items():
        if labels[split].ndim > 2 or found.shape[1] != outputs or not np.isfinite(found).all():
            raise DataError(
                f"{place}: the labels of {split} are {labels[split].dtype} of shape {labels[split].shape}; "
                f"numbers must be finite and [N] or [N, outputs], {outputs} in all splits"
            )
        if train.dtype.kind != "f" and not np.isin(found, (0, 1)).all():
            raise DataError(f"{place}: {split} has whole numbers {labels[split].shape}; several labels must be 0 or 1")
    if names and len(names) != outputs:
        raise DataError(f"{place}: has {len(names)} names for {outputs} outputs; give one for each")
    return [str(name) for name in names or range(outputs)], values


def classes_of(
    place: str, labels: Mapping[str, np.ndarray], names: Sequence[str] = ()
) -> tuple[list[str], dict[str, np.ndarray]]:
    """The classes that training images have, sorted, and the labels as their indices.

    Args:
        place: where they are from, for messages.
        labels: by split, [N], whole numbers or texts.
        names: of the numbers, where they have some; a number stands for itself else.

    Returns:
        The names of the classes, and int32 [N] by split.

    Raises:
        DataError: labels are of another kind or shape, are missing, or no training image has them.
    """
    for split, found in labels.items():
        if found.ndim != 1 or found.dtype.kind not in "iuUb":
            raise DataError(
                f"{place}: the labels of {split} are {found.dtype} of shape {found.shape}; they must be one whole "
                "number or text for each image"
            )
        if found.dtype.kind == "i" and (found < 0).any():
            raise DataError(
                f"{place}: {split} has the label {found.min()}, which stands for none; leave these images out"
            )
        if names and found.dtype.kind in "iu" and found.size and found.max() >= len(names):
            raise DataError(
                f"{place}: {split} has the label {found.max()}, and there are names for 0 to {len(names) - 1}"
            )
    classes = np.unique(labels["train"])
    indices = {}
    for split, found in labels.items():
        index = np.minimum(np.searchsorted(classes, found), len(classes) - 1)
        if (unknown := found[classes[index] != found]).size:
            raise DataError(f"{place}: {split} has the label {unknown[0].item()!r}, which no training image has")
        indices[split] = index.astype(np.int32)
    return [str(names[value] if names else value) for value in classes.tolist()], indices
