"""The data sets by name: every `specs_*` module registers its own, and users theirs; others are named by a place."""

import importlib
import os
import pkgutil
from collections.abc import Iterator
from pathlib import Path

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import must_be_one_of
from jaxticket.core.registry import Registry
from jaxticket.data.own.schemes import SCHEMES, forms, scheme_of
from jaxticket.data.specs import DatasetSpec


def _own() -> Iterator[DatasetSpec]:
    """The package's rows: every module `specs_*` registers its own when it is imported."""
    from jaxticket import data

    for module in pkgutil.iter_modules(data.__path__, "jaxticket.data."):
        if module.name.startswith("jaxticket.data.specs_"):
            importlib.import_module(module.name)
    yield from ()


DATASETS: Registry[DatasetSpec] = Registry("data set", DatasetSpec, _own, parts=True)


def register(spec: DatasetSpec) -> DatasetSpec:
    """Makes a data set known by its name: on the command line, in configurations and to `load`.

    Args:
        spec: what is known of it without reading it, and the sources that give its images.

    Returns:
        The same.

    Raises:
        ConfigError: another data set has this name.

    Example:
        >>> import numpy as np
        >>> from jaxticket import data
        >>> def black(spec, folder):
        ...     sizes = spec.official_sizes.items()
        ...     return {name: data.Split(np.zeros((n, 8, 8, 1), np.uint8), np.arange(n) % 2) for name, n in sizes}
        >>> _ = data.register(data.DatasetSpec("black", "1.0.0", (8, 8, 1), ("even", "odd"), 20, 10, sources=(black,)))
        >>> data.load("black", val_fraction=0.2).val.images.shape
        (4, 8, 8, 1)
    """
    return DATASETS.register(spec)


def names() -> tuple[str, ...]:
    """The data sets that `load` knows, sorted.

    Example:
        >>> from jaxticket import data
        >>> "digits" in data.names()
        True
    """
    return tuple(sorted(DATASETS.names()))


def spec(
    name: str,
    *,
    folder: str | os.PathLike[str] | None = None,
    image_size: int = 0,
    stream: bool | None = None,
    download: bool = False,
    new: bool = False,
) -> DatasetSpec:
    """What is known of the data set `name`: without reading it if it is registered; else it is read, once.

    Args:
        name: a registered name, or `folder:PATH` and the like.
        folder: of all data sets, as in `load`.
        image_size: side of the images; only of data that is named by its place.
        stream: whether they are streamed; likewise.
        download: whether the network may be used; likewise.
        new: whether to look for changes since this process read it.

    Raises:
        ConfigError: there is no such data set.
        DataError: it is named by its place, and cannot be read there.

    Example:
        >>> from jaxticket import data
        >>> data.spec("cifar10").image_shape
        (32, 32, 3)
    """
    if scheme_of(name):
        from jaxticket.data.own.copies import own_data

        how = {"image_size": image_size, "stream": stream, "download": download, "new": new}
        return own_data(name, data_folder(folder), **how).spec
    if name not in DATASETS:
        raise ConfigError(f"data set {name!r}: {unknown_name(name)}")
    return DATASETS.get(name)


def data_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """The folder of data sets, absolute: as given, else JAXTICKET_DATA, else `~/.cache/jaxticket/data`."""
    chosen = folder or os.environ.get("JAXTICKET_DATA") or "~/.cache/jaxticket/data"
    return Path(chosen).expanduser().absolute()


def unknown_name(name: str) -> str:
    """What to say of a name that is not registered: the ones that are, how places are named, and what is nearest."""
    said, path = must_be_one_of(name, [*names(), *forms()]), Path(name).expanduser()
    scheme = "folder" if path.is_dir() else path.suffix[1:] if path.is_file() else ""
    return f"{said}; did you mean '{scheme}:{name}'?" if scheme in SCHEMES else said


def is_vouched_for(name: str) -> bool:
    """Whether the package knows the data set's content: it brings it along, or checks published checksums of all of it.

    Of data that is named by its place it does not.

    Raises:
        ConfigError: there is no such data set.

    Example:
        >>> from jaxticket import data
        >>> data.is_vouched_for("digits")
        True
    """
    if scheme_of(name):
        return False
    row = spec(name)
    known = all(archive.sha256 or archive.content_sha256 for archive in row.archives)
    return known and DATASETS.is_own(name)
