"""What sections consist of: notes, panels side by side, tables, folds, tiles."""

import dataclasses
from collections.abc import Collection, Sequence

from markupsafe import Markup, escape

from jaxticket.report import text
from jaxticket.report.groups import Spread
from jaxticket.report.panels import Panel
from jaxticket.report.section import Part

# What a cell of a table may be: a text, or HTML; None is a dash.
TableCell = str | Markup | None


@dataclasses.dataclass(frozen=True)
class Html:
    """HTML as it is, such as a template that was filled."""

    html: Markup
    panels: Sequence[Panel] = ()


@dataclasses.dataclass(frozen=True)
class Note:
    """A paragraph in small type that explains; with `claim` one in large type that says what was found."""

    content: str | Markup
    claim: bool = False
    panels = ()

    @property
    def html(self) -> Markup:
        """The paragraph."""
        return Markup('<p class="{}">{}</p>').format("claim" if self.claim else "note", self.content)


@dataclasses.dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    content: str | Markup
    panels = ()

    @property
    def html(self) -> Markup:
        """The heading."""
        return Markup("<h3>{}</h3>").format(self.content)


@dataclasses.dataclass(frozen=True)
class Panels:
    """Panels side by side; `kind` is a further class of HTML."""

    panels: Sequence[Panel]
    kind: str = ""

    @property
    def html(self) -> Markup:
        """The panels, empty for none."""
        if not self.panels:
            return Markup()
        kinds = ["panels", self.kind, "small" * self.panels[0].small, "single" * (len(self.panels) == 1)]
        figures = Markup("\n").join(
            Markup('<figure id="{}">\n{}\n</figure>').format(panel.name, panel.figure.inline) for panel in self.panels
        )
        return Markup('<div class="{}">\n{}\n</div>').format(" ".join(filter(None, kinds)), figures)


@dataclasses.dataclass(frozen=True)
class Collapsible:
    """Parts behind a line that opens them."""

    summary: str
    parts: Sequence[Part]
    is_open: bool = False

    @property
    def panels(self) -> Sequence[Panel]:
        """Those of its parts."""
        return [panel for part in self.parts for panel in part.panels]

    @property
    def html(self) -> Markup:
        """The line and the parts."""
        content = Markup("\n").join(part.html for part in self.parts)
        opened = Markup(" open" if self.is_open else "")
        return Markup("<details{}>\n<summary>{}</summary>\n{}\n</details>").format(opened, self.summary, content)


@dataclasses.dataclass(frozen=True)
class TablePanel:
    """A table that scrolls where it is too wide.

    Attributes:
        label: what it shows, for those who cannot see it.
        head: the headings, texts or HTML.
        rows: their cells; the first is the heading of its row.
        left: headings of columns of words, which are flush left; numbers are flush right. None is the first one.
        marked: numbers of the rows that stand out.
        kind: a further class of HTML.
    """

    label: str
    head: Sequence[TableCell]
    rows: Sequence[Sequence[TableCell]]
    left: Collection[str] | None = None
    marked: Collection[int] = ()
    kind: str = ""
    panels = ()

    @property
    def html(self) -> Markup:
        """The table."""
        left = {self.head[0]} if self.left is None else self.left
        classes = [Markup("" if name in left else ' class="num"') for name in self.head]
        head = Markup().join(
            Markup('<th scope="col"{}>{}</th>').format(of, name) for name, of in zip(self.head, classes, strict=True)
        )
        lines = []
        for i, (first, *cells) in enumerate(self.rows):
            marked = Markup(' class="match"' if i in self.marked else "")
            start = Markup('<tr{}><th scope="row"{}>{}</th>').format(marked, classes[0], _shown(first))
            pairs = zip(cells, classes[1:], strict=True)
            lines.append(start + Markup().join(_data(cell, of) for cell, of in pairs) + Markup("</tr>"))
        kind = Markup(' class="{}"').format(self.kind) if self.kind else Markup()
        return Markup(
            '<div class="scroll" tabindex="0" role="region" aria-label="{}">\n<table{}>\n<thead><tr>{}</tr></thead>\n'
            "<tbody>\n{}\n</tbody>\n</table>\n</div>"
        ).format(self.label, kind, head, Markup("\n").join(lines))


@dataclasses.dataclass(frozen=True)
class Tile:
    """A number in a box: `what` it is, its `value`, and a `detail` below."""

    what: str
    value: str
    detail: str
    lead: bool = False
    word: bool = False


@dataclasses.dataclass(frozen=True)
class Tiles:
    """Tiles side by side."""

    tiles: Sequence[Tile]
    panels = ()

    @property
    def html(self) -> Markup:
        """The tiles."""
        boxes = [
            Markup(
                '<div class="tile{}"><span class="what">{}</span><span class="value{}">{}</span>\n'
                '<span class="detail">{}</span></div>'
            ).format(" lead" * tile.lead, tile.what, " word" * tile.word, tile.value, tile.detail)
            for tile in self.tiles
        ]
        return Markup('<div class="tiles">\n{}\n</div>').format(Markup("\n").join(boxes))


def accuracy_tile(what: str, values: Spread, detail: str = "", **options: bool) -> Tile:
    """A tile of a mean accuracy, with its standard deviation and the number of seeds."""
    spread = "" if values.std is None else f"± {values.std:.4f}, "
    return Tile(what, text.accuracy_text(values.mean), f"{spread}n = {values.n}{detail}", **options)


def spread_cell(values: Spread) -> Markup:
    """A cell of mean and standard deviation, with n where it is not the n of the row."""
    found = escape(text.accuracy_text(values.mean))
    if values.std is not None:
        found += Markup(' <span class="pm">± {:.4f}</span>').format(values.std)
    if values.missing and values.n:
        found += Markup(' <span class="pm">(n = {})</span>').format(values.n)
    return found


def code(name: str) -> Markup:
    """A name in the type of code."""
    return Markup("<code>{}</code>").format(name)


def wrapped(words: str) -> Markup:
    """A cell of many words, in several lines."""
    return Markup('<span class="wrap">{}</span>').format(words)


def strong(name: str) -> Markup:
    """A name that stands out."""
    return Markup("<strong>{}</strong>").format(name)


def _shown(cell: TableCell) -> str | Markup:
    return text.NOTHING if cell is None else cell


def _data(cell: TableCell, of: Markup) -> Markup:
    return Markup("<td{}>{}</td>").format(of, _shown(cell))
