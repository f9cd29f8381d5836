"""`parquet:PATH[#COLUMN]`: encoded images in Parquet, one file or a folder of them, as Hugging Face writes them."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jaxticket.core.errors import DataError
from jaxticket.data.own.labels import classes_of
from jaxticket.data.own.schemes import SPLITS, DataScheme, LabelledImages, Opened, OwnFiles, register_scheme

if TYPE_CHECKING:
    import pyarrow

_WORD = re.compile(rf"(?:^|[^a-z])({'|'.join(SPLITS)})(?![a-z])")


def find_parquet(place: str, download: bool) -> OwnFiles:
    """The images and labels of Parquet files; see `DataScheme`.

    Raises:
        DataError: there is no such file, or no Parquet file in the folder.
    """
    path, _, column = place.partition("#")
    root = Path(path).expanduser().resolve()
    files = sorted(root.rglob("*.parquet")) if root.is_dir() else [root]
    if not files or not files[0].is_file():
        raise DataError(f"parquet:{path}: there is no such file, nor a folder with files *.parquet")
    splits = {"train": files}
    words = {file: _WORD.findall(file.relative_to(root).as_posix().lower()) for file in files} if root.is_dir() else {}
    if any(words.values()):
        splits = {}
        for file, named in words.items():
            if not named:
                raise DataError(f"{file}: has no train, test or val in its name, as others have; rename or remove it")
            splits.setdefault(SPLITS[named[-1]], []).append(file)
        if "train" not in splits:
            raise DataError(f"parquet:{path}: has files of {', '.join(splits)} but none of train; add them")
    return OwnFiles(str(root), files, lambda: _open(root, splits, column))


def _open(root: Path, splits: dict[str, list[Path]], column: str) -> Opened:
    import pyarrow
    from pyarrow import parquet

    tables, names = {}, []
    for split, files in splits.items():
        for file in files:
            try:
                schema = parquet.read_schema(file)
                image, label = _columns(file, schema, column)
                part = parquet.read_table(file, columns=[image, label]).rename_columns(["image", "label"])
                names = names or _class_names(schema, label)
                tables[split] = pyarrow.concat_tables([tables[split], part]) if split in tables else part
            except (OSError, pyarrow.ArrowException) as error:
                reason = str(error).strip().splitlines()[0]
                raise DataError(
                    f"{file}: cannot be read as Parquet like the others ({reason}); write it again"
                ) from error
    labels = {split: np.asarray(table["label"].to_pylist()) for split, table in tables.items()}
    classes, indices = classes_of(str(root), labels, names)
    return classes, {
        split: LabelledImages(
            indices[split], [f"{split} row {row}" for row in range(len(table))], _reader(table["image"])
        )
        for split, table in tables.items()
    }


def _reader(column: "pyarrow.ChunkedArray"):
    def read(row: int) -> bytes:
        value = column[row].as_py()
        content = value.get("bytes") if isinstance(value, dict) else value
        if content is None:
            raise ValueError("the file has no bytes of it, perhaps a path")
        return content

    return read


def _columns(file: Path, schema: "pyarrow.Schema", column: str) -> tuple[str, str]:
    """The columns of the images and of the labels."""
    from pyarrow import types

    def holds_bytes(kind: "pyarrow.DataType") -> bool:
        return types.is_binary(kind) or types.is_large_binary(kind)

    def is_label(kind: "pyarrow.DataType") -> bool:
        kind = kind.value_type if types.is_dictionary(kind) else kind
        return types.is_integer(kind) or types.is_string(kind) or types.is_large_string(kind) or types.is_boolean(kind)

    images = [
        field.name
        for field in schema
        if holds_bytes(field.type) or (types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0)
    ]
    labels = [field.name for field in schema if is_label(field.type)]
    return choose(file, "images", images, schema.names, ""), choose(file, "labels", labels, schema.names, column)


def choose(where: object, what: str, candidates: list[str], every: list[str], column: str) -> str:
    """The column to take: the one asked for, the only one, or the one that has the usual name.

    Raises:
        DataError: there is none, or which one is not clear.
    """
    usual = [name for name in candidates if name in ("image", "img", "label", "labels")]
    if column and column in candidates:
        return column
    if column or not candidates:
        raise DataError(f"{where}: has no column {column or f'of {what}'!r}; its columns are {', '.join(every)}")
    if len(candidates) > 1 and len(usual) != 1:
        said = "name one at the end, '#COLUMN'" if what == "labels" else "leave only one"
        raise DataError(f"{where}: {what} could be in the columns {', '.join(candidates)}; {said}")
    return usual[0] if len(usual) == 1 else candidates[0]


def _class_names(schema: "pyarrow.Schema", label: str) -> list[str]:
    """The names of the numbers, where Hugging Face left them in the file."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return list(features[label]["names"])
    except (KeyError, TypeError, ValueError):
        return []


register_scheme(DataScheme("parquet", "PATH", find_parquet))
