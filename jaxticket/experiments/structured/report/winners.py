"""The extreme structural winning tickets, in sentences (Chen et al. 2022, section 3)."""

import dataclasses

from markupsafe import Markup

from jaxticket.report import Study, text
from jaxticket.report.comparisons import comparisons
from jaxticket.report.groups import Group, dense_group, gap, group_rows
from jaxticket.report.parts import Note, Tile, Tiles
from jaxticket.report.records import read_record, record_field
from jaxticket.report.section import Section
from jaxticket.report.sections.costs import costs_of, last_levels
from jaxticket.report.sections.headline import Claim, backed, cautions, claim_note, claim_tiles, make_claim, paired

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
    won, groups = winners(study), group_rows(study.rows)
    dense = dense_group(groups)
    if not won or dense is None or not dense.spread("test_accuracy").n:
        return None
    in_order = list(dict.fromkeys([*(group.branch for group in groups if group.branch in won), *won]))
    claims = {branch: _claim(study, branch, won[branch], groups, dense) for branch in in_order}
    structural = [
        (winner.sparsity, -i, branch)
        for i, branch in enumerate(in_order)
        if (winner := won[branch]) and winner.structured_share is not None and not is_slim(branch)
    ]
    lead = max(structural)[-1] if structural else ""
    share, tiles = (winner.macs_share if (winner := won.get(lead)) else None), []
    if not lead:
        none = "no structured level is as good as dense"
        tiles.append(Tile("Structural winning ticket", "none", none, word=True))
    macs = [] if share is None else [Tile("Its multiply-accumulates", text.remaining(share), "of the dense network's")]
    tiles += claim_tiles(study, claims.get(lead), dense, "Extreme structural winning ticket", macs)
    rule = _RULE.format(cautions(study, dense, 0.0, picked=True))
    fields = [one.name for one in dataclasses.fields(Winner)]
    lines = [(branch, *(getattr(one, name, None) for name in fields)) for branch, one in won.items()]
    parts = [Tiles(tiles), *map(claim_note, claims.values()), Note(rule)]
    return Section("found", "", parts, {"winners": [("branch", *fields), *lines]})


def _claim(study: Study, branch: str, winner: Winner | None, groups: list[Group], dense: Group) -> Claim:
    """What can be said of one branch."""
    own = [group for group in groups if group.branch == branch]
    best = next((group for group in own if winner and group.level == winner.level), None)
    claim, more, aside = make_claim(branch, own, dense), (), ""
    if winner is None:
        if claim.nearest is not None and (gap(claim.nearest, dense) or 0.0) >= 0:
            more = ("It is not below dense, but its masks remove nothing, or none of what they keep is structured.",)
    elif winner.structured_share is None:
        more = ("This is the unstructured ticket, to compare with.",)
    elif winner.structured_share < 1:
        share = text.remaining(winner.structured_share) if winner.structured_share else "none"
        more = (f"Of its weights {share} lie in layers that became structured.",)
    if winner and winner.macs_share is not None:
        aside = f" and {text.remaining(winner.macs_share)} of the multiply-accumulates"
    pairs = paired(best, dense) if best else (0, 0)
    how = {"best": best, "misses": (), "pairs": pairs, "verb": "wins", "more": more, "aside": aside}
    claim = backed(dataclasses.replace(claim, **how), groups, study, comparisons(study))
    return dataclasses.replace(claim, standing=winner.standing if winner else "")
