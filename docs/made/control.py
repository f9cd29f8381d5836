"""IMP of LeNet-300-100 on digits beside its controls: are a ticket's initial weights worth anything?"""

from compared import compare
from studies import accuracies, study, values
from texts import interval, one_line, paragraph, percent, span_of, spread, table

TICKETS = study("imp-lenet300-digits-control")["rows"]
OWN = study("imp-lenet300-digits-own-masks")["rows"]
LEVELS = values(TICKETS, "level", branch="imp")
FOUND = compare(
    {
        (level, against): (accuracies(TICKETS, branch="imp", level=level), other)
        for level in LEVELS
        for against, other in (
            ("rr_imp", accuracies(TICKETS, branch="rr_imp", level=level)),
            ("own", accuracies(OWN, branch="rr_imp", level=level)),
            ("dense", accuracies(TICKETS, branch="dense")),
        )
    }
)


def rows_table() -> str:
    """A row for each level: the ticket, and networks that start from other weights."""
    rows = [["0", "0.0 %", f"dense: {spread(accuracies(TICKETS, branch='dense'))}", "", "", ""]]
    for level in LEVELS:
        rows.append(
            [
                str(level),
                f"{percent(values(TICKETS, 'sparsity', branch='imp', level=level)[0], 1)} %",
                spread(accuracies(TICKETS, branch="imp", level=level)),
                spread(accuracies(TICKETS, branch="rr_imp", level=level)),
                interval(FOUND.of[level, "rr_imp"]),
                spread(accuracies(OWN, branch="rr_imp", level=level)),
            ]
        )
    header = ["level", "sparsity", "ticket", "its mask, other weights", "difference, 95 % interval"]
    return table([*header, "masks of their own, a new draw each round"], rows)


def _span(against: str) -> str:
    return span_of([FOUND.of[level, against] for level in LEVELS])


def findings() -> str:
    """What the table shows."""
    keys = [(level, "rr_imp") for level in LEVELS]
    return paragraph(
        f"Level by level a ticket differs by {_span('rr_imp')} points from its own mask with other initial weights.",
        FOUND.sentence(keys),
        f"From rounds that draw new weights each time and find masks of their own it differs by {_span('own')}",
        "points. At this learning rate weights hardly move, and a ticket is little without those it was found with.",
        "Rounds that all start from *one* other draw are no control, whatever they are called: they find the",
        "tickets of that draw.",
    )


def answer() -> tuple[str, str]:
    """The answer of the README, and whether it is settled."""
    keys = [(level, "rr_imp") for level in LEVELS]
    words = f"LeNet-300-100 on digits at a learning rate of 0.001: {_span('rr_imp')} points over {len(LEVELS)} levels"
    return one_line(words), f"{len(FOUND.settled(keys))} of {len(keys)} settled"


def texts() -> dict[str, str]:
    """The made texts of this study."""
    return {"control-table": rows_table(), "control-findings": findings()}
