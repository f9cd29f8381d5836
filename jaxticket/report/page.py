"""The page of an experiment: its sections in order, in one self-contained HTML document."""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from jaxticket.core.duration_text import duration_text
from jaxticket.core.errors import ConfigError
from jaxticket.core.options import must_be_one_of
from jaxticket.lab.row import number
from jaxticket.report import text, theme
from jaxticket.report.figures import Figure
from jaxticket.report.groups import comparable_groups, group_rows
from jaxticket.report.registry import NamedSection, sections
from jaxticket.report.section import Section, left_out_where_it_raises, made, own_sections, render
from jaxticket.report.spreadsheets import to_csv
from jaxticket.report.study import Study


@dataclasses.dataclass(frozen=True)
class Page:
    """A finished page.

    Attributes:
        html: the document.
        figures: the drawings in it.
        tables: name -> content of the files of numbers.
        left_out: a line for each section that raised.
    """

    html: str
    figures: tuple[Figure, ...]
    tables: Mapping[str, str]
    left_out: tuple[str, ...] = ()


def make_page(study: Study) -> Page:
    """Makes the page of a study; the same study gives the same bytes."""
    left_out: list[str] = []
    found: list[Section] = []
    for section in make_sections(study, left_out.append):
        with left_out_where_it_raises(study, section.name, left_out.append):
            _draw(section)
            found.append(section)
    tables = make_tables(found)
    shown, config_hash = [section for section in found if section.parts], study.summary.get("config_hash")
    experiment = study.experiment
    html = render(
        "page.html.jinja",
        name=study.name,
        folder=f"{study.name}-{config_hash}" if config_hash else study.name,
        title=experiment.title if experiment else str(study.summary.get("experiment") or "experiment"),
        subtitle=_subtitle(study),
        complete=study.complete,
        standing=_standing(study),
        left_out=left_out,
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
    return Page(str(html), tuple(figure for section in shown for figure in section.figures), tables, tuple(left_out))


def make_sections(study: Study, note: Callable[[str], None] = lambda _: None) -> Iterator[Section]:
    """The sections of a study from top to bottom.

    Those that all experiments have come in the order of their registry. An experiment's own section takes the place of
    one of them by its name, or follows the one it names. `note` is called with a line for
    each that raises or is refused.
    """
    own: dict[str, Section] = {}
    for section in own_sections(study, note):
        with left_out_where_it_raises(study, section.name, note):
            _check(section, own)
            own[section.name] = section
    for row in sections:
        section = own.get(row.name) or _checked(row, study, own, note)
        if section is not None:
            yield section
        yield from (one for one in own.values() if one.after == row.name and one.name not in sections)


def _checked(row: NamedSection, study: Study, own: Collection[str], note: Callable[[str], None]) -> Section | None:
    """The section of a row; None where it has nothing to say, raises or is refused."""
    with left_out_where_it_raises(study, row.name, note):
        section = made(row.make, study)
        if section is not None:
            _check(section, {*own, *sections.names()} - {row.name})
        return section
    return None


def _check(section: Section, others: Collection[str]) -> None:
    """Refuses an id that another section has, and a section to follow that there is not."""
    if section.name in others:
        raise ConfigError(f"there is another section of the id {section.name!r}; choose another name")
    if section.after not in sections:
        raise ConfigError(f"after={section.after!r}: {must_be_one_of(section.after, sections.names())}")


def _draw(section: Section) -> None:
    """Makes all of a section that can raise."""
    for part in section.parts:
        if not hasattr(part, "html"):
            raise ConfigError(f"its part {part!r} is a {type(part).__name__}; must be a Note, Panels, TablePanel, ...")
    _ = section.html, [figure.svg for figure in section.figures], make_tables([section])


def make_tables(found: Iterable[Section]) -> dict[str, str]:
    """The files of numbers that come with sections: name -> content. Nothing is drawn."""
    found = list(found)
    tables = {f"{name}.csv": to_csv(lines) for one in found for name, lines in one.tables.items() if len(lines) > 1}
    return tables | {name: content for one in found for name, content in one.files.items()}


def _standing(study: Study) -> str:
    """How far a run was when it wrote its summary; empty where that is not known."""
    progress = study.part("progress")
    networks, finished, seconds = (number(progress.get(name)) for name in ("networks", "finished", "seconds_left"))
    if networks is None or finished is None:
        return ""
    state = "was stopped" if progress.get("stopped") else "was going on when this page was written"
    left = f", about {duration_text(seconds)} left at the rate so far" if seconds else ""
    return f"The run {state}: {finished:.0f} of {text.count_text(int(networks), 'network')} trained{left}."


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
