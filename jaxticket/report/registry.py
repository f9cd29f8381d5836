"""The sections of reports: those that every experiment has, in order of the page, and where an experiment's own are."""

import dataclasses
from collections.abc import Callable, Iterator

from jaxticket.core.registry import Registry
from jaxticket.report.section import MakeSection, Section
from jaxticket.report.sections.accuracy import accuracy
from jaxticket.report.sections.comparisons import compared
from jaxticket.report.sections.costs import costs
from jaxticket.report.sections.curves import curves
from jaxticket.report.sections.headline import headline
from jaxticket.report.sections.layers import layers
from jaxticket.report.sections.provenance import provenance
from jaxticket.report.sections.table import table
from jaxticket.report.study import Study


@dataclasses.dataclass(frozen=True)
class NamedSection:
    """A section that every experiment has: its id on the page, and what makes it from a study."""

    name: str
    make: Callable[[Study], Section | None]


def _own() -> Iterator[NamedSection]:
    yield NamedSection("found", headline)
    yield NamedSection("accuracy", accuracy)
    yield NamedSection("comparisons", compared)
    yield NamedSection("costs", costs)
    yield NamedSection("training", curves)
    yield NamedSection("layers", layers)
    yield NamedSection("numbers", table)
    yield NamedSection("made", provenance)


sections: Registry[NamedSection] = Registry("section of reports", _own)


def register_section(name: str, make: MakeSection) -> None:
    """Adds a section to the report of every experiment, below those there are.

    A section of one experiment alone is named by the `sections` of its `Experiment` instead.

    Args:
        name: its id on the page.
        make: called with a `Study`; returns a `Section` of that name, or None where it has nothing to say.

    Raises:
        ConfigError: there is another section of that name.
    """
    sections.register(NamedSection(name, make))


def own_sections(study: Study) -> list[MakeSection]:
    """What makes the sections that the experiment of a study alone has."""
    return study.experiment.load_sections() if study.experiment else []
