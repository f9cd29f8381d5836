"""Structured tickets of Conv-3 on digits, their controls and channel pruning."""

from structured import WORDS, Study
from texts import interval, listed, paragraph, percent, spread, table

ONE = Study("structured-conv3-digits")
DENSE_MACS = ONE.macs("dense", 0)
SLIM = {"slim_bn_scale": "by normalisation scale", "slim_l1": "by L1 norm of the outputs"}
TO_SLIM = {(level, name): ("refill", level, name) for level in ONE.levels for name in SLIM}


def rows_table() -> str:
    """A row for every second round and method: what is left, the MACs, the ticket, its control and their difference."""
    rows = [["0", "dense", "100 %", "100 %", spread(ONE.dense), "", ""]]
    for level in ONE.levels[::2]:
        for name in ("imp", *ONE.methods):
            twin = name != "imp"
            rows.append(
                [
                    str(level),
                    WORDS[name],
                    ONE.left(name, level),
                    f"{percent(ONE.macs(name, level) / DENSE_MACS, 0)} %" if twin else "-",
                    spread(ONE.of(name, level)),
                    spread(ONE.of(f"{name}_random", level)) if twin else "",
                    ONE.gain(name, level) if twin else "",
                ]
            )
    return table(["round", "tickets", "left", "MACs", "ticket", "control", "ticket − control, 95 % interval"], rows)


def findings() -> str:
    """What the tables show."""
    above = sum(ONE.found.of[name, level, "random"].mean > 0 for level in ONE.levels for name in ONE.methods)
    return paragraph(
        f"Over all five rounds, the ticket's mean is above its control's in {above} of",
        f"{len(ONE.levels) * len(ONE.methods)} cells. {ONE.twins()} Seeds are what this study lacks.",
    )


def slim_table() -> str:
    """Refilled tickets beside channel pruning of the dense network to about as many weights."""
    gaps = ONE.found.of
    rows = [
        [
            str(level),
            f"{spread(ONE.of('refill', level))} ({ONE.left('refill', level)})",
            *(
                f"{spread(ONE.of(name, level))} ({ONE.left(name, level)}); {interval(gaps[TO_SLIM[level, name]])}"
                for name in SLIM
            ),
        ]
        for level in ONE.levels
    ]
    return table(["round", "refill (left)", *(f"{words} (left); refill − it" for words in SLIM.values())], rows)


def slim_findings() -> str:
    """Whether refilling beats channel pruning."""
    last = [interval(ONE.found.of[TO_SLIM[ONE.levels[-1], name]]) for name in SLIM]
    return paragraph(
        f"In the last round refilling is {listed(last)} points from",
        f"the two. {ONE.found.sentence(TO_SLIM.values())}",
    )


def winners() -> str:
    """The sparsest ticket of every method whose mean is at least the dense network's, and whether that is settled."""
    found, keys = [], []
    for name in ONE.methods:
        wins = [level for level in ONE.levels if ONE.found.of[name, level, "dense"].mean >= 0]
        if wins:
            found.append(f"`{name}` wins to {percent(1 - float(ONE.left(name, wins[-1])[:-2]) / 100, 1)} % sparsity")
            keys.append((name, wins[-1], "dense"))
    settled = [name for name, *_ in ONE.found.settled(keys)]
    return f"{listed(found)} by their means, of which {listed(settled) if settled else 'nothing'} is settled"


def texts() -> dict[str, str]:
    """The made texts of this study."""
    return {
        "structured-digits-table": rows_table(),
        "structured-digits-findings": findings(),
        "structured-digits-winners": winners(),
        "structured-slim-table": slim_table(),
        "structured-slim-findings": slim_findings(),
    }
