"""CIFAR-10 and CIFAR-100 in their binary version, from the one tar archive of each.

A file is a sequence of records: one label byte (CIFAR-10) or two (CIFAR-100: coarse, fine), then 3,072 bytes of
pixels, channel by channel, each 32 rows of 32.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxticket.core.errors import DataError
from jaxticket.data.sources.records import Example
from jaxticket.data.sources.tar_zip import refusing, tar_files
from jaxticket.data.specs import DatasetSpec

_PIXELS = 3 * 32 * 32


class _Layout(NamedTuple):
    """The files of each split in their order, and the file with the names of each label, in the labels' order."""

    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    names: dict[str, str]


_LAYOUTS = {
    "cifar10": _Layout(
        "cifar-10-batches-bin",
        tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        ("test_batch.bin",),
        {"label": "batches.meta.txt"},
    ),
    "cifar100": _Layout(
        "cifar-100-binary",
        ("train.bin",),
        ("test.bin",),
        {"coarse_label": "coarse_label_names.txt", "label": "fine_label_names.txt"},
    ),
}


def read_cifar(spec: DatasetSpec, paths: Mapping[str, Path], split: str) -> Iterator[Example]:
    """The images of a split in the order of the files, keyed by their running index; see `records.Reader`."""
    layout = _LAYOUTS[spec.folder_name]
    (path,) = paths.values()
    batches = layout.train if split == "train" else layout.test
    names_file = layout.names[spec.label_key]
    files = _files(path, {f"{layout.folder}/{name}" for name in (*batches, names_file)})
    found = tuple(name.decode("ascii", "replace") for name in files[f"{layout.folder}/{names_file}"].split())
    if found != spec.class_names:
        raise DataError(f"{path}: {names_file} does not list the classes of {spec.name}; put the right file there")
    index = 0
    for batch in batches:
        content = files[f"{layout.folder}/{batch}"]
        if len(content) % (len(layout.names) + _PIXELS):
            raise DataError(f"{path}: {batch} ends within an image; put an undamaged copy there")
        for record in np.frombuffer(content, np.uint8).reshape(-1, len(layout.names) + _PIXELS):
            labels = dict(zip(layout.names, map(int, record), strict=False))
            label = labels.pop(spec.label_key)
            image = record[-_PIXELS:].reshape(3, 32, 32).transpose(1, 2, 0)
            yield Example(index, image, label, {"id": f"{split}_{index:05d}", **labels})
            index += 1


def _files(path: Path, wanted: set[str]) -> dict[str, bytes]:
    files = {}
    with refusing(path):
        for name, content in tar_files(path):
            if name in wanted:
                files[name] = content.read()
            # What follows need not be decompressed.
            if len(files) == len(wanted):
                return files
    missing = ", ".join(sorted(wanted - files.keys()))
    raise DataError(f"{path}: has no {missing}; put the official archive in its binary version there")
