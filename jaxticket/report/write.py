"""From the files of an experiment's folder to its report."""

from collections.abc import Mapping
from pathlib import Path

from jaxticket.core.errors import JaxticketError
from jaxticket.report.page import make_page
from jaxticket.report.study import read_study
from jaxticket.storage import write_bytes


def write_report(folder: Path | str) -> Path:
    """Writes `report.html`, `figures/*.svg` and `tables/*.csv` from the other files of an experiment's folder.

    Nothing else enters: the same files give the same bytes, whenever and wherever the report is made. Figures and
    tables of an earlier report that are no longer part of it are removed. A study with a verdict also gets it as
    `verdict.json`. Files that were changed after the experiment wrote them are named on the page.

    Args:
        folder: `WORKDIR/<name>-<hash>`, with `summary.json` and, where they exist, `metrics.jsonl` and `config.json`.

    Returns:
        The path of the page.

    Raises:
        JaxticketError: the folder is not that of an experiment, or cannot be written to.
    """
    folder = Path(folder)
    study = read_study(folder)
    with study.blamed(folder):
        page = make_page(study)
    report, decided = folder / "report.html", folder / "verdict.json"
    try:
        _write_all(folder / "figures", ".svg", {f"{figure.name}.svg": figure.svg for figure in page.figures})
        _write_all(folder / "tables", ".csv", page.tables)
        if page.verdict is None:
            decided.unlink(missing_ok=True)
        else:
            write_bytes(decided, page.verdict.encode())
        write_bytes(report, page.html.encode())
    except OSError as error:
        raise JaxticketError(f"{folder}: the report cannot be written there ({error.strerror})") from error
    return report


def _write_all(folder: Path, ending: str, files: Mapping[str, str]) -> None:
    """Writes these files, and removes others with their ending."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        write_bytes(folder / name, content.encode())
    for stale in set(folder.glob(f"*{ending}")) - {folder / name for name in files}:
        stale.unlink()
