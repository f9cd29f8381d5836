"""Structured tickets and their random twins, and how dense regrouped masks are."""

import functools

from compared import Compared, compare
from studies import Accuracies, accuracies, benchmark, mean, study, values
from texts import interval, listed, one_line, paragraph, percent, spread, table

WORDS = {"imp": "IMP, unstructured", "refill": "refill", "refill_plus": "refill+", "regroup": "regroup"}
FULL = "structured-conv3-fashion_mnist"
ONE_ROUND = {"never decayed": f"{FULL}-undecayed", "decayed at 3 and 4": f"{FULL}-decayed"}


class Study:
    """One of them: its rows, compared."""

    def __init__(self, name: str):
        self.rows = study(name)["rows"]
        self.dense = accuracies(self.rows, branch="dense")
        self.levels = [level for level in values(self.rows, "level") if level]
        self.methods = [name for name in WORDS if name != "imp" and values(self.rows, "level", branch=name)]

    def of(self, branch: str, level: int) -> Accuracies:
        """Test accuracies by seed."""
        return accuracies(self.rows, branch=branch, level=level)

    def left(self, branch: str, level: int) -> str:
        """`22.5 %`, the share of the weights that the mask keeps, the mean over seeds."""
        return f"{percent(1 - self._mean('sparsity', branch, level), 1)} %"

    def macs(self, branch: str, level: int) -> float:
        """Millions, the mean over seeds."""
        return self._mean("macs", branch, level) / 1e6

    def _mean(self, key: str, branch: str, level: int) -> float:
        return mean(row[key] for row in self.rows if (row["branch"], row["level"]) == (branch, level))

    @functools.cached_property
    def found(self) -> Compared:
        """All that the experiment compares: tickets with dense networks, random twins and channel pruning."""
        pairs = {
            (name, level, "random"): (self.of(name, level), self.of(f"{name}_random", level))
            for level in self.levels
            for name in self.methods
        }
        slim = [name for name in values(self.rows, "branch") if name.startswith("slim_")]
        pairs |= {
            ("refill", level, name): (self.of("refill", level), self.of(name, level))
            for level in self.levels
            for name in slim
        }
        return compare(
            pairs
            | {
                (name, level, "dense"): (self.of(name, level), self.dense)
                for level in self.levels
                for name in ("imp", *self.methods, *slim)
            }
        )

    def gain(self, name: str, level: int) -> str:
        """Over its random twin, with an interval."""
        return interval(self.found.of[name, level, "random"])

    def twins(self) -> str:
        """How many of the differences from random twins exclude zero."""
        return self.found.sentence([(name, level, "random") for level in self.levels for name in self.methods])


def rounds_table() -> str:
    """A row for each round and method."""
    one = Study(FULL)
    rows = [["0", "dense", "100 %", f"{one.macs('dense', 0):.2f}", spread(one.dense), "", ""]]
    for level in one.levels:
        for name in ("imp", *one.methods):
            twin = name != "imp"
            rows.append(
                [
                    str(level),
                    WORDS[name],
                    one.left(name, level),
                    f"{one.macs(name, level):.2f}" if twin else "-",
                    spread(one.of(name, level)),
                    spread(one.of(f"{name}_random", level)) if twin else "",
                    one.gain(name, level) if twin else "",
                ]
            )
    return table(
        ["round", "tickets", "left", "MACs, millions", "ticket", "random", "ticket − random, 95 % interval"], rows
    )


def rounds_findings() -> str:
    """What the rounds show, and what a rate that was never decayed hides."""
    one = Study(FULL)
    by_method = [
        f"{WORDS[name]} {' / '.join(percent(mean(one.of(name, level).values()), 1) for level in one.levels)}"
        f" (random {' / '.join(percent(mean(one.of(f'{name}_random', level).values()), 1) for level in one.levels)})"
        for name in one.methods
    ]
    negative = [
        WORDS[name] for name in one.methods if all(one.found.of[name, level, "random"].mean < 0 for level in one.levels)
    ]
    sizes = [values(one.rows, "parameters_shrunk", branch="refill", level=level)[0] for level in one.levels]
    return paragraph(
        f"{one.twins()} Means, round by round: {listed(by_method)}.",
        f"The means of {listed(negative)} are below their random twins' in every round." if negative else "",
        "The learning rate was 0.1 to the last step, which leaves spreads of several points; the next study is of the",
        "same data and time with a rate that is decayed. What this one does show: the masks are structured to the",
        "last weight (share 1.0), and the shrunk networks have the counted sizes",
        f"({listed([f'{size:,}' for size in sizes])} parameters for refill).",
    )


