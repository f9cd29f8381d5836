"""When the masks of training settled: maps of their distances, and the distances that the rule looks at."""

from typing import TYPE_CHECKING

import numpy as np

from jaxticket.report import text, theme
from jaxticket.report.axes import legend_below, set_whole_axis
from jaxticket.report.early_birds import Distances, FinalMask, emergences, final_masks, mask_distances
from jaxticket.report.figures import Figure, draw, slug
from jaxticket.report.sections.section import Section, render
from jaxticket.report.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def emergence(study: Study) -> Section | None:
    """A table of epochs, and for each ratio a map and a panel of distances; None for other studies."""
    found, distances = emergences(study), mask_distances(study)
    if not found:
        return None
    seeds = list(dict.fromkeys(entry.seed for entry in found))
    at = {(entry.ratio, entry.seed): entry.epoch for entry in found}
    ratios = list(dict.fromkeys(entry.ratio for entry in found))
    maps, lines = [], []
    if distances is not None:
        for ratio, matrix in distances.matrices.items():
            epoch = at.get((ratio, distances.seed))
            maps.append(_map(ratio, matrix, epoch, distances.step))
            lines.append(_lines(ratio, matrix, epoch, distances))
    html = render(
        "emergence.html.jinja",
        maps=maps,
        lines=lines,
        rows=[(ratio, [at.get((ratio, seed)) for seed in seeds]) for ratio in ratios],
        seeds=seeds,
        distances=distances,
        missing=any(epoch is None for epoch in at.values()),
        late=[f"{text.share(one.ratio)} in seed {one.seed}" for one in found if one.epoch is not None and one.at_end],
        final=_by_ratio(final_masks(study)),
    )
    return Section("emergence", "When tickets emerge", html, (*maps, *lines))


def _by_ratio(found: list[FinalMask]) -> list[tuple[float, list[float | None]]]:
    """Ratio -> means over the seeds of overlap, chance, distance and scaled distance; None where not known."""
    lines = []
    for ratio in dict.fromkeys(entry.ratio for entry in found):
        own = [entry for entry in found if entry.ratio == ratio]
        columns = [[getattr(entry, name) for entry in own] for name in ("overlap", "by_chance", "distance", "scaled")]
        known = [[value for value in column if value is not None] for column in columns]
        lines.append((ratio, [sum(values) / len(values) if values else None for values in known]))
    return lines


def window_distance(matrix: np.ndarray, distances: Distances) -> list[tuple[int, float]]:
    """(number of the mask, the largest distance that the rule looks at there), where it has enough masks."""
    window, size = distances.window, len(matrix)
    if distances.rule == "latest_vs_window":
        return [(i + 1, float(matrix[i, i - window + 1 : i].max())) for i in range(window - 1, size)]
    steps = np.diagonal(matrix, 1)
    return [(i + 1, float(steps[i - window : i].max())) for i in range(window, size)]


def _map(ratio: float, matrix: np.ndarray, epoch: float | None, step: float) -> Figure:
    last = step * len(matrix)
    said = "does not emerge" if epoch is None else f"emerges after epoch {epoch:g}"

    def paint(axes: "Axes") -> None:
        first, end = step / 2, last + step / 2
        shown = axes.imshow(
            np.ma.masked_invalid(matrix),
            cmap="viridis_r",
            vmin=0,
            vmax=1,
            origin="lower",
            interpolation="none",
            extent=(first, end, first, end),
        )
        if epoch is not None:
            axes.plot([epoch, epoch, first], [first, epoch, epoch], color=theme.light("ink"), linestyle=(0, (3, 2)))
            axes.plot([epoch], [epoch], marker="s", markerfacecolor="none", markersize=7, color=theme.light("ink"))
        axes.grid(visible=False)
        set_whole_axis(axes)
        axes.set_title(f"{text.share(ratio)} pruned")
        axes.set_xlabel("Epoch")
        axes.set_ylabel("Epoch")
        figure = axes.get_figure()
        assert figure is not None
        bar = figure.colorbar(shown, ax=axes, fraction=0.05, pad=0.03, ticks=[0, 0.5, 1])
        bar.outline.set_visible(False)

    label = f"Distances of the masks of {len(matrix)} moments from each other, {text.share(ratio)} pruned; it {said}"
    return draw(f"mask_distance_p{slug(f'{ratio:g}')}", label, paint, small=True)


def _lines(ratio: float, matrix: np.ndarray, epoch: float | None, distances: Distances) -> Figure:
    step = distances.step

    def paint(axes: "Axes") -> None:
        before = np.diagonal(matrix, 1)
        epochs = [step * (i + 2) for i in range(len(before))]
        axes.plot(epochs, before, color=theme.series(0), marker="o", markersize=3.5, label="to the one before")
        largest = window_distance(matrix, distances)
        if largest:
            axes.plot(
                [step * i for i, _ in largest],
                [distance for _, distance in largest],
                color=theme.series(1),
                marker="s",
                markersize=3.5,
                label="largest in the window",
            )
        axes.axhline(distances.limit(ratio), color=theme.light("dense"), linestyle=(0, (5, 2.5)), linewidth=1.4)
        if ratio in distances.by_chance:
            style = {"color": theme.light("muted"), "linestyle": (0, (4, 2.5)), "linewidth": 1.2}
            axes.axhline(distances.by_chance[ratio], label="random masks", **style)
        if epoch is not None:
            axes.axvline(epoch, color=theme.light("muted"), linestyle=(0, (1, 1.5)), linewidth=1.4)
        set_whole_axis(axes)
        axes.set_ylim(bottom=0)
        axes.set_title(f"{text.share(ratio)} pruned")
        axes.set_xlabel("Epoch")
        axes.set_ylabel("Mask distance")
        legend_below(axes, 2)

    label = f"Distance of every mask to the one before, and the largest in the window, {text.share(ratio)} pruned"
    return draw(f"distance_p{slug(f'{ratio:g}')}", label, paint, small=True)
