"""The results of experiments as a table: a row for each network, for scripts and for pandas."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxticket.core.errors import JaxticketError
from jaxticket.lab.row import COLUMNS, Row
from jaxticket.report.files import find_studies, read_study


@dataclasses.dataclass(frozen=True)
class Results:
    """The networks of experiments in the order of their training, and the folder of the experiment of each."""

    rows: tuple[Row, ...]
    folders: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def to_dict(self) -> dict[str, list[Any]]:
        """Name of a column -> its values, None where there is none; the name of the folder is the first column."""
        known = [row.to_json() for row in self.rows]
        names = dict.fromkeys([*(column.name for column in COLUMNS), *(name for row in known for name in row)])
        columns = {name: [row.get(name) for row in known] for name in names}
        return {"folder": [folder.name for folder in self.folders], **columns}

    def to_pandas(self) -> Any:
        """The same as a data frame of pandas.

        Raises:
            JaxticketError: pandas is not installed.
        """
        try:
            import pandas  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise JaxticketError("to_pandas: pandas is not installed; pip install pandas") from error
        return pandas.DataFrame(self.to_dict())


def load(*folders: Path | str) -> Results:
    """Reads the results of experiments.

    Args:
        *folders: each that of an experiment, `WORKDIR/<name>-<hash>`, or a `--workdir` of several.

    Returns:
        A row for each network, with the columns of `jaxticket.lab.row.COLUMNS` and those of its experiment.

    Raises:
        JaxticketError: a folder holds no experiment, or its files are not what an experiment writes.

    Example:
        >>> import json, pathlib, tempfile
        >>> from jaxticket import report
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> row = {"branch": "imp", "level": 1, "seed": 0, "sparsity": 0.2, "test_accuracy": 0.9}
        >>> _ = (folder / "summary.json").write_text(json.dumps({"rows": [row]}))
        >>> results = report.load(folder)
        >>> [(row.branch, row.test_accuracy) for row in results]
        [('imp', 0.9)]
        >>> results.to_dict()["sparsity"]
        [0.2]
    """
    found = [study for folder in folders for study in find_studies(Path(folder))]
    rows = [(row, folder) for folder in found for row in read_study(folder).rows]
    return Results(tuple(row for row, _ in rows), tuple(folder for _, folder in rows))
