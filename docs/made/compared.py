"""What the differences of a study allow to say, with a correction for how many of them were looked at."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from studies import Accuracies

from jaxticket import analysis


@dataclasses.dataclass(frozen=True)
class Compared:
    """The differences of a study, paired by seed; all of them are one family, as in the experiments' own summaries.

    Attributes:
        tests: what was compared -> the difference and whether it is settled at 95 %.
    """

    tests: Mapping[Any, analysis.PairedTest]

    @property
    def of(self) -> Mapping[Any, analysis.Difference]:
        """What was compared -> the difference, with its 95 % interval by Student's t."""
        return {key: test.difference for key, test in self.tests.items()}

    def outside(self, keys: Iterable[Any] | None = None) -> list[Any]:
        """Those, of `keys` or of all, whose own interval excludes zero."""
        return [key for key in keys or self.tests if self.tests[key].difference.against(0.0) != "undecided"]

    def settled(self, keys: Iterable[Any] | None = None) -> list[Any]:
        """Those, of `keys` or of all, that exclude zero after correction."""
        return [key for key in keys or self.tests if self.tests[key].settled]

    def sentence(self, keys: Iterable[Any] | None = None) -> str:
        """How many of `keys`, or of all, exclude zero by themselves and after correction."""
        keys = list(keys or self.of)
        outside, settled = self.outside(keys), self.settled(keys)
        return (
            f"{_count(len(outside)).capitalize()} of the {len(keys)} intervals"
            f" {'exclude' if len(outside) > 1 else 'excludes'} zero, {_count(len(settled))} after Holm's correction for"
            f" the {len(self.of)} comparisons of the study."
        )

    def word(self, *keys: Any) -> str:
        """`settled` if all of them are, else `not settled`."""
        return "settled" if len(self.settled(keys)) == len(keys) else "not settled"


def compare(pairs: Mapping[Any, tuple[Accuracies, Accuracies]]) -> Compared:
    """The differences first - second of every pair.

    Args:
        pairs: what is compared -> test accuracies by seed of a network and of its control.
    """
    return Compared(dict(zip(pairs, analysis.paired_tests(list(pairs.values())), strict=True)))


def _count(number: int) -> str:
    return str(number) if number else "none"
