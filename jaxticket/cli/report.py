"""One page that compares experiments: accuracy against sparsity, tables, and what sets them apart."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Says which arguments there are."""
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="a --workdir of experiments, or an experiment's own folder"
    )
    parser.add_argument("--out", metavar="FILE.html", help="the page (default: comparison.html in the first folder)")


def run(arguments: argparse.Namespace) -> int:
    """Writes the page and its table."""
    from jaxticket.report.comparison_page import write_comparison

    page = write_comparison(arguments.runs, arguments.out, note=lambda line: print(f"note: {line}"))
    print(f"report   {page}")
    print(f"table    {page.with_suffix('.csv')}")
    return 0
