"""What every part of the page is, and how its HTML is made."""

import dataclasses
import functools
from typing import Any

import jinja2
from markupsafe import Markup

from jaxticket.report import text
from jaxticket.report.figures import Figure


@dataclasses.dataclass(frozen=True)
class Section:
    """A titled part of the page.

    Attributes:
        name: its id on the page.
        title: its heading; empty for none.
        html: its content, the figures included.
        figures: those in it, to be written as files too.
    """

    name: str
    title: str
    html: Markup
    figures: tuple[Figure, ...] = ()


def render(template: str, **values: Any) -> Markup:
    """Fills a template of this package; all values are escaped unless they are `Markup`."""
    return Markup(_environment().get_template(template).render(**values))


def spread_note(many: bool) -> str:
    """What lines, bands and dots are, for figures that have them."""
    if many:
        return "Lines are means over seeds, bands go from the lowest to the highest seed, dots are single networks."
    return "One seed (n = 1), so no spread is shown."


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("jaxticket.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["text"] = text
    return environment
