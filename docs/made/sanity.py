"""The sanity checks: does a ticket win by its initial weights?"""

import functools

from compared import Compared, compare
from studies import Accuracies, accuracies, mean, study, values
from texts import interval, listed, one_line, paragraph, percent, span_of, spread, table

from jaxticket import analysis

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

    def verdicts(self) -> dict[tuple[str, int], str]:
        """(ticket, level) -> what the paper's five conditions say of the means."""
        how = {name: self.options[name] for name in ("tolerance", "gap", "min_sparsity", "single_lr")}
        found = {}
        for setting in ("lt", "wr"):
            for kind in KINDS:
                for level in self.levels:
                    means = {
                        name: {
                            lr: mean(self.of(branch, 0 if branch == "dense" else level, lr).values()) for lr in self.lrs
                        }
                        for name, branch in (
                            ("dense", "dense"),
                            ("lt", f"{setting}_{kind}"),
                            ("rr", f"rr_{kind}"),
                            ("small_dense", "sdt"),
                        )
                    }
                    sparsity = mean(values(self.rows, "sparsity", branch=f"{setting}_{kind}", level=level))
                    found[f"{setting}_{kind}", level] = analysis.verdict(**means, sparsity=sparsity, seeds=3, **how)
        return {key: value.kind for key, value in found.items()}


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
    """The verdict by means, and whether its deciding difference is settled."""
    found = one.verdicts()
    prizes = {key: kind for key, kind in found.items() if kind in ("jackpot", "secondary")}
    if not prizes:
        return f"Verdict: no winning ticket in any of the {len(found)} cells."
    kinds = {kind: [key for key, value in prizes.items() if value == kind] for kind in dict.fromkeys(prizes.values())}
    words = [
        f"*{kind}* in {len(cells)} of {len(found)} cells"
        + (
            ""
            if len(cells) == len(found)
            else f" ({listed([f'`{name}` at {one.removed(level)}' for name, level in cells])})"
        )
        for kind, cells in kinds.items()
    ]
    return f"Verdict by the means, as the paper's rule has it: {'; '.join(words)}."


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
