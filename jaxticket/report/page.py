"""The page of an experiment: its sections in order, in one self-contained HTML document."""

import dataclasses
from collections.abc import Callable, Mapping

from jaxticket.report import text, theme
from jaxticket.report.figures import Figure
from jaxticket.report.sections.accuracy import accuracy
from jaxticket.report.sections.aids import aids
from jaxticket.report.sections.comparisons import compared
from jaxticket.report.sections.controls import controls
from jaxticket.report.sections.correlation import correlation
from jaxticket.report.sections.costs import costs
from jaxticket.report.sections.curves import curves
from jaxticket.report.sections.draws import draws
from jaxticket.report.sections.emergence import emergence
from jaxticket.report.sections.headline import headline
from jaxticket.report.sections.heatmaps import heatmaps
from jaxticket.report.sections.instability import instability
from jaxticket.report.sections.kept import kept
from jaxticket.report.sections.layers import layers
from jaxticket.report.sections.overlap import overlap
from jaxticket.report.sections.partitions import partitions
from jaxticket.report.sections.provenance import provenance
from jaxticket.report.sections.rates import rates
from jaxticket.report.sections.rounds import rounds
from jaxticket.report.sections.section import Section, render
from jaxticket.report.sections.silence import silence
from jaxticket.report.sections.structure import structure
from jaxticket.report.sections.table import table
from jaxticket.report.sections.verdict import verdict
from jaxticket.report.sections.winning import winning
from jaxticket.report.study import Study
from jaxticket.report.tables import make_tables, verdict_json

# In the order of the page. A section that has nothing to say of a study is left out.
SECTIONS: tuple[Callable[[Study], Section | None], ...] = (
    verdict,
    winning,
    headline,
    aids,
    emergence,
    draws,
    rates,
    accuracy,
    rounds,
    partitions,
    controls,
    compared,
    costs,
    structure,
    kept,
    heatmaps,
    correlation,
    instability,
    overlap,
    silence,
    curves,
    layers,
    table,
    provenance,
)
TITLES = {
    "colt": "Cyclic overlapping lottery tickets",
    "early_bird": "Early-bird tickets",
    "imp": "Iterative magnitude pruning",
    "sanity": "Sanity checks",
    "structured": "Structurally sparse tickets",
    "tost": "Sparse training with aids",
    "train": "Training",
    "transfer": "Tickets on another data set",
}


@dataclasses.dataclass(frozen=True)
class Page:
    """A finished page.

    Attributes:
        html: the document.
        figures: the drawings in it.
        tables: name of a CSV file -> its content.
        verdict: the content of `verdict.json`; None for a study without one.
    """

    html: str
    figures: tuple[Figure, ...]
    tables: Mapping[str, str]
    verdict: str | None


def make_page(study: Study) -> Page:
    """Makes the page of a study; the same study gives the same bytes."""
    summary = study.summary
    tables, decided = make_tables(study), verdict_json(study)
    sections = [section for make in SECTIONS if (section := make(study)) is not None]
    experiment = str(summary.get("experiment") or "experiment")
    name = str(summary.get("name") or experiment)
    html = render(
        "page.html.jinja",
        name=name,
        folder=f"{name}-{summary['config_hash']}" if summary.get("config_hash") else name,
        title=TITLES.get(experiment, experiment),
        subtitle=_subtitle(study),
        complete=study.complete,
        left_out=(),
        notes=study.notes,
        warnings=[study.warning] if study.warning else [],
        rows=study.rows,
        networks=text.count(len(study.rows), "network"),
        command=str(summary.get("command") or ""),
        sections=sections,
        files=[*(f"tables/{table}" for table in tables), *(["verdict.json"] if decided else [])],
        colours=theme.COLOURS,
        version=str(study.part("versions").get("jaxticket") or ""),
    )
    figures = tuple(figure for section in sections for figure in section.figures)
    return Page(str(html), figures, tables, decided)


def _subtitle(study: Study) -> str:
    model, dataset = study.part("model").get("name"), study.part("dataset").get("name")
    said = f"{model} on {dataset}" if model and dataset else str(model or dataset or "")
    levels = len({row.level for row in study.rows if row.branch != "dense"})
    seeds = len({row.seed for row in study.rows})
    lrs = len({row.case["lr"] for row in study.rows if "lr" in row.case})
    counts = []
    if lrs:
        counts.append(text.count(lrs, "learning rate"))
    if levels > 1:
        counts.append(text.count(levels, "level"))
    if seeds:
        counts.append(text.count(seeds, "seed"))
    return ", ".join(filter(None, [said, *counts]))
