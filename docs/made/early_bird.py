"""Early birds of Conv-3 on Fashion-MNIST."""

from compared import compare
from studies import accuracies, mean, study, values
from texts import interval, one_line, paragraph, percent, spread, table

STUDY = study("early_bird-conv3-fashion_mnist")
ROWS = STUDY["rows"]
RATIOS = values(ROWS, "ratio", branch="late")
DENSE = accuracies(ROWS, branch="dense")
WORDS = {"eb_inherit": "early bird, goes on", "eb_rewind": "early bird, rewound", "late": "pruned after training"}
BIRDS = ("eb_inherit", "eb_rewind")
FOUND = compare(
    {
        (branch, ratio, other): (accuracies(ROWS, branch=branch, ratio=ratio), against)
        for ratio in RATIOS
        for branch in WORDS
        for other, against in (("late", accuracies(ROWS, branch="late", ratio=ratio)), ("dense", DENSE))
        if branch != other
    }
)


def _of(key: str, **which) -> list[float]:
    return [row[key] for row in ROWS if all(row.get(name) == value for name, value in which.items())]


def share(branch: str, ratio: float) -> str:
    """Operations of all training that led to a network, as a share of one dense training: `53 %`."""
    return f"{percent(mean(_of('training_flops_share', branch=branch, ratio=ratio)), 0)} %"


def rows_table() -> str:
    """A row for each ratio and network."""
    rows = [["0 %", "dense", "", "100 %", spread(DENSE), "", "", "100 %"]]
    for ratio in RATIOS:
        for branch, words in WORDS.items():
            which = {"branch": branch, "ratio": ratio}
            rows.append(
                [
                    f"{ratio:.0%}".replace("%", " %"),
                    words,
                    " / ".join(str(epoch) for epoch in _of("draw_epoch", **which)),
                    f"{percent(1 - mean(_of('sparsity', **which)), 0)} %",
                    spread(accuracies(ROWS, **which)),
                    interval(FOUND.of[branch, ratio, "late"]) if branch in BIRDS else "",
                    interval(FOUND.of[branch, ratio, "dense"]),
                    share(branch, ratio),
                ]
            )
    header = ["channels pruned", "network", "drawn after epoch", "weights left", "accuracy"]
    return table([*header, "against pruning after training", "against dense", "operations"], rows)


def _distance(rows: list[list[float]], one: int, other: int) -> float:
    return rows[max(one, other)][min(one, other)] if one != other else 0.0


def overlap(ratio: float) -> list[float]:
    """The share of the channels a draw prunes that the last mask prunes too, for every seed whose masks are stored.

    Two masks that each prune a share p of the channels and are d apart have 1 - d / 2p of what they prune in common.
    """
    drawn = {(one["seed"], one["ratio"]): one["drawn"] for one in STUDY["early_bird"]}
    found = []
    for seed, one in enumerate(STUDY["mask_distance"]):
        rows = one["rows"][f"{ratio:g}"]
        found.append(1 - _distance(rows, drawn[seed, ratio] - 1, len(rows) - 1) / (2 * ratio))
    return found


def findings() -> str:
    """What the table shows."""
    drawn = [epoch for ratio in RATIOS for epoch in _of("draw_epoch", branch="eb_rewind", ratio=ratio)]
    epochs = _of("epochs", branch="dense")[0]
    epsilon = STUDY["mask_distance"][0]["epsilon"]
    masks = [
        f"at {percent(ratio, 0)} %, masks drawn by chance are {2 * ratio * (1 - ratio):.2f} apart, and of what the "
        "ticket's"
        f" mask prunes the last mask prunes {percent(mean(overlap(ratio)), 0)} % too"
        for ratio in RATIOS
    ]
    return paragraph(
        f"Tickets emerge after {min(drawn)} to {max(drawn)} of {epochs} epochs, on average at",
        f"{percent(mean(drawn) / epochs, 0)} % of training; 5 is the earliest that this rule allows with a look",
        "after every epoch. Rewound to their initial weights they differ from what is pruned after training by",
        " and ".join(
            f"{interval(FOUND.of['eb_rewind', ratio, 'late'])} points at {percent(ratio, 0)} %" for ratio in RATIOS
        )
        + ",",
        "and going on from the weights they were drawn from by",
        " and ".join(interval(FOUND.of["eb_inherit", ratio, "late"]) for ratio in RATIOS) + ".",
        FOUND.sentence([(branch, ratio, "late") for ratio in RATIOS for branch in BIRDS]),
        "That tells them apart no more than it shows them equal: no channels drawn by chance were trained beside",
        "them, so this study has no control by which waiting for a mask to settle could have failed. Against one",
        "dense training a rewound early bird costs",
        " and ".join(f"{share('eb_rewind', r)} of the operations at {percent(r, 0)} %" for r in RATIOS),
        "of the channels, so at the smaller share nothing is saved but the pruning after training.",
        f"A distance of {epsilon:g} is not equally close at all shares: {'; '.join(masks)} (masks of the first seed).",
    )


def answer() -> tuple[str, str]:
    """The answer of the README, and whether it is settled."""
    few, many = RATIOS[0], RATIOS[-1]
    words = one_line(
        f"rewound early birds against pruning after training: {interval(FOUND.of['eb_rewind', few, 'late'])} and",
        f"{interval(FOUND.of['eb_rewind', many, 'late'])} points without {percent(few, 0)} and {percent(many, 0)} %",
        f"of the channels, for {share('eb_rewind', few)} and {share('eb_rewind', many)} of the operations of a dense",
        "training",
    )
    return words, FOUND.word(*(("eb_rewind", ratio, "late") for ratio in RATIOS))


def cost() -> str:
    """What rewound early birds cost against one dense training."""
    return " and ".join(f"{share('eb_rewind', r)} without {percent(r, 0)} % of the channels" for r in RATIOS)


def texts() -> dict[str, str]:
    """The made texts of this study."""
    return {"early-bird-cost": cost()} | {"early-bird-table": rows_table(), "early-bird-findings": findings()}
