"""Data of one's own, read once: what is known of it, its decoded copy, and how a change is seen.

The copy lies in `<folder>/cache/<scheme>-<digest of the place and of how it is read>/`. Its manifest has a digest of
the sizes and times of all files from before they were read: while these stay, nothing is read again. Stages depend on
the images and labels alone.
"""

import dataclasses
import hashlib
import logging
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from jaxticket.core.errors import ConfigError, DataError, TicketError
from jaxticket.core.options import digest
from jaxticket.data.cache import copy_folder, read_cache, write_cache
from jaxticket.data.own.decode import decode_all, decode_named, in_colour, other_size
from jaxticket.data.own.schemes import LARGEST_SIDE, SCHEMES, DataScheme, LabelledImages, OwnFiles, scheme_of
from jaxticket.data.own.splits import official, take
from jaxticket.data.specs import DatasetSpec
from jaxticket.data.splits import Split, channel_statistics, content_digest
from jaxticket.storage.manifest import load_manifest

_log = logging.getLogger(__name__)
# More decoded images than this are streamed: what fits on an accelerator, and into its host, beside a network.
MOST_IN_MEMORY = 4 * 10**9
# A file that was written so shortly before it is read may change again without a later time: no clock is coarser.
_TICK = 2 * 10**9
_VERSION = 1  # of decoding: another one reads all data again
_SAMPLE = 4096  # images of streamed data from which mean and standard deviation are taken
_THREADS = 16


@dataclasses.dataclass(frozen=True, eq=False)
class OwnData:
    """Data of one's own, ready to be split.

    Attributes:
        spec: what is known of it.
        content: a digest of all images and labels.
        splits: its official splits in memory; empty where it is streamed.
        images: its official splits, not decoded, where it is streamed; else empty.
    """

    spec: DatasetSpec
    content: str
    splits: dict[str, Split]
    images: dict[str, LabelledImages]


_opened: dict[tuple[Any, ...], tuple[str, OwnData]] = {}


def own_data(
    name: str,
    folder: Path,
    *,
    image_size: int = 0,
    stream: bool | None = None,
    download: bool = False,
    new: bool = True,
) -> OwnData:
    """Data of one's own by its name, from its decoded copy where there is one of the files as they are.

    Args:
        name: a scheme, a colon and a place.
        folder: of all data sets, for the copy.
        image_size: side of all images; 0: the size that all of them have.
        stream: whether images are read while training; None: if they are too many for memory.
        download: whether the network may be used.
        new: whether to look for changes since this process read it.

    Raises:
        DataError: it is missing, damaged or not what the scheme reads; naming the file.
        ConfigError: there is no such scheme, no such size, or streamed images have no common one.
    """
    key = name, str(folder), str(Path.cwd()), image_size, stream
    if key in _opened and not new:
        return _opened[key][1]
    found_scheme = scheme_of(name)
    assert found_scheme is not None
    scheme, place = found_scheme
    if not place:
        raise DataError(f"{name}: does not say what to read; give {scheme.name}:{scheme.form}")
    if not 0 <= image_size <= LARGEST_SIDE:
        raise ConfigError(f"image_size={image_size}: must be from 0 to {LARGEST_SIDE}")
    began = time.time_ns()
    files = scheme.find(place, download)
    stamp = _stamp(scheme, files, began)
    if key in _opened and stamp and _opened[key][0] == stamp:
        return _opened[key][1]
    version = digest([_VERSION, files.place, place.partition("#")[2], image_size, stream], 12)
    data = _from_copy(name, version, folder, files, stamp) if stamp else None
    if data is None:
        data = _read(name, version, folder, files, stamp, image_size, stream)
    _opened.pop(key, None)
    _opened[key] = stamp, data
    while len(_opened) > 4:
        del _opened[next(iter(_opened))]
    return data


def _stamp(scheme: DataScheme, files: OwnFiles, now: int) -> str:
    """A digest of the sizes and times of files; empty where they may change without its changing."""
    code = []
    if not SCHEMES.is_own(scheme.name):  # a user's own code may give other images of the same files
        code = [Path(getattr(getattr(scheme.find, "__code__", None), "co_filename", ""))]
        if not code[0].is_file():
            return ""
    hashed, latest = hashlib.sha256(), 0
    for path in (*files.files, *code):
        try:
            found = os.stat(path)  # noqa: PTH116
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror}); restore it") from error
        hashed.update(f"{path}\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_ctime_ns}\0".encode())
        latest = max(latest, found.st_mtime_ns, found.st_ctime_ns)
    return hashed.hexdigest() if files.files and latest < now - _TICK else ""


