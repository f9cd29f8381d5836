"""The extreme structural winning tickets, in sentences (Chen et al. 2022, section 3)."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from jaxticket.report import Study, text
from jaxticket.report.comparisons import comparisons, sentences
from jaxticket.report.controls import control_of
from jaxticket.report.groups import Group, dense_group, gap, group_rows
from jaxticket.report.parts import Note, Tile, Tiles, accuracy_tile, strong
from jaxticket.report.records import read_record, record_field
from jaxticket.report.section import Part, Section
from jaxticket.report.sections.costs import costs_of, last_levels
from jaxticket.report.sections.headline import coarseness, paired

_RULE = Markup(
    "A level <em>wins</em> if its mean test accuracy is not below the dense mean of the same recipe; the sparsest is "
    "the extreme one. That is a rule about means: a win is <em>settled</em> only where the corrected interval of its "
    "difference from dense, seed by seed, lies above zero. ± is the sample standard deviation. {}"
)
WHICH = "The level of each branch that wins with the fewest weights, or its sparsest one where none wins"


@dataclasses.dataclass(frozen=True)
class Winner:
    """The sparsest network of a branch whose mean test accuracy is not below the dense one; means over n seeds.

    `structured_share` is of its weights, None for the unstructured ticket; `settled` is whether it is settled that it
    is above the dense network, not only by means not below it; None where the study does not say.
    """

    level: int
    n: int
    accuracy: float = record_field("test_accuracy")
    sparsity: float = dataclasses.field(kw_only=True)
    macs_share: float | None = None
    structured_share: float | None = None
    settled: bool | None = None

    @property
    def standing(self) -> str:
        """On what its win rests; empty where that is not known."""
        if self.settled is None:
            return ""
        return "settled to be above dense" if self.settled else "by means, not settled"


def winners(study: Study) -> dict[str, Winner | None]:
    """Branch -> its extreme winning ticket, None where no level wins; empty for an unfinished study.

    Raises:
        JaxticketError: `summary["structured"]` is not what the experiment writes.
    """
    where = "summary.json: structured.extreme"
    found = study.part("structured").get("extreme", {}).items()
    return {
        branch: None if entry is None else read_record(Winner, entry, f"{where}.{branch}") for branch, entry in found
    }


def is_slim(branch: str) -> bool:
    """Whether a branch prunes channels of the dense network, to compare with."""
    return branch.startswith("slim_")


def shown_levels(study: Study) -> dict[str, int]:
    """The level of every sparse branch, controls left out, that is shown in detail: the winner's, else the last."""
    won = winners(study)
    return {branch: one.level if (one := won.get(branch)) else last for branch, last in last_levels(study).items()}


def structured_costs_section(study: Study) -> Section | None:
    """The costs of the dense network and of the level of every branch that is shown in detail."""
    return costs_of(study, shown_levels(study), WHICH)


def structured_winners_section(study: Study) -> Section | None:
    """The sparsest network of every branch that is not below the dense one, with n, spread and cost."""
    won = winners(study)
    if not won:
        return None
    groups = group_rows(study.rows)
    dense = dense_group(groups)
    in_order = list(dict.fromkeys([*(group.branch for group in groups if group.branch in won), *won]))
    shown = {branch: _shown(branch, won[branch], groups) for branch in in_order}
    structural = [
        (winner.sparsity, -i, branch)
        for i, branch in enumerate(in_order)
        if (winner := won[branch]) and winner.structured_share is not None and not is_slim(branch)
    ]
    lead = max(structural)[-1] if structural else ""
    parts: list[Part] = [Tiles(_tiles(lead, won.get(lead), shown.get(lead), dense))]
    for branch in in_order:
        parts.append(Note(_sentence(study, branch, won[branch], shown[branch], groups, dense), claim=True))
    parts.append(Note(_RULE.format(" ".join(_cautions(study, dense)))))
    fields = [one.name for one in dataclasses.fields(Winner)]
    lines: list[Sequence[Any]] = [
        (branch, *(getattr(one, name, None) for name in fields)) for branch, one in won.items()
    ]
    return Section("found", "", parts, {"winners": [("branch", *fields), *lines]})


