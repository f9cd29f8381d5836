"""Tickets of one data set on another."""

from colt import TARGETS, first
from compared import compare
from studies import study
from texts import one_line, paragraph, span_of, spread, table

WAYS = {
    "digits to Fashion-MNIST": ("transfer-digits-to-fashion_mnist", "digits", "colt-conv3-fashion_mnist"),
    "Fashion-MNIST to digits": ("transfer-fashion_mnist-to-digits", "fashion_mnist", "colt-conv3-digits"),
}


def moved(way: str, kind: str, target: float):
    """Accuracies of the first ticket of a kind that has the sparsity, on the other data."""
    file, source, _ = WAYS[way]
    return first(study(file)["rows"], target, source=f"{kind}-{source}")[1]


def home(way: str, kind: str, target: float):
    """Accuracies, on the same data, of the first ticket that was found there."""
    return first(study(WAYS[way][2])["rows"], target, branch=kind)[1]


COMPARED = {
    way: compare({(k, t): (moved(way, k, t), home(way, "lth", t)) for k in ("colt", "lth") for t in TARGETS})
    for way in WAYS
}


def rows_table() -> str:
    """Accuracies both ways."""
    header = ["sparsity", *[f"{way}, {kind.upper()}" for way in WAYS for kind in ("colt", "lth")]]
    rows = [[f"{t:.0%}", *[spread(moved(way, kind, t)) for way in WAYS for kind in ("colt", "lth")]] for t in TARGETS]
    return table(header, rows)


def _way(way: str, targets) -> str:
    found = COMPARED[way]
    return span_of([found.of[kind, t] for kind in ("colt", "lth") for t in targets])


def findings() -> str:
    """What the table shows: tickets of other data against the LTH tickets found on the data."""
    back, there = COMPARED["Fashion-MNIST to digits"], COMPARED["digits to Fashion-MNIST"]
    return paragraph(
        "Against the LTH tickets found on the data itself, at the same sparsity and seed by seed: on digits,",
        f"tickets of clothes have {_way('Fashion-MNIST to digits', TARGETS[:3])} points down to a tenth of the",
        f"weights and {_way('Fashion-MNIST to digits', TARGETS[3:])} below. {back.sentence()} On Fashion-MNIST,",
        "after 126 steps at a learning rate that was never decayed, tickets of digits have",
        f"{_way('digits to Fashion-MNIST', TARGETS)} points. {there.sentence()} Three seeds and sixteen to",
        "sixty-four channels; nothing here speaks for large networks, and on Fashion-MNIST nothing for networks",
        "that are trained to the end. The tickets of clothes come from the same short training.",
    )


def answer() -> tuple[str, str]:
    """The answer of the README, and whether it is settled."""
    found = COMPARED["Fashion-MNIST to digits"]
    words = one_line(
        f"tickets of Fashion-MNIST on digits: {_way('Fashion-MNIST to digits', TARGETS[:3])} points against the",
        "digits' own down to a tenth of the weights; on Fashion-MNIST only trained too briefly to say",
    )
    return words, found.word(*((kind, target) for kind in ("colt", "lth") for target in TARGETS[:3]))


def texts() -> dict[str, str]:
    """The made texts of these studies."""
    return {"transfer-table": rows_table(), "transfer-findings": findings()}
