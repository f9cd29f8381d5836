"""Tables as CSV: every number of the page for spreadsheets and scripts."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jaxticket.report import aided
from jaxticket.report.compared import comparisons
from jaxticket.report.decision import read_decision
from jaxticket.report.early_birds import emergences, final_masks, kept_channels, mask_distances
from jaxticket.report.findings import correlations, instabilities, overlaps
from jaxticket.report.partitions import agreements, reached
from jaxticket.report.spreadsheets import to_csv
from jaxticket.report.structures import structures, winners
from jaxticket.report.study import Study

_CONDITIONS = (1, 2, 3, 4, 5)
_BY_RATE = (3, 4, 5)


def make_tables(study: Study) -> dict[str, str]:
    """Name of a file -> its content.

    `rows.csv` has every row with its fields that are single values, `comparisons.csv` every difference from a control.
    Studies that have them also get `correlation.csv`,
    `instability.csv`, `overlap.csv`, `verdict.csv`, `verdict_by_lr.csv` and `differences.csv`, or `structure.csv` and
    `winners.csv`, or `emergence.csv`, `final_mask.csv`, `channels.csv` and `mask_distance_p<ratio>.csv`, or
    `agreement.csv` and
    `rounds.csv`, or `aids.csv`, `silence.csv`, `silent_filters.csv` and `activation_masks.csv`. Numbers are written in
    full; what is not known is an empty field.
    """
    tables = {"rows": _rows(study), **_measured(study), **_decided(study), **_structured(study), **_early(study)}
    tables |= _partitions(study) | _aided(study) | {"comparisons": _compared(study)}
    return {f"{name}.csv": to_csv(lines) for name, lines in tables.items() if len(lines) > 1}


def verdict_json(study: Study) -> str | None:
    """The verdict as a file of its own, None where there is none."""
    found = study.summary.get("verdict")
    return json.dumps(found, indent=1, sort_keys=True) + "\n" if isinstance(found, Mapping) else None


def _rows(study: Study) -> list[Sequence[Any]]:
    rows = study.entries("rows")
    names = list(
        dict.fromkeys(name for row in rows for name, value in row.items() if not isinstance(value, list | dict))
    )
    first = [name for name in ("branch", "level", "lr", "seed") if name in names]
    names = [*first, *sorted(set(names) - set(first))]
    return [names, *([row.get(name) for name in names] for row in rows)]


def _compared(study: Study) -> list[Sequence[Any]]:
    """A line for each comparison, with a column for each field of its case; differences are in accuracy, not points."""
    found = comparisons(study)
    cases = list(dict.fromkeys(name for one in found for name in one.case))
    fields = (
        "n",
        "mean",
        "low",
        "high",
        "low_holm",
        "high_holm",
        "p",
        "p_holm",
        "comparisons",
        "confidence",
        "settled",
    )
    lines: list[Sequence[Any]] = [("treatment", "control", "level", *cases, *fields)]
    for one in found:
        case = map(one.case.get, cases)
        lines.append((one.treatment, one.control, one.level, *case, *(getattr(one, name) for name in fields)))
    return lines


def _measured(study: Study) -> dict[str, list[Sequence[Any]]]:
    """A line for each measurement; of correlations one for each layer too, of instability one for each position."""
    correlation: list[Sequence[Any]] = [("lr", "level", "mask", "start", "seed", "layer", "correlation")]
    for entry in correlations(study):
        for layer, value in {"": entry.value, **entry.layers}.items():
            correlation.append((entry.lr, entry.level, entry.mask, entry.start, entry.seed, layer, value))
    instability: list[Sequence[Any]] = [("lr", "branch", "level", "seed", "barrier", "position", "test_error")]
    for entry in instabilities(study):
        for at, error in entry.errors or ((None, None),):
            instability.append((entry.lr, entry.branch, entry.level, entry.seed, entry.barrier, at, error))
    overlap: list[Sequence[Any]] = [("lr", "level", "between", "kind", "seeds", "jaccard", "chance")]
    for entry in overlaps(study):
        seeds = " ".join(map(str, entry.seeds))
        overlap.append((entry.lr, entry.level, entry.between, entry.kind, seeds, entry.jaccard, entry.chance))
    return {"correlation": correlation, "instability": instability, "overlap": overlap}


def _decided(study: Study) -> dict[str, list[Sequence[Any]]]:
    found = read_decision(study.summary)
    cells = found.cells if found else ()
    numbered = [f"{what}_{i}" for what in ("condition", "margin") for i in _CONDITIONS]
    sure = ("p", "p_holm", "settled")
    verdict: list[Sequence[Any]] = [("ticket", "level", "sparsity", "seeds", "verdict", *numbered, "missing", *sure)]
    by_lr: list[Sequence[Any]] = [("ticket", "level", "sparsity", "lr", *(f"margin_{i}" for i in _BY_RATE))]
    fields = ("against", "lr", "mean", "low", "high", "n", "threshold", "reading")
    differences: list[Sequence[Any]] = [("ticket", "level", "sparsity", *fields)]
    for cell in cells:
        key = (cell.ticket, cell.level, cell.sparsity)
        numbers = [*map(cell.conditions.get, _CONDITIONS), *map(cell.margins.get, _CONDITIONS)]
        verdict.append(
            (*key, cell.seeds, cell.kind, *numbers, "; ".join(cell.missing), cell.p, cell.p_holm, cell.settled)
        )
        by_lr += [(*key, lr, *map(margins.get, _BY_RATE)) for lr, margins in cell.by_lr.items()]
        differences += [(*key, *(getattr(one, name) for name in fields)) for one in cell.differences]
    return {"verdict": verdict, "verdict_by_lr": by_lr, "differences": differences}


def _structured(study: Study) -> dict[str, list[Sequence[Any]]]:
    """A line for each network with a structured mask and one for each of its layers; one for each branch's winner."""
    key = ("branch", "level", "seed", "layer", "output_channels", "weights_per_channel")
    found = ("before", "after", "channels_kept", "coverage", "holes", "structured", "blocks", "note")
    layers: list[Sequence[Any]] = [(*key, *found)]
    for entry in structures(study):
        network = (entry.branch, entry.level, entry.seed)
        layers.append((*network, "", "", "", entry.before, entry.after, "", entry.coverage, "", "", "", ""))
        for layer in entry.layers:
            blocks = " ".join(f"{rows}x{columns}" for rows, columns in layer.blocks)
            shares = (layer.before, layer.after, layer.channels, layer.coverage, layer.holes)
            layers.append((*network, layer.path, *layer.shape, *shares, layer.structured, blocks, layer.note))
    fields = ("level", "n", "accuracy", "sparsity", "macs_share", "structured_share", "settled")
    best: list[Sequence[Any]] = [("branch", *fields)]
    best += [(branch, *(getattr(one, name, None) for name in fields)) for branch, one in winners(study).items()]
    return {"structure": layers, "winners": best}


