"""The archives of a data set: which are on this machine, and the images in those of the MNIST family."""

from pathlib import Path

import numpy as np

from jaxticket.core.errors import DataError
from jaxticket.data.dataset import Split
from jaxticket.data.idx import read_idx
from jaxticket.data.order import hash_order
from jaxticket.data.registry import DatasetSpec, names, spec

_IDX_PREFIXES = {"train": "train", "test": "t10k"}


def own_folder(spec: DatasetSpec, folder: Path) -> Path:
    """Where the archives of `spec` belong, and where a download puts them."""
    return folder / spec.name


def find_archives(spec: DatasetSpec, folder: Path) -> dict[str, Path] | None:
    """The archives by name, from the first place that has all of them; None where no place has.

    The places are `<folder>/<name>/`, the manual folder of TensorFlow Datasets (`<folder>/downloads/manual/`)
    and the folder of a Debian package. A gzip archive may have been decompressed: then its name has lost the
    `.gz`.
    """
    places = [own_folder(spec, folder), folder / "downloads" / "manual"]
    if spec.debian_folder:
        places.append(Path(spec.debian_folder))
    for place in places:
        found = {archive.name: existing(place, archive.name) for archive in spec.archives}
        complete = {name: path for name, path in found.items() if path is not None}
        if len(complete) == len(found):
            return complete
    return None


def existing(place: Path, name: str) -> Path | None:
    """The file of this name in the folder `place`, or the decompressed one; None where there is neither."""
    for candidate in (place / name, place / name.removesuffix(".gz")):
        if candidate.is_file():
            return candidate
    return None


def read_idx_archives(spec: DatasetSpec, folder: Path) -> dict[str, Split] | None:
    """The official splits from the four IDX archives, in the order of TensorFlow Datasets.

    Returns:
        The splits `train` and `test`, or None where the archives were not found.

    Raises:
        DataError: an archive is damaged, or is not the one of this data set.
    """
    paths = find_archives(spec, folder)
    if paths is None:
        return None
    contents = {archive.name: archive.content_sha256 for archive in spec.archives}

    def read(name: str, shape: tuple[int, ...]) -> np.ndarray:
        items, sha256 = read_idx(paths[name], shape)
        if sha256 != contents[name]:
            raise DataError(f"{paths[name]}: is not {name} of {spec.name}{_owner(sha256)}; put the right file there")
        return items

    splits = {}
    for split, size in spec.official_sizes.items():
        prefix = _IDX_PREFIXES[split]
        # The file has no axis for its one channel.
        images = read(f"{prefix}-images-idx3-ubyte.gz", (size, *spec.image_shape[:2]))
        labels = read(f"{prefix}-labels-idx1-ubyte.gz", (size,))
        rows = hash_order(split, size)
        splits[split] = Split(images[rows].reshape(size, *spec.image_shape), labels[rows].astype(np.int32))
    return splits


def _owner(content_sha256: str) -> str:
    """Whose file it is that was found in the place of another, as the end of a sentence."""
    for name in names():
        for archive in spec(name).archives:
            if archive.content_sha256 == content_sha256:
                return f" but {archive.name} of {name}"
    return ""
