"""Aids for sparse training."""

import functools

from compared import Compared, compare
from studies import Accuracies, accuracies, mean, study, values
from texts import interval, one_line, paragraph, spread, table

CELLS = ("soft", "ghost", "smoothing", "lrsi", "all")
STUDIES = {"fashion": "tost-conv3-fashion_mnist", "emoji": "tost-conv3-emoji32"}


class Study:
    """One of them: its rows, compared."""

    def __init__(self, name: str):
        self.rows = study(name)["rows"]
        self.dense = accuracies(self.rows, branch="dense")
        branches = [branch for branch in values(self.rows, "branch") if branch != "dense"]
        self.sources = [(name, level) for name in branches for level in values(self.rows, "level", branch=name)]

    def of(self, source: str, level: int, cell: str) -> Accuracies:
        """Test accuracies by seed."""
        return accuracies(self.rows, branch=source, level=level, aids=cell)

    @functools.cached_property
    def single(self) -> Compared:
        """Every aid against the plain network of the same mask."""
        return compare(
            {(*at, cell): (self.of(*at, cell), self.of(*at, "plain")) for at in self.sources for cell in CELLS}
        )

    @functools.cached_property
    def means(self) -> Compared:
        """Every aid against plain, the mean over masks and sparsities of each seed."""

        def average(cell: str) -> Accuracies:
            return {seed: mean(self.of(*at, cell)[seed] for at in self.sources) for seed in self.dense}

        return compare({cell: (average(cell), average("plain")) for cell in CELLS})

    def better(self, cell: str) -> tuple[int, int]:
        """In how many pairs of networks the aid is above plain, and of how many."""
        pairs = [(self.of(*at, cell)[seed], self.of(*at, "plain")[seed]) for at in self.sources for seed in self.dense]
        return sum(a > b for a, b in pairs), len(pairs)


def rows_table(one: Study) -> str:
    """A row for each mask and sparsity, their mean and the count of better networks."""
    rows = []
    for source, level in one.sources:
        sparsity = values(one.rows, "sparsity", branch=source, level=level)[0]
        differences = [interval(one.single.of[source, level, cell]) for cell in CELLS]
        rows.append([source.upper(), f"{100 * sparsity:.0f} %", spread(one.of(source, level, "plain")), *differences])
    number = {3: "three", 6: "six"}[len(one.sources)]
    rows.append([f"mean of the {number}", "", "", *[interval(one.means.of[cell]) for cell in CELLS]])
    rows.append(["better than plain", "", "", *["{} of {}".format(*one.better(cell)) for cell in CELLS]])
    return table(["masks of", "sparsity", "plain", *CELLS], rows)


def findings(one: Study) -> str:
    """What the table shows: the best mean, and whether anything is told from nothing."""
    order = sorted(CELLS, key=lambda cell: -one.means.of[cell].mean)
    outside = [(key, one.single.of[key]) for key in one.single.outside()]
    outside_means = [(cell, one.means.of[cell]) for cell in one.means.outside()]
    above = [found.mean > 0 for _, found in outside + outside_means]
    sides: dict[tuple[bool, ...], str] = {(True,): "above", (False,): "below"}
    side = sides.get(tuple(dict.fromkeys(above)))
    side = f"Where an interval excludes zero, the aid is {side} plain." if side else ""
    means = one.means.sentence().replace("of the study", "of means")
    return paragraph(
        f"The best mean has `{order[0]}`, {interval(one.means.of[order[0]])}; then `{order[1]}`,",
        f"{interval(one.means.of[order[1]])}. {one.single.sentence()} Among the means over the masks",
        f"{means[0].lower()}{means[1:]} {side}",
    )


def answer() -> tuple[str, str]:
    """The answer of the README, and whether it is settled."""
    found = {name: Study(file) for name, file in STUDIES.items()}
    best = {name: max(CELLS, key=lambda cell: one.means.of[cell].mean) for name, one in found.items()}
    singles = sum(len(one.single.of) for one in found.values())
    outside = [one.single.of[key] for one in found.values() for key in one.single.outside()]
    left = sum(len(one.single.settled()) for one in found.values())
    words = one_line(
        f"the best mean has `{best['fashion']}` on Fashion-MNIST,",
        f"{interval(found['fashion'].means.of[best['fashion']])}, and `{best['emoji']}` on drawings,",
        f"{interval(found['emoji'].means.of[best['emoji']])}; {len(outside)} of {singles} intervals exclude zero,",
        "all below plain," if all(one.mean < 0 for one in outside) else "on both sides,",
        f"{left or 'none'} after correction; no learning rate was decayed",
    )
    settled = all(one.means.settled([best[name]]) for name, one in found.items())
    return words, "settled" if settled else "not settled"


def texts() -> dict[str, str]:
    """The made texts of these studies."""
    made = {}
    for name, file in STUDIES.items():
        one = Study(file)
        made |= {f"tost-{name}-table": rows_table(one), f"tost-{name}-findings": findings(one)}
        made[f"tost-{name}-dense"] = spread(one.dense)
    return made