def _early(study: Study) -> dict[str, list[Sequence[Any]]]:
    """A line for each ratio and seed, for each layer of a draw, and for each mask its distances to all others."""
    emergence: list[Sequence[Any]] = [("ratio", "seed", "emergence_epoch", "draw_epoch")]
    emergence += [(one.ratio, one.seed, one.epoch, one.drawn) for one in emergences(study)]
    final: list[Sequence[Any]] = [("ratio", "seed", "overlap", "overlap_by_chance", "distance", "distance_scaled")]
    final += [(one.ratio, one.seed, one.overlap, one.by_chance, one.distance, one.scaled) for one in final_masks(study)]
    channels: list[Sequence[Any]] = [("branch", "level", "ratio", "seed", "normalisation", "before", "after", "held")]
    for one in kept_channels(study):
        channels += [(one.branch, one.level, one.ratio, one.seed, *layer) for layer in one.layers]
    tables = {"emergence": emergence, "final_mask": final, "channels": channels}
    found = mask_distances(study)
    for ratio, matrix in found.matrices.items() if found else ():
        epochs = [found.step * (i + 1) for i in range(len(matrix))] if found else []
        lines = [(epoch, *line.tolist()) for epoch, line in zip(epochs, matrix, strict=True)]
        tables[f"mask_distance_p{ratio}"] = [("epoch", *epochs), *lines]
    return tables


def _partitions(study: Study) -> dict[str, list[Sequence[Any]]]:
    """A line for each round of class partitions and for each of its layers; and one for each sparsity reached."""
    names = ("overlap", "by_chance", "kept_expected", "kept_measured")
    agreement: list[Sequence[Any]] = [("seed", "level", "layer", *names)]
    for entry in agreements(study):
        agreement.append((entry.seed, entry.level, "", *(getattr(entry, name) for name in names)))
        agreement += [(entry.seed, entry.level, path, value, None, None, None) for path, value in entry.layers.items()]
    columns = ("sparsity", "branch", "n", "rounds", "test_accuracy")
    rounds = [columns, *(tuple(getattr(entry, name) for name in columns) for entry in reached(study))]
    return {"agreement": agreement, "rounds": rounds}


def _aided(study: Study) -> dict[str, list[Sequence[Any]]]:
    """A line for each cell; for each layer of a look, and of a mask; and for each mask its distances to all others."""
    of_difference = ("difference", "difference_low", "difference_high", "difference_n")
    cells: list[Sequence[Any]] = [("source", "sparsity", "aids", "accuracy", "low", "high", "n", *of_difference)]
    for one in aided.cells(study):
        found = [(had.mean, had.low, had.high, had.n) if had else (None,) * 4 for had in (one.accuracy, one.difference)]
        cells.append((one.source, one.sparsity, one.name, *found[0], *found[1]))
    silence: list[Sequence[Any]] = [("activation", "epoch", "layer", "zero", "near_zero", "dead")]
    for one in aided.silences(study):
        silence += [(one.activation, one.epoch, layer, *rates) for layer, rates in one.layers.items()]
    filters: list[Sequence[Any]] = [("activation", "sparsity", "layer", "filters", "empty")]
    for one in aided.filters(study):
        filters += [(one.activation, one.sparsity, path, *counts) for path, counts in one.layers.items()]
    tables = {"aids": cells, "silence": silence, "silent_filters": filters}
    distances = aided.mask_distances(study)
    if distances is not None:
        names = [f"{kind} {sparsity}" for kind, sparsity in distances.names]
        lines = [(name, *line.tolist()) for name, line in zip(names, distances.matrix, strict=True)]
        tables["activation_masks"] = [("mask", *names), *lines]
    return tables
