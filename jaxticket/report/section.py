"""What a part of the page is, and how its HTML is made."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from markupsafe import Markup

from jaxticket.core.errors import ConfigError, one_line
from jaxticket.core.lazy import load_object
from jaxticket.report import text
from jaxticket.report.figures import Figure
from jaxticket.report.panels import Panel

if TYPE_CHECKING:
    import jinja2

    from jaxticket.report.study import Study


class Part(Protocol):
    """What a section consists of, see `jaxticket.report.parts`."""

    @property
    def html(self) -> Markup:
        """How it is shown."""
        ...

    @property
    def panels(self) -> Sequence[Panel]:
        """The panels in it, to be written as files too."""
        ...


@dataclasses.dataclass(frozen=True)
class Section:
    """A titled part of the page. Nothing is drawn before its `html` or its `figures` are asked for.

    Attributes:
        name: its id on the page. An experiment's own section takes the place of one that all have by having its name.
        title: its heading; empty for none.
        parts: its content from top to bottom; without any it is not shown, but its files are written.
        tables: name of a CSV file, without `.csv` -> its lines, the first being its heading.
        files: name of another file for the folder of the tables, such as `verdict.json` -> its content.
        said: what is printed below the table in the terminal, a line each.
        after: the section that one of an experiment's own follows, one of those that all experiments have.
    """

    name: str
    title: str
    parts: Sequence[Part] = ()
    tables: Mapping[str, Sequence[Sequence[Any]]] = dataclasses.field(default_factory=dict)
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    said: Sequence[str] = ()
    after: str = "comparisons"

    @functools.cached_property
    def html(self) -> Markup:
        """Its content."""
        return Markup("\n").join(part.html for part in self.parts)

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The figures in it."""
        return tuple(panel.figure for part in self.parts for panel in part.panels)


# Makes a section of a study, or None where it has nothing to say of it.
MakeSection = Callable[["Study"], Section | None]


def own_sections(study: "Study", note: Callable[[str], None] = lambda _: None) -> list[Section]:
    """The sections that the experiment of a study alone has; nothing is drawn.

    Args:
        study: whose.
        note: called with a line for each section that raises, see `left_out_where_it_raises`.
    """
    found = []
    for given in study.experiment.sections if study.experiment else ():
        name = given if isinstance(given, str) else getattr(given, "__name__", repr(given))
        with left_out_where_it_raises(study, name, note):
            section = made(load_object(given), study)
            found += [section] if section is not None else []
    return found


def made(make: MakeSection, study: "Study") -> Section | None:
    """The section of a study, or None where there is nothing to say.

    Raises:
        ConfigError: what was returned is neither.
    """
    section = make(study)
    if section is not None and not isinstance(section, Section):
        raise ConfigError(f"returned {section!r}; must be a Section, or None")
    return section


@contextlib.contextmanager
def left_out_where_it_raises(study: "Study", name: str, note: Callable[[str], None]) -> Iterator[None]:
    """Turns whatever is raised in this context into a line for `note`: a section costs only itself.

    Where the files of the study may be a stranger's it is raised, for then they are to blame.
    """
    try:
        yield
    except Exception as error:
        if not study.intact:
            raise
        note(f"section {name}: {type(error).__name__}: {one_line(error)}")


def render(template: str, package: str = "jaxticket.report", **values: Any) -> Markup:
    """Fills a file in `templates` of the package, or of this one; all values are escaped unless they are `Markup`."""
    return Markup(_environment(package).get_template(template).render(**values))


def spread_note(many: bool) -> str:
    """What lines, bands and dots are, for panels that have them."""
    if many:
        return (
            "Lines are means over seeds, bands or vertical lines go from the lowest to the highest seed, dots are "
            "single networks."
        )
    return "One seed (n = 1), so no spread is shown."


@functools.cache
def _environment(package: str) -> "jinja2.Environment":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(name) for name in dict.fromkeys([package, "jaxticket.report"])]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["text"] = text
    return environment