def _shown(branch: str, winner: Winner | None, groups: list[Group]) -> Group | None:
    """The networks of the winner, else those that come nearest to dense; None where none are known."""
    own = [group for group in groups if group.branch == branch]
    if winner:
        return next((group for group in own if group.level == winner.level), None)
    known = [group for group in own if group.spread("test_accuracy").n]
    return max(known, key=lambda group: group.mean("test_accuracy") or 0.0, default=None)


def _tiles(branch: str, winner: Winner | None, group: Group | None, dense: Group | None) -> list[Tile]:
    if winner is None:
        none = "no structured level is as good as dense"
        tiles = [Tile("Structural winning ticket", "none", none, word=True)]
    else:
        detail = f"of the weights, {branch} level {winner.level}"
        detail += f"; {winner.standing}" if winner.standing else ""
        left = text.remaining(1 - winner.sparsity)
        tiles = [Tile("Extreme structural winning ticket", left, detail, lead=True)]
        if winner.macs_share is not None:
            share = text.remaining(winner.macs_share)
            tiles.append(Tile("Its multiply-accumulates", share, "of the dense network's"))
        if group is None:
            tiles.append(Tile("Its test accuracy", text.accuracy_text(winner.accuracy), f"n = {winner.n}"))
        else:
            tiles.append(accuracy_tile("Its test accuracy", group.spread("test_accuracy")))
    if dense is not None and dense.spread("test_accuracy").n:
        tiles.append(accuracy_tile("Dense test accuracy", dense.spread("test_accuracy")))
    return tiles


def _sentence(
    study: Study, branch: str, winner: Winner | None, group: Group | None, groups: list[Group], dense: Group | None
) -> Markup:
    """What can be said of one branch."""
    if group is None and winner is None:
        return Markup("{} has no finite test accuracy.").format(strong(branch))
    difference = gap(group, dense) if group and dense else None
    from_dense = "." if difference is None else f", {text.difference(difference)} from dense."
    compared = sentences(comparisons(study), branch, group.level) if group else ""
    if winner is None:
        assert group is not None
        values, rest = group.spread("test_accuracy"), [compared]
        if difference is not None and difference >= 0:
            why = "It is not below dense, but its masks remove nothing, or none of what they keep is structured."
            rest.insert(0, why)
        return Markup(
            "No level of {} wins. The nearest is level {} with {} of the prunable weights: mean test accuracy {} over "
            "{}{} {}"
        ).format(
            strong(branch),
            group.level,
            text.remaining(group.remaining),
            text.spread(values),
            text.count_text(values.n, "seed"),
            from_dense,
            " ".join(rest),
        )
    rest = []
    over, pairs = paired(group, dense) if group and dense else (0, 0)
    if pairs > 1:
        rest.append(f"Seed by seed it is not below in {over} of {pairs}.")
    if winner.structured_share is None:
        rest.append("This is the unstructured ticket, to compare with.")
    elif winner.structured_share < 1:
        share = text.remaining(winner.structured_share) if winner.structured_share else "none"
        rest.append(f"Of its weights {share} lie in layers that became structured.")
    level = group.level if group else None
    control = next((one for one in groups if (one.branch, one.level) == (control_of(branch), level)), None)
    if control is not None and control.spread("test_accuracy").n:
        rest.append(f"The same masks from other initial weights: {text.spread(control.spread('test_accuracy'))}.")
    where = f"level {winner.level}, sparsity {text.sparsity_text(winner.sparsity)}"
    where += f"; {winner.standing}" if winner.standing else ""
    macs = "" if winner.macs_share is None else f" and {text.remaining(winner.macs_share)} of the multiply-accumulates"
    return Markup("{} wins down to {} of the prunable weights ({}){}: mean test accuracy {} over {}{} {}").format(
        strong(branch),
        strong(text.remaining(1 - winner.sparsity)),
        where,
        macs,
        text.spread(group.spread("test_accuracy")) if group else text.accuracy_text(winner.accuracy),
        text.count_text(winner.n, "seed"),
        from_dense,
        " ".join([*rest, compared]),
    )


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
