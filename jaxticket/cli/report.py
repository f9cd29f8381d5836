"""The report of a run, or one page that compares several: accuracy against sparsity, tables, what sets them apart."""

import argparse
from pathlib import Path

from jaxticket.core.errors import ConfigError, JaxticketError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Says which arguments there are."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="an experiment's own folder, whose report is written again; or a --workdir of experiments, or several "
        "folders, which are compared",
    )
    parser.add_argument(
        "--out",
        metavar="FILE.html",
        help="the page that compares, also of a single run (default: comparison.html in the first folder)",
    )
    parser.add_argument(
        "--figures",
        metavar="FORMAT",
        default="",
        help="pdf, png or pdf,png: write figures in these formats too, those of every run and those that compare",
    )


def run(arguments: argparse.Namespace) -> int:
    """Writes the pages, and says where."""
    from jaxticket.report.comparison_page import write_comparison
    from jaxticket.report.figures import FORMATS
    from jaxticket.report.files import find_studies
    from jaxticket.report.write import write_report

    formats = tuple(filter(None, arguments.figures.split(",")))
    if wrong := set(formats) - set(FORMATS):
        raise ConfigError(f"--figures={arguments.figures}: {min(wrong)!r} is no format; must be pdf, png or pdf,png")
    if arguments.out and not arguments.out.endswith(".html"):
        raise ConfigError(f"--out={arguments.out}: must be a page, such as comparison.html")
    folders = [folder for path in arguments.runs for folder in find_studies(Path(path))]
    if folders == [Path(arguments.runs[0])] and not arguments.out:
        print(f"report   {write_report(folders[0], _note, formats=formats)}")
        return 0
    page = write_comparison(arguments.runs, arguments.out, formats=formats, note=_note)
    for folder in folders if formats else ():
        try:
            print(f"report   {write_report(folder, _note, formats=formats)}")
        except JaxticketError as error:  # which the page that compares leaves out as well
            _note(str(error))
    print(f"report   {page}")
    print(f"table    {page.with_suffix('.csv')}")
    return 0


def _note(line: str) -> None:
    print(f"note: {line}")
