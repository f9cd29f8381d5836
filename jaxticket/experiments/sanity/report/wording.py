"""A verdict in words: what was found, what is missing and how sure it is."""

from collections.abc import Sequence

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


def backing(cell: TicketVerdict) -> str:
    """Whether the spread over seeds backs what the means of a cell say."""
    known = [difference for difference in cell.differences if difference.n > 1]
    if not known:
        return "n = 1: one seed, so nothing is known of chance." if cell.differences else ""
    seeds = min(difference.n for difference in known)
    settled = sum(difference.reading != "undecided" for difference in known)
    few = f" With {seeds} seeds that is little to go by." if seeds < FEW else ""
    return (
        f"Its means are over {text.count_text(seeds, 'seed')}; "
        f"of its {text.count_text(len(known), 'difference')} from controls, "
        f"{settled or 'none'} {'has' if settled < 2 else 'have'} the whole interval on one side of the threshold, each "
        f"taken alone.{few}"
    )


def certainty(differences: Sequence[ControlDifference]) -> list[str]:
    """What the seeds allow to say of these differences, in sentences."""
    if not differences:
        return ["No ticket has a control of the same seed and learning rate, so no difference is known seed by seed."]
    fewest = min(difference.n for difference in differences)
    said = []
    if fewest == 1:
        said.append("One seed (n = 1): a difference has no interval, and chance cannot be told from effect.")
    elif fewest < FEW:
        said.append(
            f"Only {fewest} seeds: intervals from so few values are too wide to lean on, whichever way they point."
        )
    readings = [difference.reading for difference in differences if difference.low is not None]
    if readings:
        sides = {side: readings.count(side) for side in ("above", "below", "undecided")}
        said.append(
            f"Of {text.count_text(len(readings), 'difference')}, the whole interval is above the threshold in "
            f"{sides['above']} and below it in {sides['below']}; in {sides['undecided']} it is on both sides, which "
            "settles nothing."
        )
    if len(readings) > 1:
        said.append("These intervals are not corrected for their number: of many, some miss the truth by chance.")
    return said


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
