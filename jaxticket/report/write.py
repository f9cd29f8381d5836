"""From the files of an experiment's folder to its report."""

from pathlib import Path

from jaxticket.core.errors import JaxticketError
from jaxticket.report.page import make_page
from jaxticket.report.study import read_study
from jaxticket.storage import write_bytes


def write_report(folder: Path | str) -> Path:
    """Writes `report.html` and `figures/*.svg` from the other files of an experiment's folder.

    Nothing else enters: the same files give the same bytes, whenever and wherever the report is made. Figures of an
    earlier report that are no longer part of it are removed.

    Args:
        folder: `WORKDIR/<name>-<hash>`, with `summary.json` and, where they exist, `metrics.jsonl` and `config.json`.

    Returns:
        The path of the page.

    Raises:
        JaxticketError: the folder is not that of an experiment, or cannot be written to.
    """
    folder = Path(folder)
    page = make_page(read_study(folder))
    figures, report = folder / "figures", folder / "report.html"
    try:
        figures.mkdir(exist_ok=True)
        for figure in page.figures:
            write_bytes(figures / f"{figure.name}.svg", figure.svg.encode())
        for stale in set(figures.glob("*.svg")) - {figures / f"{figure.name}.svg" for figure in page.figures}:
            stale.unlink()
        write_bytes(report, page.html.encode())
    except OSError as error:
        raise JaxticketError(f"{folder}: the report cannot be written there ({error.strerror})") from error
    return report
