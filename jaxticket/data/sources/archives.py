"""The archives of a data set: which are on this machine, whether they are the right ones, and their images."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jaxticket.core.errors import DataError
from jaxticket.data.sources.cifar import read_cifar
from jaxticket.data.sources.emoji import read_emoji
from jaxticket.data.sources.folders import read_imagenet, read_imagenette, read_tiny_imagenet
from jaxticket.data.sources.numeric import read_emnist, read_mnist, read_small_imagenet, read_svhn
from jaxticket.data.sources.records import Example, Reader, decode
from jaxticket.data.sources.tfds_order import hash_order
from jaxticket.data.specs import Archive, DatasetSpec
from jaxticket.data.splits import Split

# By format, which is also the name of the source.
READERS: dict[str, Reader] = {
    "cifar": read_cifar,
    "emnist": read_emnist,
    "emoji": read_emoji,
    "idx": read_mnist,
    "imagenet": read_imagenet,
    "imagenette": read_imagenette,
    "npz": read_small_imagenet,
    "svhn": read_svhn,
    "tiny_imagenet": read_tiny_imagenet,
}


def own_folder(spec: DatasetSpec, folder: Path) -> Path:
    """Where the archives of `spec` belong, and where a download puts them."""
    return folder / spec.folder_name


def find_archives(spec: DatasetSpec, folder: Path) -> dict[str, Path] | None:
    """The archives by name, from the first folder that has all of them; None where no folder has.

    The folders are `<folder>/<name>/`, the manual folder of TensorFlow Datasets (`<folder>/downloads/manual/`)
    and the folders of Debian packages. A gzip archive may have been decompressed: then its name has lost the
    `.gz`.
    """
    for candidate in (own_folder(spec, folder), folder / "downloads" / "manual"):
        found = archives_in(spec, candidate)
        if found is not None:
            return found
    return _all({archive.name: _packaged(spec, archive) for archive in spec.archives})


def archives_in(spec: DatasetSpec, folder: Path) -> dict[str, Path] | None:
    """The archives by name, where `folder` has all of them."""
    return _all({archive.name: existing(folder, archive.name) for archive in spec.archives})


def existing(folder: Path, name: str) -> Path | None:
    """The file of this name in `folder`, or the decompressed one; None where there is neither."""
    for candidate in (folder / name, folder / name.removesuffix(".gz")):
        if candidate.is_file():
            return candidate
    return None


def check_archives(spec: DatasetSpec, paths: dict[str, Path]) -> None:
    """Refuses files whose size or SHA-256 is not the published one.

    Not checked here are files with a known checksum of their content, which the reader checks, and decompressed
    ones; of a streamed data set only the size is checked, as its files take half an hour to read.

    Raises:
        DataError: naming the file.
    """
    for archive in spec.archives:
        path = paths[archive.name]
        decompressed = path.name != archive.name and path.name == archive.name.removesuffix(".gz")
        if archive.content_sha256 or decompressed:
            continue
        size = path.stat().st_size
        right = archive.size in (0, size)
        if right and archive.sha256 and not spec.stream:
            with path.open("rb") as file:
                right = hashlib.file_digest(file, "sha256").hexdigest() == archive.sha256
        if not right:
            raise DataError(
                f"{path}: is not {archive.name} of {spec.name} (it has {size:,} bytes; published are "
                f"{archive.size:,} with SHA-256 {archive.sha256[:12]}...); {_remedy(spec)}"
            )


def read_examples(spec: DatasetSpec, paths: dict[str, Path], split: str) -> Iterator[Example]:
    """The images of an official split from raw archives, in the order of the archive.

    Raises:
        DataError: an archive is damaged or foreign, or holds another number of images or other labels.
    """
    size, count = spec.official_sizes[split], 0
    files = ", ".join(map(str, paths.values()))
    for example in READERS[str(spec.sources[-1])](spec, paths, split):
        if not 0 <= example.label < spec.num_classes:
            raise DataError(f"{files}: has the label {example.label}, expected 0 to {spec.num_classes - 1}")
        count += 1
        if count > size:
            break
        yield example
    if count != size:
        raise DataError(
            f"{files}: the split {split!r} holds {'more than ' * (count > size)}{min(count, size):,} images, "
            f"{spec.name} has {size:,}; put the right file there"
        )


def read_archives(spec: DatasetSpec, folder: Path) -> dict[str, Split] | None:
    """The official splits from raw archives, decoded, in the order of TensorFlow Datasets.

    Returns:
        The splits `train` and `test`, or None where the archives were not found.

    Raises:
        DataError: an archive is damaged, or is not the one of this data set.
    """
    paths = find_archives(spec, folder)
    if paths is None:
        return None
    check_archives(spec, paths)
    return {split: _collect(spec, paths, split) for split in spec.official_sizes}


def _collect(spec: DatasetSpec, paths: dict[str, Path], split: str) -> Split:
    size = spec.official_sizes[split]
    images, labels = np.empty((size, *spec.image_shape), np.uint8), np.empty(size, np.int32)
    keys = []
    for row, example in enumerate(read_examples(spec, paths, split)):
        try:
            images[row] = decode(example.image, spec)
        except (OSError, ValueError) as error:
            files = ", ".join(map(str, paths.values()))
            raise DataError(f"{files}: {example.key}: {error}; put an undamaged copy there") from error
        labels[row] = example.label
        keys.append(example.key)
    rows = hash_order(spec.tfds_split(split), keys)
    return Split(images[rows], labels[rows])


def _packaged(spec: DatasetSpec, archive: Archive) -> Path | None:
    """The archive as a Debian package has it; None where it is not installed."""
    if not (archive.debian_path or spec.debian_folder):
        return None
    path = Path(archive.debian_path or Path(spec.debian_folder) / archive.name)
    return existing(path.parent, path.name)


def _all(found: dict[str, Path | None]) -> dict[str, Path] | None:
    complete = {name: path for name, path in found.items() if path is not None}
    return complete if complete and len(complete) == len(found) else None


def _remedy(spec: DatasetSpec) -> str:
    if spec.debian_package and not spec.url:
        return f"install Debian's {spec.debian_package}: {spec.access}"
    return "put the right file there"
