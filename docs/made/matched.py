"""COLT beside LTH that prunes as much a round: how much of its fewer rounds is the rate?"""

from colt import DIGITS, MATCHED, TARGETS, first, gaps, rounds_of, saved
from studies import mean
from texts import interval, one_line, paragraph, span, span_of, spread, table

FOUND = gaps("colt-conv3-digits")
_REASON = "On this network and data the rounds that COLT saves are saved by pruning more a round."
KEYS = [("matched", target) for target in TARGETS]


def _rounds(target: float) -> tuple[float, float]:
    """The mean rounds of COLT and of LTH at its rate."""
    return (
        mean(first(DIGITS["rows"], target, branch="colt")[0].values()),
        mean(first(MATCHED["rows"], target, branch="colt_part")[0].values()),
    )


def rows_table() -> str:
    """Rounds and accuracies at the same rate."""
    rows = [
        [
            f"{target:.0%}",
            rounds_of(DIGITS["rows"], "colt", target),
            spread(first(DIGITS["rows"], target, branch="colt")[1]),
            rounds_of(MATCHED["rows"], "colt_part", target),
            spread(first(MATCHED["rows"], target, branch="colt_part")[1]),
            interval(FOUND.of["matched", target]),
        ]
        for target in TARGETS
    ]
    header = ["sparsity", "COLT, rounds", "COLT, accuracy", "LTH at 26 %, rounds", "LTH at 26 %, accuracy"]
    return table([*header, "COLT − LTH at 26 %, 95 % interval"], rows)


def more_rounds() -> list[float]:
    """How many rounds more than LTH at the same rate COLT needs, at each sparsity."""
    return [colt - lth for colt, lth in map(_rounds, TARGETS)]


def findings() -> str:
    """What the table shows."""
    more = more_rounds()
    ahead = [key for key in KEYS if FOUND.of[key].mean > 0]
    return paragraph(
        f"At the rate of its two halves together COLT needs {span(more, '{:+.1f}')} rounds more than LTH. COLT − LTH",
        f"is {span_of([FOUND.of[key] for key in KEYS])} points, and COLT has the better mean at",
        f"{len(ahead) or 'none'} of the {len(KEYS)} sparsities. {FOUND.sentence(KEYS)}",
        _REASON if min(more) >= 0 else "",
    )


def answer() -> tuple[str, str]:
    """The answer of the README, and whether it is settled."""
    shares = span([100 * share for share in saved(DIGITS["rows"])], "{:.0f}")
    words = one_line(
        f"Conv-3 on digits: {shares} % of those of LTH at 20 % a round; against LTH at COLT's own 26 %",
        f"{'none' if min(more_rounds()) >= 0 else 'some'}, and {span_of([FOUND.of[key] for key in KEYS])} points",
    )
    return words, FOUND.word(*KEYS)


def texts() -> dict[str, str]:
    """The made texts of this study."""
    return {"matched-table": rows_table(), "matched-findings": findings()}
