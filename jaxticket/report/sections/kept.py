"""Which layers lose their channels: how many each keeps."""

from typing import TYPE_CHECKING

from jaxticket.report import text, theme
from jaxticket.report.axes import legend_below, set_whole_axis
from jaxticket.report.early_birds import KeptChannels, kept_channels
from jaxticket.report.figures import Figure, draw, slug
from jaxticket.report.sections.layers import natural
from jaxticket.report.sections.section import Section, render
from jaxticket.report.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def kept(study: Study) -> Section | None:
    """A panel for each ratio with the early bird and the network pruned after training; None for other studies."""
    entries = kept_channels(study)
    if not entries:
        return None
    seed = entries[0].seed
    shown = [entry for entry in entries if entry.seed == seed and entry.branch in ("eb", "late")]
    figures = [
        _panel(ratio, [entry for entry in shown if entry.ratio == ratio])
        for ratio in dict.fromkeys(entry.ratio for entry in shown)
    ]
    held = sorted({path for entry in entries for path, _, _, is_held in entry.layers if is_held}, key=natural)
    names = sorted((path for path, *_ in shown[0].layers), key=natural) if shown else []
    html = render("kept.html.jinja", figures=figures, held=held, names=names, seed=seed)
    return Section("channels", "Which channels stay", html, tuple(figures))


def _panel(ratio: float, entries: list[KeptChannels]) -> Figure:
    def paint(axes: "Axes") -> None:
        for i, entry in enumerate(entries):
            layers = sorted(entry.layers, key=lambda layer: natural(layer[0]))
            places = range(1, len(layers) + 1)
            if not i:
                axes.step(
                    places, [before for _, before, *_ in layers], where="mid", color=theme.light("muted"), label="all"
                )
            label = {"eb": "early bird", "late": "after training"}[entry.branch]
            axes.plot(
                places,
                [after for _, _, after, _ in layers],
                color=theme.series(i),
                marker=theme.MARKERS[i],
                markersize=4,
                linestyle="-" if not i else (0, (4, 2)),
                label=label,
            )
        set_whole_axis(axes)
        axes.set_ylim(bottom=0)
        axes.set_title(f"{text.share(ratio)} pruned")
        axes.set_xlabel("Normalisation, as numbered below")
        axes.set_ylabel("Channels")
        legend_below(axes)

    label = f"Channels of every normalisation, all and those kept, {text.share(ratio)} pruned"
    return draw(f"channels_p{slug(f'{ratio:g}')}", label, paint, small=True)
