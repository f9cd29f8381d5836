"""The sections of reports: those that every experiment has, in order of the page, and where an experiment's own are."""

import dataclasses

from jaxticket.core.checks import shown
from jaxticket.core.errors import ConfigError
from jaxticket.core.registry import Registry
from jaxticket.report.section import MakeSection
from jaxticket.report.sections.accuracy import accuracy_section
from jaxticket.report.sections.comparisons import comparisons_section
from jaxticket.report.sections.costs import costs_section
from jaxticket.report.sections.curves import curves_section
from jaxticket.report.sections.headline import headline_section
from jaxticket.report.sections.layers import layers_section
from jaxticket.report.sections.provenance import provenance_section
from jaxticket.report.sections.table import table_section


@dataclasses.dataclass(frozen=True)
class NamedSection:
    """A section that every experiment has: its id on the page, and what makes it from a study."""

    name: str
    make: MakeSection

    def __post_init__(self) -> None:
        """Refuses what cannot be called."""
        if not callable(self.make):
            raise ConfigError(f"section of reports {self.name!r}: make={shown(self.make)}: must be a function")


_OWN = (
    NamedSection("found", headline_section),
    NamedSection("accuracy", accuracy_section),
    NamedSection("comparisons", comparisons_section),
    NamedSection("costs", costs_section),
    NamedSection("training", curves_section),
    NamedSection("layers", layers_section),
    NamedSection("numbers", table_section),
    NamedSection("made", provenance_section),
)
sections: Registry[NamedSection] = Registry("section of reports", NamedSection, lambda: _OWN)


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
