"""What an experiment found: figures, a page, tables for the terminal and for pandas, made from its folder alone."""

from typing import TYPE_CHECKING

from jaxticket.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxticket.report.axis import Axis as Axis
    from jaxticket.report.comparison_page import write_comparison as write_comparison
    from jaxticket.report.panels import BarsPanel as BarsPanel
    from jaxticket.report.panels import HeatmapPanel as HeatmapPanel
    from jaxticket.report.panels import Level as Level
    from jaxticket.report.panels import Line as Line
    from jaxticket.report.panels import LinesPanel as LinesPanel
    from jaxticket.report.parts import Note as Note
    from jaxticket.report.parts import Panels as Panels
    from jaxticket.report.parts import TablePanel as TablePanel
    from jaxticket.report.points import lines_by as lines_by
    from jaxticket.report.registry import register_section as register_section
    from jaxticket.report.results import Results as Results
    from jaxticket.report.results import load as load
    from jaxticket.report.section import Section as Section
    from jaxticket.report.study import Study as Study
    from jaxticket.report.terminal import print_table as print_table
    from jaxticket.report.write import write_report as write_report

__getattr__, __dir__, __all__ = lazy_exports(__name__)
