"""Labels as they are found, numbers or texts, and the classes that they stand for."""

from collections.abc import Mapping, Sequence

import numpy as np

from jaxticket.core.errors import DataError


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
