"""What sparse networks cost to run: multiply-accumulates, parameters and, where it was measured, time."""

from collections.abc import Mapping

from jaxticket.report import text
from jaxticket.report.controls import is_control
from jaxticket.report.groups import dense_group, group_rows
from jaxticket.report.panels import BarsPanel
from jaxticket.report.parts import Note, Panels, TablePanel
from jaxticket.report.section import Section
from jaxticket.report.study import Study

_SECONDS = "seconds_per_batch"


def costs_section(study: Study) -> Section | None:
    """The costs of the dense network and of the last level of every branch; None where nothing was counted."""
    return costs_of(study, last_levels(study), "The sparsest level of each branch")


def last_levels(study: Study) -> dict[str, int]:
    """The last level of every sparse branch, controls left out."""
    groups = group_rows(study.rows)
    return {group.branch: group.level for group in groups if group.branch != "dense" and not is_control(group.branch)}


def costs_of(study: Study, levels: Mapping[str, int], which: str) -> Section | None:
    """Bars and a table of the dense network and one level of every branch; None where nothing was counted.

    `which` says which levels these are, the beginning of a sentence.
    """
    groups = group_rows(study.rows)
    shown = [group for group in groups if levels.get(group.branch) == group.level and group.spread("macs").n]
    if not shown:
        return None
    dense = dense_group(groups)
    whole = shown[0].mean("macs_dense") or (dense.mean("macs") if dense else None)
    bars = [] if whole is None else [("dense", whole, text.amount(whole))]
    for group in shown:
        macs = group.mean("macs") or 0.0
        bars.append((group.branch, macs, text.amount(macs) + (f" ({text.share(macs / whole)})" if whole else "")))
    panels = [_bars("macs", "Multiply-accumulates", bars)]
    timed = [(group, seconds) for group in [*([dense] if dense else []), *shown] if (seconds := group.mean(_SECONDS))]
    if timed:
        times = [(group.branch, seconds, f"{1000 * seconds:.3g} ms") for group, seconds in timed]
        panels.append(_bars("times", "Time of a batch", times))
    parameters = study.part("model").get("parameters")
    rows = [["dense", "0", "100%", text.amount(whole), "100%", f"{parameters:,}" if parameters else None]]
    for group in shown:
        macs, shrunk = group.mean("macs") or 0.0, group.mean("parameters_shrunk")
        share = text.share(macs / whole) if whole else None
        cut = None if shrunk is None else f"{shrunk:,.0f}"
        rows.append([group.branch, f"{group.level}", text.remaining(group.remaining), text.amount(macs), share, cut])
    head = ["branch", "level", "remaining", "multiply-accumulates", "of dense", "parameters when cut out"]
    if timed:
        head.append("ms per batch")
        for row, group in zip(rows, [dense, *shown], strict=True):
            seconds = group.mean(_SECONDS) if group else None
            row.append(f"{1000 * seconds:.3g}" if seconds else None)
    note = (
        f"{which}; means over seeds. Multiply-accumulates are those of one image. Where channels are gone the network "
        "that is left without them is counted; otherwise every kept weight at each position where it is used, which is "
        "what a program that skips the others has to do. Scattered weights save no time in a dense program."
    )
    if not timed:
        note += " No running time was measured."
    table = TablePanel("Cost of the dense network and of one level of each branch", head, rows)
    return Section("costs", "What it costs to run", (Note(note), Panels(panels), table))


def _bars(name: str, title: str, bars: list[tuple[str, float, str]]) -> BarsPanel:
    return BarsPanel(name, title, f"{title}: " + ", ".join(f"{of} {label}" for of, _, label in bars), bars=bars)
