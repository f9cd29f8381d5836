"""How silent networks with several activations are, what their masks have in common, and which filters are empty."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxticket.report import text, theme
from jaxticket.report.aided import Filters, MaskDistances, Silence, filters, mask_distances, silences
from jaxticket.report.axes import legend_below, set_whole_axis
from jaxticket.report.figures import Figure, draw, slug
from jaxticket.report.sections.section import Section, render
from jaxticket.report.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 60


def silence(study: Study) -> Section | None:
    """Rates by layer and over training, a map of mask distances, empty filters; None for other studies."""
    found, empty, distances = silences(study), filters(study), mask_distances(study)
    if not found:
        return None
    last = list({entry.activation: entry for entry in found}.values())
    figures = [_by_layer(last)]
    if len(found) > len(last):
        figures.append(_over_training(found))
    if distances is not None and len(distances.names) > 1:
        figures.append(_map(distances))
    sparsest = [one for one in empty if one.sparsity == max(other.sparsity for other in empty)]
    if sparsest:
        figures += [_histogram(sparsest), *(_kernels(one) for one in sparsest)]
    sparsities = sorted({one.sparsity for one in empty})
    html = render(
        "silence.html.jinja",
        figures=figures,
        given=study.summary.get("experiment") == "train",
        sparsities=sparsities,
        rows=[(kind, [_counts(empty, kind, sparsity) for sparsity in sparsities]) for kind in _kinds(empty)],
    )
    return Section("silence", "Silent neurons and empty filters", html, tuple(figures))


def _kinds(empty: list[Filters]) -> list[str]:
    return list(dict.fromkeys(one.activation for one in empty))


def _counts(empty: list[Filters], kind: str, sparsity: float) -> str:
    """`12 of 96`: empty filters of all layers."""
    for one in empty:
        if (one.activation, one.sparsity) == (kind, sparsity):
            return f"{sum(gone for _, gone in one.layers.values()):,} of {len(one.empty):,}"
    return text.NOTHING


def _by_layer(last: list[Silence]) -> Figure:
    lines = {entry.activation: [(i, near) for i, (_, near, _) in enumerate(entry.layers.values(), 1)] for entry in last}
    alt = "Share of outputs near zero at the last look, by layer"
    return _near_zero("near_zero_by_layer", alt, "Layer by layer", "Activation, from the first to the last", lines)


def _over_training(found: list[Silence]) -> Figure:
    lines: dict[str, list[tuple[float, float]]] = {}
    for entry in found:
        lines.setdefault(entry.activation, []).append((entry.epoch, entry.near_zero))
    alt = "Share of outputs near zero over training"
    return _near_zero("near_zero_over_training", alt, "Over training, mean of layers", "Epoch", lines)


def _near_zero(
    file: str, alt: str, title: str, across: str, lines: Mapping[str, Sequence[tuple[float, float]]]
) -> Figure:
    """A line for each activation, of points (x, share near zero)."""

    def paint(axes: "Axes") -> None:
        for i, (kind, points) in enumerate(lines.items()):
            xs, shares = [x for x, _ in points], [100 * share for _, share in points]
            axes.plot(xs, shares, color=theme.series(i), marker=theme.marker(i), label=kind)
        set_whole_axis(axes)
        axes.set_ylim(bottom=0)
        axes.set_title(title)
        axes.set_xlabel(across)
        axes.set_ylabel("Near zero (%)")
        legend_below(axes)

    return draw(file, alt, paint, small=True)


def _map(distances: MaskDistances) -> Figure:
    labels = [f"{kind} {text.sparsity(sparsity)}" for kind, sparsity in distances.names]

    def paint(axes: "Axes") -> None:
        shown = axes.imshow(distances.matrix, cmap="viridis_r", vmin=0, interpolation="none")
        axes.grid(visible=False)
        axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=8)
        axes.set_yticks(range(len(labels)), labels, fontsize=8)
        axes.set_title("Distances of masks")
        figure = axes.get_figure()
        assert figure is not None
        figure.colorbar(shown, ax=axes, fraction=0.05, pad=0.03).outline.set_visible(False)

    label = f"Share of weights in which the masks of {', '.join(labels)} differ"
    return draw("activation_masks", label, paint, small=True)


def _histogram(sparsest: list[Filters]) -> Figure:
    def paint(axes: "Axes") -> None:
        for i, one in enumerate(sparsest):
            edges = np.linspace(0, 100, len(one.histogram) + 1)
            axes.stairs(one.histogram, edges, color=theme.series(i), label=one.activation, linewidth=1.6)
        axes.axvline(90, color=theme.light("muted"), linestyle=(0, (1, 1.5)), linewidth=1.4)
        axes.set_title(f"Filters at {text.sparsity(sparsest[0].sparsity)}")
        axes.set_xlabel("Weights gone (%)")
        axes.set_ylabel("Filters")
        legend_below(axes)

    return draw("filter_histogram", "Number of filters by the share of their weights that is gone", paint, small=True)


def _kernels(one: Filters) -> Figure:
    rows = -(-len(one.empty) // _COLUMNS)
    flags = np.full(rows * _COLUMNS, np.nan)
    flags[: len(one.empty)] = one.empty
    width = min(_COLUMNS, len(one.empty))

    def paint(axes: "Axes") -> None:
        shown = np.ma.masked_invalid(flags.reshape(rows, _COLUMNS)[:, :width])
        axes.imshow(shown, cmap="gray_r", vmin=0, vmax=1, interpolation="none", aspect="auto")
        axes.grid(visible=False)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(f"{one.activation}, {text.sparsity(one.sparsity)} sparse")
        axes.set_xlabel("Every filter, layer by layer; black is empty")

    label = f"Map of the {len(one.empty)} filters of the {one.activation} network; {sum(one.empty)} are empty"
    return draw(f"filter_map_{slug(one.activation)}", label, paint, small=True)
