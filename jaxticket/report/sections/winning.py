"""The extreme structural winning tickets, in sentences (Chen et al. 2022, section 3)."""

import dataclasses

from jaxticket.report.compared import Comparison, comparisons
from jaxticket.report.groups import Group, dense_group, gap, group_rows
from jaxticket.report.sections.headline import coarseness
from jaxticket.report.sections.section import Section, render
from jaxticket.report.structures import Winner, control_of, is_slim, winners
from jaxticket.report.study import Study


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What can be said of one branch.

    Attributes:
        branch: its name.
        winner: its extreme winning ticket, None where no level wins.
        group: the networks of the winner, else those that come nearest to dense; None where none are known.
        gap: their mean test accuracy minus the dense one.
        pairs: (seeds in which the network is not below the dense one of its seed, seeds that can be compared).
        control: the same masks from other initial weights.
        compared: how its networks differ from their controls seed by seed, and whether that is settled.
    """

    branch: str
    winner: Winner | None
    group: Group | None
    gap: float | None
    pairs: tuple[int, int]
    control: Group | None
    compared: str = ""


def winning(study: Study) -> Section | None:
    """The sparsest network of every branch that is not below the dense one, with n, spread and cost."""
    won = winners(study)
    if not won:
        return None
    groups = group_rows(study.rows)
    dense = dense_group(groups)
    in_order = dict.fromkeys([*(group.branch for group in groups if group.branch in won), *won])
    differences = comparisons(study)
    outcomes = [
        dataclasses.replace(one, compared=_compared(one, differences))
        for one in (_outcome(branch, won[branch], groups, dense) for branch in in_order)
    ]
    structural = [
        outcome
        for outcome in outcomes
        if outcome.winner and outcome.winner.structured_share is not None and not is_slim(outcome.branch)
    ]
    html = render(
        "winning.html.jinja",
        outcomes=outcomes,
        lead=max(structural, key=_sparsity, default=None),
        dense=dense,
        cautions=_cautions(study, dense),
    )
    return Section("winning", "", html)


def _outcome(branch: str, winner: Winner | None, groups: list[Group], dense: Group | None) -> Outcome:
    own = [group for group in groups if group.branch == branch]
    if winner:
        group = next((group for group in own if group.level == winner.level), None)
    else:
        known = [group for group in own if group.spread("test_accuracy").n]
        group = max(known, key=lambda group: group.spread("test_accuracy").mean or 0.0, default=None)
    if group is None:
        return Outcome(branch, winner, None, None, (0, 0), None)
    level, name = group.level, control_of(branch)
    control = next((other for other in groups if (other.branch, other.level) == (name, level)), None)
    if dense is None:
        return Outcome(branch, winner, group, None, (0, 0), control)
    return Outcome(branch, winner, group, gap(group, dense), _paired(group, dense), control)


def _compared(outcome: Outcome, differences: list[Comparison]) -> str:
    level = outcome.group.level if outcome.group else None
    own = [one for one in differences if (one.treatment, one.level) == (outcome.branch, level)]
    return " ".join(f"Minus {one.control}: {one.sentence}." for one in own)


def _sparsity(outcome: Outcome) -> float:
    return outcome.winner.sparsity if outcome.winner else 0.0


def _paired(group: Group, dense: Group) -> tuple[int, int]:
    reference = {row.seed: row.test_accuracy for row in dense.rows}
    gaps = [
        row.test_accuracy - base
        for row in group.rows
        if row.test_accuracy is not None and (base := reference.get(row.seed)) is not None
    ]
    return sum(found >= -1e-9 for found in gaps), len(gaps)


def _cautions(study: Study, dense: Group | None) -> list[str]:
    """What a careful reader should know before quoting the numbers."""
    said = []
    std = dense.spread("test_accuracy").std if dense else None
    if std is None:
        said.append("With one seed (n = 1) chance cannot be told from effect.")
    elif std > 0:
        said.append(
            f"There is no margin, while dense networks differ among themselves by {std:.4f} (standard deviation): a "
            "ticket that misses by less has not been shown to be worse, nor one that wins by less to be better."
        )
    return [*said, *coarseness(study), "Levels were picked by these same test accuracies, which flatters them."]
