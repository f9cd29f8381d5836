"""A verdict in words: what was found, what is missing and how sure it is."""

from jaxticket.experiments.sanity.report.decision import KINDS, ControlDifference, Decision, TicketVerdict
from jaxticket.report import text

CONTROLS = {"dense": "dense", "rr": "other initial weights (RR)", "small_dense": "small dense (SDT)"}
# Of a ticket that is not sparse enough to be one: no accuracy enters, so there is neither interval nor p-value.
TOO_DENSE = "by condition 1, whatever the accuracies"
# Fewer seeds than this give intervals too wide to lean on.
FEW = 3


def found_words(decision: Decision) -> str:
    """What was found and why, and whether more than the means says so, in a few sentences."""
    best = decision.best
    if decision.kind == "undecided" or best is None:
        return "Undecided: a winning ticket can neither be declared nor ruled out."
    if decision.kind == "jackpot":
        return (
            f"A jackpot{_by_means(decision, best)}: {best.name} is about as good as the dense network at its best, and "
            "clearly above other initial weights and a small dense network. All five conditions hold"
            f"{_settled(decision, best)}."
        )
    if decision.kind == "secondary":
        short = best.margins.get(5)
        why = "only at other learning rates" if short is None or short >= 0 else f"it is {-short:.4f} short of that"
        return (
            f"A secondary prize{_by_means(decision, best)}, not a jackpot: {best.name} is about as good as the dense "
            "network at the same learning rate, and clearly above other initial weights and a small dense network "
            f"(conditions 1 to 4){_settled(decision, best)}. It is not about as good as the dense network at its best "
            f"(condition 5): {why}."
        )
    failed = [number for number in (1, 2, 3, 4) if best.conditions.get(number) is False]
    said = f"No winning ticket: none meets conditions 1 to 4 ({_none(decision, best)}). "
    if not failed:
        return said + f"{best.name} meets each of them, but not at one and the same learning rate."
    reasons = [f"condition {number} ({decision.words.get(number, '')})" for number in failed]
    return said + f"The nearest, {best.name}, fails {text.listing(reasons)}."


def title(decision: Decision) -> str:
    """The verdict in a word or two: `jackpot by means, not settled`."""
    sure = decision.settled or decision.kind == "undecided"
    return KINDS[decision.kind] + ("" if sure else " by means, not settled")


def _by_means(decision: Decision, best: TicketVerdict) -> str:
    return "" if decision.settled else f" by means, not settled ({_tried(decision, best)})"


def _settled(decision: Decision, best: TicketVerdict) -> str:
    """How sure a prize is that is settled; empty for others."""
    if not decision.settled:
        return ""
    p = f"p = {text.p_value_text(best.p_holm)}, " if best.p_holm is not None else ""
    return f", after correction for the {text.count_text(len(decision.cells), 'cell')} tried ({p}n = {best.seeds})"


def _none(decision: Decision, best: TicketVerdict) -> str:
    """How sure it is that there is no prize, and by what."""
    if all(cell.too_dense for cell in decision.cells):
        return TOO_DENSE
    if not decision.settled:
        return f"by means, not settled: {_tried(decision, best)}"
    some = any(cell.too_dense for cell in decision.cells)
    return "settled by condition 1, or else by the intervals" if some else "settled by the intervals"


def _tried(decision: Decision, best: TicketVerdict) -> str:
    return f"n = {best.seeds}, {text.count_text(len(decision.cells), 'cell')} tried"


def lacking(decision: Decision) -> str:
    """What could not be evaluated, empty where all could."""
    if not decision.missing:
        return ""
    said = "Missing for a decision" if decision.kind == "undecided" else "Not all could be evaluated; missing"
    return f"{said}: {text.listing(list(decision.missing))}."


def counts(decision: Decision) -> str:
    """How many tickets got which verdict: `of 4 tickets: 1 jackpot, 3 none`."""
    kinds = [cell.kind for cell in decision.cells]
    listed = ", ".join(f"{kinds.count(kind)} {kind}" for kind in KINDS if kind in kinds)
    return f"of {text.count_text(len(kinds), 'ticket')}: {listed}" if kinds else ""


def reading(difference: ControlDifference) -> str:
    """What one difference allows to say."""
    if difference.low is None or difference.high is None:
        return "no interval (n = 1)" if difference.n == 1 else f"not settled: {difference.n} equal differences"
    if difference.reading == "undecided":
        return "not settled: the interval lies on both sides"
    better, worse = (
        ("as good as dense", "below dense") if difference.against == "dense" else ("better", "not clearly better")
    )
    said = better if difference.reading == "above" else worse
    return f"{said} (only {difference.n} seeds)" if difference.n < FEW else said
