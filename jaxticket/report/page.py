"""The page of an experiment: its sections in order, in one self-contained HTML document."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping

from jaxticket.report import text, theme
from jaxticket.report.figures import Figure
from jaxticket.report.groups import comparable_groups, group_rows
from jaxticket.report.registry import sections
from jaxticket.report.section import Section, own_sections, render
from jaxticket.report.spreadsheets import to_csv
from jaxticket.report.study import Study


@dataclasses.dataclass(frozen=True)
class Page:
    """A finished page: the document, the drawings in it, and name -> content of the files of numbers."""

    html: str
    figures: tuple[Figure, ...]
    tables: Mapping[str, str]


def make_page(study: Study) -> Page:
    """Makes the page of a study; the same study gives the same bytes."""
    found = list(make_sections(study))
    tables = make_tables(found)
    shown, config_hash = [made for made in found if made.parts], study.summary.get("config_hash")
    experiment = study.experiment
    html = render(
        "page.html.jinja",
        name=study.name,
        folder=f"{study.name}-{config_hash}" if config_hash else study.name,
        title=experiment.title if experiment else str(study.summary.get("experiment") or "experiment"),
        subtitle=_subtitle(study),
        complete=study.complete,
        left_out=(),
        notes=study.notes,
        warnings=[study.warning] if study.warning else [],
        rows=study.rows,
        networks=text.count_text(len(study.rows), "network"),
        command=str(study.summary.get("command") or ""),
        sections=shown,
        files=[f"tables/{name}" for name in tables],
        colours=theme.COLOURS,
        version=str(study.part("versions").get("jaxticket") or ""),
    )
    return Page(str(html), tuple(figure for made in shown for figure in made.figures), tables)


def make_sections(study: Study) -> Iterator[Section]:
    """The sections of a study from top to bottom.

    Those that all experiments have come in the order of their registry. An experiment's own section takes the place of
    one of them by its name, or follows the one it names.
    """
    own = {made.name: made for made in own_sections(study)}
    for row in sections:
        instead = own.get(row.name)
        if instead is not None:
            yield instead
        elif (made := row.make(study)) is not None:
            yield made
        yield from (made for made in own.values() if made.after == row.name and made.name not in sections)


def make_tables(found: Iterable[Section]) -> dict[str, str]:
    """The files of numbers that come with sections: name -> content. Nothing is drawn."""
    found = list(found)
    tables = {f"{name}.csv": to_csv(lines) for made in found for name, lines in made.tables.items() if len(lines) > 1}
    return tables | {name: content for made in found for name, content in made.files.items()}


def _subtitle(study: Study) -> str:
    levels = len({row.level for row in study.rows if row.branch != "dense"})
    seeds = len({row.seed for row in study.rows})
    groups = comparable_groups(group_rows(study.rows))
    counts = [
        text.count_text(found, column.title)
        for column in study.columns
        if column.case and (found := len({group.case[column.name] for group in groups if column.name in group.case}))
    ]
    if levels > 1:
        counts.append(text.count_text(levels, "level"))
    if seeds:
        counts.append(text.count_text(seeds, "seed"))
    return ", ".join(filter(None, [study.setting, *counts]))
