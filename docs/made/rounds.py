"""Iterative magnitude pruning of LeNet-300-100 on Fashion-MNIST."""

from compared import compare
from studies import accuracies, study, values
from texts import interval, one_line, paragraph, percent, signed, span, spread, table

ROWS = study("imp-lenet300-fashion_mnist")["rows"]
DENSE = accuracies(ROWS, branch="dense")
LEVELS = values(ROWS, "level", branch="imp")
BY_LEVEL = {level: accuracies(ROWS, branch="imp", level=level) for level in LEVELS}
FOUND = compare({level: (BY_LEVEL[level], DENSE) for level in LEVELS})


def left(level: int) -> str:
    """`8.6 %`, the share of the weights that is left."""
    return f"{percent(1 - values(ROWS, 'sparsity', branch='imp', level=level)[0], 1)} %"


def level_with_dense() -> int:
    """The last level before the mean falls below the dense network's."""
    last = 0
    for level in LEVELS:
        if FOUND.of[level].mean < 0:
            break
        last = level
    return last


def rows_table() -> str:
    """A row for each level."""
    rows = []
    for level in (0, *LEVELS):
        branch = {"branch": "imp" if level else "dense", "level": level}
        found = accuracies(ROWS, **branch)
        validation = {row["seed"]: row["val_accuracy"] for row in ROWS if row["level"] == level}
        seeds = ", ".join(signed(found[seed] - DENSE[seed]) for seed in sorted(found))
        rows.append(
            [
                str(level),
                f"{values(ROWS, 'kept', **branch)[0]:,}",
                f"{percent(values(ROWS, 'sparsity', **branch)[0])}%",
                spread(found),
                f"{signed(FOUND.of[level].mean)} ({seeds})" if level else "-",
                spread(validation),
            ]
        )
    header = "level", "weights left", "sparsity", "test accuracy", "difference to dense, seed by seed"
    return table([*header, "validation accuracy"], rows)


def findings() -> str:
    """What the table shows."""
    last, end = level_with_dense(), LEVELS[-1]
    above = [FOUND.of[level].mean * 100 for level in LEVELS if level <= last]
    ahead = min(sum(BY_LEVEL[level][seed] > DENSE[seed] for seed in DENSE) for level in LEVELS if level <= last)
    return paragraph(
        f"What it shows: down to level {last}, {left(last)} of the weights, the mean over the seeds is",
        f"{span(above, '{:.2f}')} points above the dense network's, and at least {ahead} of the {len(DENSE)} seeds",
        "are above it at every level. A likely reason is that 20 epochs at a constant learning rate overfit the",
        f"dense network more. At the last level, {left(end)} of the weights, the mean is",
        f"{signed(FOUND.of[end].mean)} from dense, with a 95 % interval of the paired difference of",
        f"{interval(FOUND.of[end]).partition(' ')[2]}.",
        FOUND.sentence(),
        "Three seeds bound such differences no better than to a few tenths of a point.",
    )


def answer() -> tuple[str, str]:
    """The answer of the README, and whether it is settled."""
    last, end = level_with_dense(), LEVELS[-1]
    words = one_line(
        f"LeNet-300-100 on Fashion-MNIST: the mean is at least the dense network's down to {left(last)} of the",
        f"weights; at {left(end)}, {interval(FOUND.of[end])} points",
    )
    return words, FOUND.word(end)


def texts() -> dict[str, str]:
    """The made texts of this study."""
    return {"imp-table": rows_table(), "imp-findings": findings()}
