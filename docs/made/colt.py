"""COLT beside LTH, and their tickets on other data."""

import functools

from compared import Compared, compare
from studies import Accuracies, accuracies, mean, study
from texts import interval, paragraph, span, span_of, spread, table

TARGETS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
DIGITS, FASHION = study("colt-conv3-digits"), study("colt-conv3-fashion_mnist")
# One part: all classes, pruned as LTH does, at the rate at which COLT's two halves prune together.
MATCHED = study("colt-conv3-digits-matched")


def first(rows, target: float, **which) -> tuple[dict[int, int], Accuracies]:
    """By seed, the round in which a sparsity is first reached, and the test accuracy of its ticket."""
    rounds: dict[int, int] = {}
    reached: Accuracies = {}
    for row in sorted(rows, key=lambda row: row["level"]):
        matches = all(row.get(key) == value for key, value in which.items())
        if matches and row["sparsity"] >= target and row["seed"] not in rounds:
            rounds[row["seed"]], reached[row["seed"]] = row["level"], row["test_accuracy"]
    return rounds, reached


def rounds_of(rows, branch: str, target: float) -> str:
    """`10 / 11 / 11`, of each seed."""
    found, _ = first(rows, target, branch=branch)
    return " / ".join(str(found[seed]) for seed in sorted(found))


@functools.cache
def gaps(name: str) -> Compared:
    """COLT minus LTH at every sparsity, by (control, sparsity); on digits also minus LTH at COLT's own rate."""
    rows, matched = study(name)["rows"], MATCHED["rows"] if name == "colt-conv3-digits" else []
    controls = {"lth": (rows, "lth")} | ({"matched": (matched, "colt_part")} if matched else {})
    return compare(
        {
            (control, target): (first(rows, target, branch="colt")[1], first(of, target, branch=branch)[1])
            for control, (of, branch) in controls.items()
            for target in TARGETS
        }
    )


def lth(found: Compared) -> list[tuple[str, float]]:
    """The keys of the comparisons with LTH at its usual rate."""
    return [key for key in found.of if key[0] == "lth"]


def saved(rows) -> list[float]:
    """The share of LTH's rounds that COLT does without, for every sparsity."""
    means = {
        branch: [mean(first(rows, target, branch=branch)[0].values()) for target in TARGETS]
        for branch in ("colt", "lth")
    }
    return [1 - a / b for a, b in zip(means["colt"], means["lth"], strict=True)]


def digits_table() -> str:
    """Rounds and accuracies, with their paired difference."""
    rows = DIGITS["rows"]
    return table(
        ["sparsity", "COLT, rounds", "COLT, accuracy", "LTH, rounds", "LTH, accuracy", "COLT − LTH, 95 % interval"],
        [
            [
                f"{target:.0%}",
                rounds_of(rows, "colt", target),
                spread(first(rows, target, branch="colt")[1]),
                rounds_of(rows, "lth", target),
                spread(first(rows, target, branch="lth")[1]),
                interval(gaps("colt-conv3-digits").of["lth", target]),
            ]
            for target in TARGETS
        ],
    )


def fashion_table() -> str:
    """The same, with the steps that the rounds take."""
    rows = FASHION["rows"]

    def line(target: float) -> list[str]:
        cells = [f"{target:.0%}"]
        for branch in ("colt", "lth"):
            found, reached = first(rows, target, branch=branch)
            steps = sorted({126 * rounds for rounds in found.values()})
            cells += [rounds_of(rows, branch, target), span(steps, "{:,}"), spread(reached)]
        return [*cells, interval(gaps("colt-conv3-fashion_mnist").of["lth", target])]

    header = ["sparsity", "COLT, rounds", "COLT, steps of the rounds", "COLT, accuracy"]
    header += ["LTH, rounds", "LTH, steps of the rounds", "LTH, accuracy", "COLT − LTH, 95 % interval"]
    return table(header, [line(target) for target in TARGETS])


def overlaps(rows) -> list[float]:
    """What the halves agree on, of what they remove, in every round of every seed."""
    return [row["overlap"] for row in rows if row["branch"] == "colt_part" and row.get("part") == 1 and row["level"]]


def digits_findings() -> str:
    """What the table shows."""
    rows, found = DIGITS["rows"], gaps("colt-conv3-digits")
    parts = overlaps(rows)
    off = max(abs(row["kept_expected"] - row["kept_measured"]) for row in rows if "kept_expected" in row)
    return paragraph(
        f"At these rates COLT needs {span([100 * share for share in saved(rows)], '{:.0f}')} % fewer rounds, and a",
        "round of its two halves has as many steps as one of LTH. Training the tickets on all classes comes on top,",
        "and only the last one need be. How much of that is the rate and how much the method, LTH at COLT's own",
        f"rate tells. COLT − LTH is {span_of([found.of[key] for key in lth(found)])} points.",
        f"{found.sentence(lth(found))} The halves agree on {span(parts, '{:.2f}')} of what they remove (mean",
        f"{mean(parts):.2f}, 0.15 would be chance, and at two thirds COLT would be no faster); what is kept differs",
        f"from `1 - p (2 - q)` by at most {off:.4f}.",
    )


def fashion_findings() -> str:
    """What the table shows, and what it cannot."""
    found = gaps("colt-conv3-fashion_mnist")
    return paragraph(
        f"Here COLT needs {span([100 * share for share in saved(FASHION['rows'])], '{:.0f}')} % fewer rounds and its",
        f"tickets are behind: COLT − LTH is {span_of([found.of[key] for key in lth(found)])} points.",
        f"{found.sentence(lth(found))} Networks are far from trained after 126 steps at a learning rate that was",
        "never decayed, and masks from weights that have hardly moved, on half of the classes at that, are poor",
        "masks. What holds at full length on Fashion-MNIST is not known from this.",
    )


def dense(which) -> str:
    """`98.70 ± 0.42`."""
    return spread(accuracies(which["rows"], branch="dense"))


def texts() -> dict[str, str]:
    """The made texts of these studies."""
    return {
        "colt-digits-table": digits_table(),
        "colt-digits-findings": digits_findings(),
        "colt-fashion-table": fashion_table(),
        "colt-fashion-findings": fashion_findings(),
        "colt-digits-dense": dense(DIGITS),
        "colt-fashion-dense": dense(FASHION),
    }
