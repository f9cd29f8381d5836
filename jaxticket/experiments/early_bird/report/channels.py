"""Which layers lose their channels: how many each keeps."""

import dataclasses

from markupsafe import Markup

from jaxticket.report import Axis, Section, Study, text, theme
from jaxticket.report.figures import slug
from jaxticket.report.panels import Line, LinesPanel, Panel
from jaxticket.report.parts import Collapsible, Note, Panels, code
from jaxticket.report.sections.layers import natural


@dataclasses.dataclass(frozen=True)
class LayerChannels:
    """The channels behind one normalisation; `held` if it would have kept none or too few."""

    path: str
    before: int
    after: int
    held: bool


@dataclasses.dataclass(frozen=True)
class KeptChannels:
    """The channels of every layer before and after a draw."""

    branch: str
    level: int
    seed: int
    ratio: float
    layers: tuple[LayerChannels, ...]


def kept_channels_section(study: Study) -> Section | None:
    """A panel for each ratio with the channels of the early bird and of the network pruned after training."""
    entries = study.records("channels", KeptChannels)
    if not entries:
        return None
    seed = entries[0].seed
    shown = [entry for entry in entries if entry.seed == seed and entry.branch in ("eb", "late")]
    by_ratio = {ratio: [one for one in shown if one.ratio == ratio] for ratio in {one.ratio: None for one in shown}}
    held = sorted({layer.path for entry in entries for layer in entry.layers if layer.held}, key=natural)
    names = sorted((layer.path for layer in shown[0].layers), key=natural) if shown else []
    note = f"Channels behind each normalisation, of all and of those that the ticket keeps; seed {seed}."
    if held:
        note += (
            f" Nothing, or too little, would have been left of {text.listing(held)}: the channels with the largest "
            "scales stay there all the same."
        )
    numbered = Markup(", ").join(Markup("{} {}").format(i, code(name)) for i, name in enumerate(names, 1))
    fold = Collapsible(f"{text.count_text(len(names), 'normalisation')} by number", [Note(numbered)])
    panels: list[Panel] = [_channels(ratio, found) for ratio, found in by_ratio.items()]
    lines = [("branch", "level", "ratio", "seed", "normalisation", "before", "after", "held")]
    lines += [
        (one.branch, one.level, one.ratio, one.seed, *dataclasses.astuple(layer))
        for one in entries
        for layer in one.layers
    ]
    tables = {"channels": lines}
    return Section("channels", "Which channels stay", (Note(note), Panels(panels), fold), tables)


def _channels(ratio: float, entries: list[KeptChannels]) -> LinesPanel:
    lines = []
    for i, entry in enumerate(entries):
        layers = list(enumerate(sorted(entry.layers, key=lambda layer: natural(layer.path)), 1))
        if not i:
            steps = [(at, layer.before) for number, layer in layers for at in (number - 0.5, number + 0.5)]
            lines.append(Line("all", steps, theme.light("muted"), ""))
        label = {"eb": "early bird", "late": "after training"}[entry.branch]
        style = theme.DASHED if i else "-"
        points = [(number, layer.after) for number, layer in layers]
        lines.append(Line(label, points, theme.series(i), theme.marker(i), style, size=4))
    return LinesPanel(
        f"channels_p{slug(f'{ratio:g}')}",
        f"{text.share(ratio)} pruned",
        f"Channels of every normalisation, all and those kept, {text.share(ratio)} pruned",
        Axis("Normalisation, as numbered below", "whole"),
        Axis("Channels", low=0),
        lines=lines,
    )
