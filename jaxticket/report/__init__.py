"""What an experiment found: figures, a page to read and a table for the terminal, made from its folder alone."""

from typing import TYPE_CHECKING

from jaxticket.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxticket.report.comparison_page import write_comparison as write_comparison
    from jaxticket.report.terminal import print_table as print_table
    from jaxticket.report.write import write_report as write_report

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "comparison_page": ("write_comparison",),
        "terminal": ("print_table",),
        "write": ("write_report",),
    },
)
