"""The sanity checks: does a ticket win by its initial weights?"""

import functools
from typing import Any

from compared import Compared, compare
from studies import Accuracies, accuracies, mean, study, values
from texts import interval, listed, one_line, paragraph, percent, span_of, spread, table

from jaxticket.experiments.sanity.analysis import decide
from jaxticket.experiments.sanity.options import SanityOptions, VerdictOptions

STUDIES = {
    "lenet300-fashion": "sanity-lenet300-fashion_mnist",
    "lenet300-digits": "sanity-lenet300-digits",
    "conv3-digits": "sanity-conv3-digits",
    "lenet5-fashion": "sanity-lenet5-fashion_mnist",
}
KINDS = ("imp", "omp")


class Study:
    """One of them: its rows, compared."""

    def __init__(self, name: str):
        self.rows = study(name)["rows"]
        self.correlations = study(name)["correlation"]
        self.options = study(name)["verdict"]["options"]
        self.lrs = values(self.rows, "lr", branch="dense")
        self.levels = values(self.rows, "level", branch="sdt")

    def of(self, branch: str, level: int, lr: float) -> Accuracies:
        """Test accuracies by seed."""
        return accuracies(self.rows, branch=branch, level=level, lr=lr)

    @functools.cached_property
    def gains(self) -> Compared:
        """Every ticket against its controls, by (rate, level, ticket, control)."""
        return compare(
            {
                (lr, level, f"{setting}_{kind}", control): (
                    self.of(f"{setting}_{kind}", level, lr),
                    self.of(control, 0 if control == "dense" else level, lr),
                )
                for lr in self.lrs
                for level in self.levels
                for kind in KINDS
                for setting in ("lt", "wr")
                for control in (f"rr_{kind}", "sdt", "dense")
            }
        )

    def key(self, lr: float, level: int, kind: str) -> tuple[float, int, str, str]:
        """Of the ticket against the same mask with other initial weights."""
        return lr, level, f"lt_{kind}", f"rr_{kind}"

    def keys(self, lr: float) -> list[tuple[float, int, str, str]]:
        """Of all of these at a learning rate."""
        return [self.key(lr, level, kind) for level in self.levels for kind in KINDS]

    def removed(self, level: int) -> str:
        """`59.0 %`."""
        return f"{percent(mean(values(self.rows, 'sparsity', branch='lt_imp', level=level)), 1)} %"

    def indicator(self, lr: float, level: int, mask: str, start: str) -> str:
        """The mean correlation indicator, to two digits."""
        found = [
            one["correlation"]
            for one in self.correlations
            if (one["lr"], one["level"], one["mask"], one["start"]) == (lr, level, mask, start)
        ]
        return f"{mean(found):.2f}"

    @functools.cached_property
    def verdict(self) -> dict[str, Any]:
        """The verdict as the experiment gives it today, from the stored rows."""
        options = SanityOptions(levels=tuple(self.levels), verdict=VerdictOptions(**self.options))
        return decide(self.rows, options)


def rows_table(one: Study) -> str:
    """A row for each rate, level and kind of mask."""
    rows = []
    for lr in one.lrs:
        dense = one.of("dense", 0, lr)
        rows.append(
            [f"{lr:g}", "0 %", "-", f"dense: {spread(dense)}", "", "", "", "", one.indicator(lr, 0, "dense", "init")]
        )
        for level in one.levels:
            for kind in KINDS:
                rows.append(
                    [
                        f"{lr:g}",
                        one.removed(level),
                        kind.upper(),
                        spread(one.of(f"lt_{kind}", level, lr)),
                        spread(one.of(f"rr_{kind}", level, lr)),
                        interval(one.gains.of[one.key(lr, level, kind)]),
                        spread(one.of(f"wr_{kind}", level, lr)),
                        spread(one.of("sdt", level, lr)),
                        f"{one.indicator(lr, level, kind, 'init')} ({one.indicator(lr, level, kind, 'reinit')})",
                    ]
                )
    header = "learning rate", "sparsity", "masks", "LT", "RR", "LT − RR, 95 % interval", "WR", "SDT", "R of LT (of RR)"
    return table(header, rows)


def settled(one: Study) -> str:
    """How the gains over random reinitialisation stand at each rate."""
    return " ".join(
        f"At {lr:g} LT − RR is {span_of([one.gains.of[key] for key in one.keys(lr)])} points."
        f" {one.gains.sentence(one.keys(lr))}"
        for lr in one.lrs
    )


def verdict(one: Study) -> str:
    """The verdict by means, and whether the differences it rests on bear it."""
    cells = one.verdict["cells"]
    kind, prizes = one.verdict["kind"], [cell for cell in cells if cell["kind"] in ("jackpot", "secondary")]
    if not prizes:
        words = f"Verdict: no winning ticket in any of the {len(cells)} cells"
    else:
        named = [f"`{cell['ticket']}` at {one.removed(cell['level'])}" for cell in prizes]
        where = "" if len(prizes) == len(cells) else f" ({listed(named)})"
        words = f"Verdict by the means, the paper's rule: *{kind}* in {len(prizes)} of {len(cells)} cells{where}"
    sure = "settled" if one.verdict["settled"] else "not settled"
    return f"{words}; after Holm's correction for the cells, {sure}."


def answer() -> tuple[str, str]:
    """The answer of the README, and whether it is settled."""
    one = Study(STUDIES["lenet300-fashion"])
    parts, words = [], []
    for lr in one.lrs:
        keys = one.keys(lr)
        dense = percent(mean(one.of("dense", 0, lr).values()), 1)
        parts.append(
            f"at a learning rate of {lr:g} {span_of([one.gains.of[key] for key in keys])} points (dense: {dense} %)"
        )
        words.append(f"{len(one.gains.settled(keys))} of {len(keys)} settled at {lr:g}")
    about = "LeNet-300-100 on Fashion-MNIST, against the same mask with other weights:"
    return one_line(about, ", ".join(parts)), ", ".join(words)


def texts() -> dict[str, str]:
    """The made texts of these studies."""
    made = {}
    for name, file in STUDIES.items():
        one = Study(file)
        made[f"sanity-{name}-table"] = rows_table(one)
        made[f"sanity-{name}-findings"] = paragraph(settled(one), verdict(one))
    return made
