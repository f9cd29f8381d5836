"""From the files of an experiment's folder to its report."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from jaxticket.core.errors import JaxticketError
from jaxticket.report.figures import FORMATS, Figure
from jaxticket.report.files import read_study
from jaxticket.report.page import make_page
from jaxticket.storage import write_bytes


def write_report(
    folder: Path | str, note: Callable[[str], None] = lambda _: None, *, formats: Sequence[str] = ()
) -> Path:
    """Writes `report.html`, `figures/*.svg` and `tables/*` from the other files of an experiment's folder.

    Nothing else enters: the same files give the same bytes, whenever and wherever the report is made. Figures and
    tables of an earlier report that are no longer part of it are removed. Files that were changed after the experiment
    wrote them are named on the page.

    Args:
        folder: `WORKDIR/<name>-<hash>`, with `summary.json` and, where they exist, `metrics.jsonl` and `config.json`.
        note: called with a line for each section that raised, and is left out.
        formats: in which figures are written as well, `pdf` or `png`; those of an earlier report are written again.

    Returns:
        The path of the page.

    Raises:
        JaxticketError: the folder is not that of an experiment, or cannot be written to.
    """
    folder = Path(folder)
    study = read_study(folder)
    with study.blamed(folder):
        page = make_page(study)
    report = folder / "report.html"
    try:
        write_figures(folder / "figures", page.figures, formats)
        _write_all(folder / "tables", {name: table.encode() for name, table in page.tables.items()})
        write_bytes(report, page.html.encode())
    except OSError as error:
        raise JaxticketError(f"{folder}: the report cannot be written there ({error.strerror})") from error
    for line in page.left_out:
        note(f"{line}; the report is without it")
    return report


def write_figures(folder: Path, figures: Iterable[Figure], formats: Sequence[str] = ()) -> None:
    """Writes figures as SVG, and as `formats` and what of these is in the folder already, and removes those of before.

    Raises:
        OSError: the operating system refuses.
        TicketError: likewise.
    """
    formats = [one for one in FORMATS if one in formats or any(folder.glob(f"*.{one}"))]
    _write_all(folder, {name: data for figure in figures for name, data in figure.files(formats).items()})


def _write_all(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes these files, and removes others of their kinds."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        write_bytes(folder / name, content)
    for path in folder.iterdir():
        if path.suffix in (".svg", ".pdf", ".png", ".csv", ".json") and path.name not in files:
            path.unlink()