def decay_table() -> str:
    """The study of one round at a constant and at a decayed learning rate."""
    rows = []
    for words, name in ONE_ROUND.items():
        one = Study(name)
        rows.append([words, str(len(one.dense)), "dense", "100 %", spread(one.dense), "", "", ""])
        for branch in ("imp", *one.methods):
            twin = branch != "imp"
            rows.append(
                [
                    words,
                    str(len(one.dense)),
                    WORDS[branch],
                    one.left(branch, 1),
                    spread(one.of(branch, 1)),
                    interval(one.found.of[branch, 1, "dense"]),
                    spread(one.of(f"{branch}_random", 1)) if twin else "",
                    one.gain(branch, 1) if twin else "",
                ]
            )
    header = [
        "learning rate",
        "seeds",
        "tickets",
        "left",
        "ticket",
        "ticket − dense",
        "random",
        "ticket − random, 95 % interval",
    ]
    return table(header, rows)


def decay_findings() -> str:
    """What decaying the learning rate changes."""
    flat, decayed = (Study(name) for name in ONE_ROUND.values())

    def gains(one: Study) -> str:
        return listed([f"{one.gain(name, 1)} for {WORDS[name]}" for name in one.methods])

    winning = [
        f"{WORDS[name]} ({interval(decayed.found.of[name, 1, 'dense'])})"
        for name in ("imp", *decayed.methods)
        if decayed.found.of[name, 1, "dense"].mean >= 0
    ]
    return paragraph(
        f"With a decayed rate structured tickets differ from their random twins by {gains(decayed)};",
        f"{decayed.twins()[0].lower()}{decayed.twins()[1:]} At the constant rate the same networks give",
        f"{gains(flat)}; {flat.twins()[0].lower()}{flat.twins()[1:]}",
        f"At the decayed rate these have means at or above the dense network's: {listed(winning)}." if winning else "",
        "Two structures of one small network in one round of pruning; the other studies here that were never",
        "decayed have not been run again.",
    )


def answer() -> tuple[str, str]:
    """The answer of the README, and whether it is settled."""
    one = Study(ONE_ROUND["decayed at 3 and 4"])
    parts = [f"{one.gain(name, 1)} points for {WORDS[name]} at {one.left(name, 1)}" for name in one.methods]
    words = one_line(f"Conv-3 on Fashion-MNIST: {listed(parts)} of the weights, with a learning rate that is decayed")
    return words, one.found.word(*((name, 1, "random") for name in one.methods))


def density_table() -> str:
    """Densities of regrouped masks, and the paper's."""
    found = benchmark("regroup")
    paper = {"0.64": "80.0 %", "0.4096": "62.6 %", "0.3277": "56.09 %", "0.2097": "38.18 %", "0.1342": "25.27 %"}
    vgg = found["vgg16"]
    rows = [
        [
            f"{100 * float(kept):.2f} %",
            f"{percent(found['by_rule'][kept]['row_budget']['density'], 1)} %",
            f"{percent(vgg['row_budget']['density'], 1)} %" if float(kept) == vgg["density"] else "",
            density,
        ]
        for kept, density in paper.items()
    ]
    header = [
        "kept by IMP",
        "512 x 4608 layer",
        "all of VGG-16",
        "paper, VGG-16 on CIFAR-100 (Chen et al. 2022, table A5)",
    ]
    return table(header, rows)


def texts() -> dict[str, str]:
    """The made texts of these studies."""
    return {
        "structured-table": rounds_table(),
        "structured-findings": rounds_findings(),
        "structured-decay-table": decay_table(),
        "structured-decay-findings": decay_findings(),
        "regroup-densities": density_table(),
    }
