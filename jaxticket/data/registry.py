"""The data sets by name.

A new one is one more row in a `facts_*` module, as long as it comes from a source listed in `sources.py`.
"""

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import must_be_one_of
from jaxticket.data import specs_colour, specs_grey, specs_imagenet
from jaxticket.data.specs import Archive as Archive
from jaxticket.data.specs import DatasetSpec as DatasetSpec

_OWN = {row.name: row for rows in (specs_grey.ROWS, specs_colour.ROWS, specs_imagenet.ROWS) for row in rows}
_SPECS = dict(_OWN)


def names() -> tuple[str, ...]:
    """The data sets that `load` knows, sorted."""
    return tuple(sorted(_SPECS))


def spec(name: str) -> DatasetSpec:
    """The static facts of the data set `name`; no data is read.

    Raises:
        ConfigError: there is no such data set.
    """
    if name not in _SPECS:
        raise ConfigError(f"data set {name!r}: {unknown_name(name)}")
    return _SPECS[name]


def unknown_name(name: str) -> str:
    """What to say of a name that is not registered: the ones that are, and the nearest."""
    return must_be_one_of(name, names())


def is_vouched_for(name: str) -> bool:
    """Whether the package knows the data set's content: it brings it along, or checks published checksums of all of it.

    Raises:
        ConfigError: there is no such data set.
    """
    row = spec(name)
    known = all(archive.sha256 or archive.content_sha256 for archive in row.archives)
    return known and _OWN.get(name) == row
