"""What of a data set is on this machine, found without reading it."""

from collections.abc import Sequence
from pathlib import Path

from jaxticket.core.errors import ConfigError
from jaxticket.core.text_table import text_table
from jaxticket.data.cache import cache_folder, has_cache
from jaxticket.data.sources.archives import find_archives, own_folder
from jaxticket.data.sources.find import missing_message, size_text
from jaxticket.data.sources.tfds_folder import find_prepared
from jaxticket.data.specs import DatasetSpec
from jaxticket.data.stream_labels import have_labels

VENDORED, CACHED, PREPARED, ARCHIVES, MISSING = "vendored", "cached", "prepared", "archives found", "missing"


def status(spec: DatasetSpec, folder: Path) -> tuple[str, str]:
    """What of a data set is on this machine, the quickest to read first, and where; of a missing one, where it belongs.

    Returns:
        `vendored`, `cached`, `prepared`, `archives found` or `missing`; and a path.

    Raises:
        ConfigError: the folder cannot be searched.
    """
    if not spec.archives:
        return VENDORED, "in the package"
    try:
        if has_cache(spec, folder):
            return CACHED, str(cache_folder(spec, folder))
        prepared = find_prepared(spec, folder)
        if prepared is not None:
            return PREPARED, str(prepared)
        found = find_archives(spec, folder)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be searched ({error}); choose another --folder") from error
    if found is not None:
        return ARCHIVES, str(next(iter(found.values())).parent)
    return MISSING, str(own_folder(spec, folder))


def dataset_table(specs: Sequence[DatasetSpec], folder: Path) -> str:
    """What is known of the data sets and where they are, as lines of text, one per data set below a heading."""
    rows = [("name", "classes", "shape", "images", "on disk", "status", "where")]
    for spec in specs:
        shape, images = "x".join(map(str, spec.image_shape)), f"{spec.train_size + spec.test_size:,}"
        known = spec.name, str(spec.num_classes), shape, images, size_text(spec.disk_bytes)
        rows.append((*known, *status(spec, folder)))
    return "\n".join(text_table(rows, left=(0, 5, 6)))


def missing(spec: DatasetSpec, folder: Path) -> str:
    """One line that says how to get a data set that is not on this machine; empty where it is.

    What is streamed has to be prepared: archives alone are not it.
    """
    absent = (MISSING, ARCHIVES) if spec.stream else (MISSING,)
    return missing_message(spec, folder) if status(spec, folder)[0] in absent else ""


def labels_are_at_hand(spec: DatasetSpec, folder: Path) -> bool:
    """Whether the labels can be read in a moment, with nothing decoded and nothing written."""
    if spec.stream and spec.archives:
        return have_labels(spec, folder)
    return status(spec, folder)[0] in (VENDORED, CACHED)
