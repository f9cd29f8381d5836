"""The differences of a study's treatments from their controls, and what is settled of them, in words."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jaxticket.analysis import Comparison
from jaxticket.report import text
from jaxticket.report.groups import NO_CASE
from jaxticket.report.study import Study


def how_to_read(one: Comparison) -> str:
    """`settled: above`, `settled: below` or `not settled`."""
    if not one.settled:
        return "not settled"
    return "settled: above" if one.mean > 0 else "settled: below"


def sentences(found: Iterable[Comparison], treatment: str, level: int | None, case: Mapping[str, Any] = NO_CASE) -> str:
    """How a treatment differs from its controls, and what is settled of it; empty where it has none.

    Each difference is a sentence: `Minus dense: +1.47 points (95% +0.79 to +2.15, n = 3): not settled.`
    """
    said = []
    for one in found:
        if (one.treatment, one.level, dict(one.case)) == (treatment, level, dict(case)):
            interval = text.interval_points(one.low, one.high)
            where = f"{one.confidence:.0%} {interval}, " if interval != text.NOTHING else ""
            said.append(
                f"Minus {one.control}: {text.points(one.mean)} points ({where}n = {one.n}): {how_to_read(one)}."
            )
    return " ".join(said)


def comparisons(study: Study) -> list[Comparison]:
    """The entries of `summary["comparisons"]`; none where a study has no control.

    Raises:
        JaxticketError: an entry is not what an experiment writes.
    """
    return study.records("comparisons", Comparison)


def find_comparison(
    found: Sequence[Comparison],
    treatment: str,
    control: str,
    level: int | None = None,
    case: Mapping[str, Any] | None = None,
) -> Comparison | None:
    """The comparison of a treatment with a control, at a level and a case where they are given."""
    return next(
        (
            one
            for one in found
            if (one.treatment, one.control) == (treatment, control)
            and (level is None or one.level == level)
            and (case is None or dict(one.case) == dict(case))
        ),
        None,
    )


def standing(found: Sequence[Comparison], treatment: str, level: int, case: Mapping[str, Any]) -> str:
    """On what it rests that a treatment is as good as dense; empty where the study does not compare them."""
    one = find_comparison(found, treatment, "dense", level, case)
    if one is None:
        return ""
    if not one.settled:
        return "by means, not settled"
    return "settled to be above dense" if one.mean > 0 else "settled to be below dense, by less than the margin"


def summed_up(found: Sequence[Comparison]) -> str:
    """How many are settled, such as `3 of 8 comparisons are settled at 95% after Holm's correction`, and a period."""
    settled, made = sum(one.settled for one in found), len(found)
    confidence = f"{100 * found[0].confidence:g}%"
    what = f"{made} comparison" + ("" if made == 1 else "s")
    if not settled:
        return f"None of {what} is settled at {confidence} after Holm's correction."
    verb = "is" if settled == 1 else "are"
    rest = "" if settled == made else "; the rest are not settled" if made - settled > 1 else "; the other is not"
    return f"{settled} of {what} {verb} settled at {confidence} after Holm's correction{rest}."
