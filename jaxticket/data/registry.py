"""The data sets by name: every `specs_*` module registers its own, and users theirs."""

import importlib
import pkgutil
from collections.abc import Iterator

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import must_be_one_of
from jaxticket.core.registry import Registry
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


def spec(name: str) -> DatasetSpec:
    """What is known of the data set `name` without reading it.

    Raises:
        ConfigError: there is no such data set.

    Example:
        >>> from jaxticket import data
        >>> data.spec("cifar10").image_shape
        (32, 32, 3)
    """
    if name not in DATASETS:
        raise ConfigError(f"data set {name!r}: {unknown_name(name)}")
    return DATASETS.get(name)


def unknown_name(name: str) -> str:
    """What to say of a name that is not registered: the ones that are, and the nearest."""
    return must_be_one_of(name, names())


def is_vouched_for(name: str) -> bool:
    """Whether the package knows the data set's content: it brings it along, or checks published checksums of all of it.

    Raises:
        ConfigError: there is no such data set.

    Example:
        >>> from jaxticket import data
        >>> data.is_vouched_for("digits")
        True
    """
    row = spec(name)
    known = all(archive.sha256 or archive.content_sha256 for archive in row.archives)
    return known and DATASETS.is_own(name)