def _from_copy(name: str, version: str, folder: Path, files: OwnFiles, stamp: str) -> OwnData | None:
    try:
        manifest = load_manifest(copy_folder(name, version, folder), verify=False)
    except TicketError:
        return None
    facts = manifest.content if manifest else {}
    if facts.get("stamp") != stamp:
        return None
    spec = _spec(name, version, facts)
    if spec.stream:
        return OwnData(spec, facts["content"], {}, _open(files)[1])
    splits = read_cache(spec, folder)
    return OwnData(spec, facts["content"], splits, {}) if splits else None


def _read(
    name: str, version: str, folder: Path, files: OwnFiles, stamp: str, image_size: int, stream: bool | None
) -> OwnData:
    classes, images = _open(files)
    count = sum(len(split.labels) for split in images.values())
    targets = images["train"].labels
    if targets.ndim > 1 and (stream or (image_size and targets.dtype.kind == "i")):
        key = "stream=True" if stream else f"image_size={image_size}"
        raise ConfigError(f"config.data.{key}: the images of {name} do not have one class each; leave it out")
    first = decode_named(images["train"], files.place, image_size, 0)
    size = count * (first.size if first.shape[2] > 1 else 3 * first.size)
    _log.info("%s: reading %d images, once", name, count)
    if stream or (stream is None and targets.ndim == 1 and size > MOST_IN_MEMORY):
        if not image_size:
            raise ConfigError(
                f"config.data.image_size=0: {name} is streamed ({count:,} images, {size / 1e9:,.1f} GB once decoded), "
                "which needs the side of the images for the network, such as 224"
            )
        splits, shape = {}, (image_size, image_size, 3)
        content, mean, std = _examine(images, files.place, image_size)
    else:
        splits = _decode(images, files.place, image_size)
        images, shape, content = {}, splits["train"].images.shape[1:], content_digest(splits)
        mean, std = channel_statistics(splits["train"].images)
    sizes = {split: len(its.labels) for split, its in (images or splits).items()}
    facts = {"stamp": stamp, "shape": shape, "classes": classes, "sizes": sizes, "mean": mean, "std": std}
    facts.update(content=content, stream=bool(images))
    if targets.ndim > 1:
        numbers = targets.dtype.kind == "f"
        facts.update(targets="values" if numbers else "classes", target_shape=() if numbers else targets.shape[1:])
    spec = _spec(name, version, facts)
    write_cache(spec, folder, splits, facts)
    return OwnData(spec, content, splits, images)


def _open(files: OwnFiles) -> tuple[list[str], dict[str, LabelledImages]]:
    classes, splits = files.open()
    return list(classes), official(dict(splits), list(classes), files.place)


def _decode(images: dict[str, LabelledImages], place: str, image_size: int) -> dict[str, Split]:
    pixels = {split: decode_all(its, place, image_size) for split, its in images.items()}
    if len({part.shape[3] for part in pixels.values()}) > 1:
        pixels = {split: in_colour(part) for split, part in pixels.items()}
    shape = pixels["train"].shape[1:]
    for split, part in pixels.items():
        if part.shape[1:] != shape:
            raise DataError(other_size(place, images[split].names[0], part.shape[1:], shape))
    return {split: Split(part, images[split].labels) for split, part in pixels.items()}


def _examine(images: dict[str, LabelledImages], place: str, side: int) -> tuple[str, Sequence[float], Sequence[float]]:
    """A digest of everything that is streamed, and mean and standard deviation of a sample of the training images."""
    hashed = hashlib.sha256()

    def hashed_image(its: LabelledImages, row: int) -> bytes:
        try:
            found = its.read(row)
            return hashlib.sha256(found if isinstance(found, bytes) else found.tobytes()).digest()
        except OSError as error:
            raise DataError(f"{place}: {its.names[row]}: cannot be read ({error.strerror}); restore it") from error

    with ThreadPoolExecutor(_THREADS) as readers:
        for split in sorted(images):
            its = images[split]
            hashed.update(split.encode() + its.labels.tobytes())
            for first in range(0, len(its.labels), _SAMPLE):
                rows = range(first, min(first + _SAMPLE, len(its.labels)))
                hashed.update(b"".join(readers.map(hashed_image, [its] * len(rows), rows)))
    train = images["train"]
    sample = take(train, np.unique(np.linspace(0, len(train.labels) - 1, _SAMPLE).astype(np.int64)))
    return hashed.hexdigest()[:12], *channel_statistics(in_colour(decode_all(sample, place, side)))


def _spec(name: str, version: str, facts: dict[str, Any]) -> DatasetSpec:
    sizes = facts["sizes"]
    return DatasetSpec(
        name=name,
        version=version,
        image_shape=tuple(facts["shape"]),
        class_names=tuple(facts["classes"]),
        train_size=sizes["train"],
        test_size=sizes["test"],
        val_size=sizes.get("val", 0),
        sources=(),
        mean=tuple(facts["mean"]),
        std=tuple(facts["std"]),
        stream=facts["stream"],
        targets=facts.get("targets", "classes"),
        target_shape=tuple(facts.get("target_shape", ())),
    )
