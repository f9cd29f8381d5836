"""The differences of a study's treatments from their controls, typed; what is settled of them, in words."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxticket import analysis
from jaxticket.report import text
from jaxticket.report.study import Study, number


class Comparison(analysis.Comparison):
    """A treatment minus its control, and what it allows to say."""

    @property
    def reading(self) -> str:
        """`settled: above`, `settled: below` or `not settled`."""
        if not self.settled:
            return "not settled"
        return "settled: above" if self.mean > 0 else "settled: below"

    @property
    def sentence(self) -> str:
        """The difference and what it allows to say: `+1.47 points (95 % +0.79 to +2.15, n = 3): not settled`."""
        interval = text.interval_points(self.low, self.high)
        where = f"{self.confidence:.0%} {interval}, " if interval != text.NOTHING else ""
        return f"{text.points(self.mean)} points ({where}n = {self.n}): {self.reading}"


def comparisons(study: Study) -> list[Comparison]:
    """The entries of `summary["comparisons"]`; none where a study has no control.

    Raises:
        JaxticketError: an entry is not what an experiment writes.
    """
    return study.parsed("comparisons", _comparison)


def find(
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
    """What it rests on that a treatment is as good as dense, in words; empty where the study does not compare them."""
    one = find(found, treatment, "dense", level, case)
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


def _comparison(entry: Mapping[str, Any]) -> Comparison:
    numbers = {name: number(entry.get(name)) for name in ("low", "high", "low_holm", "high_holm", "p", "p_holm")}
    case = entry.get("case") or {}
    if not isinstance(case, Mapping):
        raise TypeError(f"case is {case!r}")
    return Comparison(
        treatment=str(entry["treatment"]),
        control=str(entry["control"]),
        level=None if entry["level"] is None else int(entry["level"]),
        case=dict(case),
        n=int(entry["n"]),
        mean=float(entry["mean"]),
        comparisons=int(entry["comparisons"]),
        confidence=number(entry.get("confidence")) or 0.95,
        settled=bool(entry["settled"]),
        **numbers,
    )
