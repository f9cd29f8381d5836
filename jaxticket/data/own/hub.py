"""`hf:NAME[:CONFIG][#COLUMN]`: a data set of the Hugging Face Hub, from the user's own cache."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxticket.core.errors import ConfigError, DataError, one_line
from jaxticket.data.own.labels import classes_of
from jaxticket.data.own.parquet import choose
from jaxticket.data.own.schemes import SPLITS, DataScheme, LabelledImages, Opened, OwnFiles, register_scheme


def find_hub(place: str, download: bool) -> OwnFiles:
    """A data set that `datasets.load_dataset` gives; see `DataScheme`.

    The cache is where HF_HOME or HF_DATASETS_CACHE say. The network is asked only where a download was asked for, and
    HF_HUB_OFFLINE is honoured.

    Raises:
        ConfigError: the library is not installed.
        DataError: the data set is not in the cache, or cannot be fetched.
    """
    try:
        import datasets  # type: ignore[import-not-found]
    except ImportError as error:
        raise ConfigError(
            "config.data.name: hf:... needs datasets, which is not installed; run `pip install datasets`"
        ) from error
    named, _, column = place.partition("#")
    name, _, config = named.partition(":")
    try:
        with _offline(datasets, not download):
            found: Any = datasets.load_dataset(name, config or None)
    except Exception as error:  # of a library that reads whatever the Hub has
        remedy = (
            "" if download else "; let it be downloaded with --config.data.download=True (in Python: download=True)"
        )
        raise DataError(f"hf:{named}: cannot be loaded ({one_line(error)}){remedy}") from error
    if "train" not in found:
        raise DataError(f"hf:{named}: has the splits {', '.join(found)} but no train; choose another configuration")
    parts = {SPLITS[split]: found[split] for split in found if split in SPLITS}
    files = [Path(file["filename"]) for part in parts.values() for file in part.cache_files]
    return OwnFiles(named, files, lambda: _open(datasets, named, parts, column))


def _open(datasets: Any, named: str, parts: dict[str, Any], column: str) -> Opened:
    features = parts["train"].features
    images = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
    labels = [name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    others = [name for name, kind in features.items() if getattr(kind, "dtype", "")[:3] in ("int", "str", "uin")]
    image = choose(f"hf:{named}", "images", images, list(features), "")
    label = choose(
        f"hf:{named}", "labels", others if column and column not in labels else labels or others, list(features), column
    )
    found = {split: np.asarray(part[label]) for split, part in parts.items()}
    classes, indices = classes_of(f"hf:{named}", found, getattr(features[label], "names", None) or ())

    def split(name: str) -> LabelledImages:
        part = parts[name].select_columns([image]).cast_column(image, datasets.Image(decode=False))

        def read(row: int) -> bytes:
            stored = part[row][image]
            return Path(stored["path"]).read_bytes() if stored["bytes"] is None else stored["bytes"]

        return LabelledImages(indices[name], [f"{name} row {row}" for row in range(len(part))], read)

    return classes, {name: split(name) for name in parts}


@contextlib.contextmanager
def _offline(datasets: Any, wanted: bool) -> Iterator[None]:
    """Within this the library does as if HF_HUB_OFFLINE were set, which it reads only when it is imported."""
    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or wanted
    try:
        yield
    finally:
        datasets.config.HF_HUB_OFFLINE = before


register_scheme(DataScheme("hf", "NAME", find_hub))
