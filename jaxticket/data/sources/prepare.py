"""Raw archives turned into the folder that TensorFlow Datasets would write, without TensorFlow.

The official builder does all but the reading, so its features, version and order are the official ones. Images
that are arrays of numbers are stored as PNG, encoded ones as they are.
"""

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxticket.core.errors import DataError
from jaxticket.data import registry
from jaxticket.data.cache import write_cache
from jaxticket.data.sources.archives import archives_in, check_archives, find_archives, read_examples
from jaxticket.data.sources.find import check_splits, missing_message
from jaxticket.data.sources.records import encode
from jaxticket.data.sources.tfds_folder import find_prepared, own_prepared_folder, read_prepared
from jaxticket.data.specs import DatasetSpec

# What TensorFlow Datasets does not know; the names of their further features.
_OWN = {"emoji32": "id", "tiny_imagenet": "file_name"}
# Official builders that take the names of the classes from the archive: by feature, the data set that lists them here.
_NAMED_BY_ARCHIVE = {
    "cifar10": {"label": "cifar10"},
    "cifar100": {"label": "cifar100", "coarse_label": "cifar100_coarse"},
}


def prepare(spec: DatasetSpec, folder: Path, archive: Path | None = None) -> Path:
    """Writes the folder of TensorFlow Datasets (ArrayRecord) and, unless `spec` is streamed, the decoded copy.

    What is already prepared is not written again.

    Args:
        spec: the data set.
        folder: where data sets live.
        archive: its archive, under any name, or the folder of its archives; None: where `find_archives` finds them.

    Returns:
        The prepared folder.

    Raises:
        DataError: nothing to prepare it from, a damaged or foreign archive, or a disk that cannot be written.
    """
    if not spec.archives:
        raise DataError(f"{spec.name}: comes with the package; there is nothing to prepare")
    try:
        prepared = find_prepared(spec, folder)
        if prepared is None:
            paths = _locate(spec, folder, archive)
            check_archives(spec, paths)
            _write(spec, folder, paths)
            prepared = own_prepared_folder(spec, folder)
        if not spec.stream:
            splits = read_prepared(spec, folder)
            assert splits is not None
            check_splits(spec, "tfds", splits)
            write_cache(spec, folder, splits)
    except OSError as error:
        raise DataError(f"{folder}: {spec.name} cannot be prepared ({error}); choose another --folder") from error
    return prepared


def _locate(spec: DatasetSpec, folder: Path, archive: Path | None) -> dict[str, Path]:
    names = ", ".join(expected.name for expected in spec.archives)
    if archive is None:
        paths = find_archives(spec, folder)
        if paths is None:
            raise DataError(missing_message(spec, folder))
        return paths
    if archive.is_file() and len(spec.archives) == 1:
        return {spec.archives[0].name: archive}
    if not archive.exists():
        raise DataError(f"{archive}: does not exist; give the path of {names}, or of the folder with it")
    paths = archives_in(spec, archive if archive.is_dir() else archive.parent)
    if paths is None:
        place = archive if archive.is_dir() else archive.parent
        raise DataError(f"{place}: does not have all of {names}, of which {spec.name} consists; put them there")
    return paths


def _write(spec: DatasetSpec, folder: Path, paths: dict[str, Path]) -> None:
    import tensorflow_datasets as tfds

    (tfds.enable_progress_bar if sys.stderr.isatty() else tfds.disable_progress_bar)()
    _, _, config = spec.prepared_name.partition("/")
    builder = _builder_class(spec, paths)(data_dir=folder, config=config or None, file_format="array_record")
    try:
        # It says on standard output that it downloads, which it does not.
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    # The writer wraps what a reader raises into exceptions of its own.
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, DataError):
            cause = cause.__cause__ or cause.__context__
        if cause is not None:
            raise cause from error
        if isinstance(error, OSError):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        files = ", ".join(map(str, paths.values()))
        raise DataError(f"{files}: cannot be prepared as {spec.name} ({reason}); put undamaged files there") from error


def _builder_class(spec: DatasetSpec, paths: dict[str, Path]) -> Any:
    """The official builder, or one of our own, reading from `paths`."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import load, registered

    own = spec.name in _OWN
    base: Any = tfds.core.GeneratorBasedBuilder if own else load.builder_cls(spec.folder_name)

    def examples(builder: Any, split: str) -> Iterator[tuple[str | int, dict[str, Any]]]:
        for example in read_examples(spec, paths, split):
            image = encode(example.image) if isinstance(example.image, np.ndarray) else example.image
            yield example.key, {"image": image, spec.label_key: example.label, **example.fields}

    def split_generators(builder: Any, dl_manager: Any) -> dict[str, Any]:
        for feature, named in _NAMED_BY_ARCHIVE.get(spec.folder_name, {}).items():
            builder.info.features[feature].names = list(registry.spec(named).class_names)
        return {spec.tfds_split(split): examples(builder, split) for split in spec.official_sizes}

    members: dict[str, Any] = {
        "name": spec.folder_name,
        "_split_generators": split_generators,
        "_generate_examples": examples,
        "__module__": base.__module__,
    }
    if own:
        members["VERSION"] = tfds.core.Version(spec.version)
        members["_info"] = lambda builder: _own_info(spec, builder)
    with registered.skip_registration():
        return type(base)(base.__name__, (base,), members)


def _own_info(spec: DatasetSpec, builder: Any) -> Any:
    import tensorflow_datasets as tfds

    features = {
        "image": tfds.features.Image(shape=spec.image_shape),
        "label": tfds.features.ClassLabel(names=list(spec.class_names)),
        _OWN[spec.name]: tfds.features.Text(),
    }
    return tfds.core.DatasetInfo(
        builder=builder,
        description=f"{spec.name}, written by jaxticket.",
        features=tfds.features.FeaturesDict(features),
        supervised_keys=("image", "label"),
    )
