"""What was found, in sentences computed from the rows."""

import dataclasses
from collections.abc import Sequence

from markupsafe import Markup

from jaxticket.analysis import Comparison
from jaxticket.core.duration_text import duration_text
from jaxticket.report import text
from jaxticket.report.comparisons import comparisons, sentences, standing
from jaxticket.report.controls import controlled, controls_in_words, is_control
from jaxticket.report.groups import (
    MARGIN,
    Group,
    at_case,
    cases,
    dense_group,
    gap,
    group_rows,
    matches,
    sparse_branches,
    sparsest_match,
)
from jaxticket.report.parts import Note, Tile, Tiles, accuracy_tile, strong
from jaxticket.report.section import Part, Section
from jaxticket.report.study import Study

_NAME = "test_accuracy"
# Branches that never match, up to which each has a sentence of its own.
_MOST_FAILURES = 3
_NO_DENSE = "There is no dense network to compare with."
_ONE_SEED = " One seed (n = 1), so no spread is known."
_ONE_DENSE = "n = 1: one seed, so its spread is not known"


@dataclasses.dataclass(frozen=True)
class Claim:
    """What can be said of one branch, with its case, against its dense networks.

    Attributes:
        best: the sparsest group that matches the dense networks, None when none does.
        nearest: the group with the highest mean test accuracy; None when none is known.
        misses: levels with more weights than `best` that do not match.
        pairs: (seeds in which `best` matches the dense network of the same seed, seeds that can be compared).
        others: branches of which none matches either, and none is nearer.
        compared: how its level differs from controls seed by seed, and whether that is settled; may be empty.
        standing: what its being as good as dense rests on; may be empty.
        controls: (name, networks) of its masks from other initial weights, at the level it is about.
        verb: what the best level does.
        aside: what is said of it in passing.
        more: sentences that follow.
    """

    branch: str
    dense: Group
    best: Group | None
    nearest: Group | None
    misses: tuple[int, ...]
    pairs: tuple[int, int]
    others: tuple[str, ...] = ()
    compared: str = ""
    standing: str = ""
    controls: tuple[tuple[str, Group], ...] = ()
    verb: str = "is as good as the dense network"
    aside: str = ""
    more: tuple[str, ...] = ()


def make_claim(branch: str, groups: list[Group], dense: Group) -> Claim:
    """Compares the levels of a branch with the dense networks."""
    best = sparsest_match(groups, dense)
    misses = ()
    if best is not None:
        misses = tuple(g.level for g in groups if g.remaining > best.remaining and not matches(g, dense))
    known = [group for group in groups if group.spread(_NAME).n]
    nearest = max(known, key=lambda group: gap(group, dense) or 0.0, default=None)
    return Claim(branch, dense, best, nearest, misses, paired(best, dense, MARGIN) if best else (0, 0))


def headline_section(study: Study) -> Section | None:
    """The sparsest level that is as good as the dense network, for every branch, with n and spread.

    A control is no method: what trains the masks of a branch from other initial weights has no claim of its own, and is
    said with that branch's.
    """
    groups = group_rows(study.rows)
    denses = [dense for case in cases(groups) if (dense := dense_group(groups, case)) and dense.spread(_NAME).n]
    claims = [
        make_claim(branch, found, dense)
        for branch, found in sparse_branches(groups).items()
        if controlled(found[0].branch, study) is None
        for dense in denses
        if dense.case == found[0].case
    ]
    differences = comparisons(study)
    claims = [backed(claim, groups, study, differences) for claim in _shortened(claims)]
    # A control with masks of its own that is as good as dense is no discovery; it has its sentence, and a ticket leads.
    found = [
        (is_control(claim.branch), claim.best.remaining, i) for i, claim in enumerate(claims) if claim.best is not None
    ]
    lead = claims[min(found)[-1]] if found else None
    dense = lead.dense if lead else max(denses, key=lambda group: group.mean(_NAME) or 0.0, default=None)
    parts: list[Part] = [] if dense is None else [Tiles([*claim_tiles(study, lead, dense), networks_tile(study)])]
    if not groups:
        parts.append(Note("No network has been trained yet.", claim=True))
    elif dense is None:
        parts += [*_without_dense(groups), Note(_NO_DENSE + _ONE_SEED * (seeds_of(study) == 1))]
    elif not claims:
        parts.append(Note(_of_dense(dense), claim=True))
    parts += [claim_note(claim) for claim in claims]
    controls = controls_in_words(study)
    if controls:
        parts.append(Note(" ".join(f"{control} is a control: {said}." for control, said in controls.items())))
    if claims and dense is not None:
        meaning = Markup(
            "<em>As good</em> means: the mean is at most {} below the dense mean. ± is the sample standard "
            "deviation. {}"
        )
        said = cautions(study, dense, MARGIN, picked=any(claim.best for claim in claims))
        parts.append(Note(meaning.format(MARGIN, said)))
    return Section("found", "", parts)


def claim_tiles(
    study: Study, lead: Claim | None, dense: Group, what: str = "As good as dense with", more: Sequence[Tile] = ()
) -> list[Tile]:
    """Tiles of the best level of a claim, if there is one, and of the dense networks; `what` is what it does."""
    tiles = []
    if lead is not None and lead.best is not None:
        detail = f"of the weights, {lead.branch} level {lead.best.level}"
        detail += f"; {lead.standing}" if lead.standing else ""
        if any(note.startswith("config.dense=") for note in study.notes):
            detail += "; the dense network is of another recipe or seed, see the notes above"
        tiles = [Tile(what, text.remaining(lead.best.remaining), detail, lead=True), *more]
        tiles.append(accuracy_tile("Its test accuracy", lead.best.spread(_NAME)))
    return [*tiles, accuracy_tile(f"Dense test accuracy{at_case(dense.case)}", dense.spread(_NAME))]


def seeds_of(study: Study) -> int:
    """How many seeds a study has networks of."""
    return len({row.seed for row in study.rows})


def networks_tile(study: Study) -> Tile:
    """How many networks were trained, of how many seeds, in what time."""
    seconds = sum(row.seconds or 0.0 for row in study.rows)
    detail = f"{text.count_text(seeds_of(study), 'seed')}, {duration_text(seconds)} of training"
    return Tile("Networks trained", f"{len(study.rows)}", detail)


def _of_dense(dense: Group) -> Markup:
    values = dense.spread(_NAME)
    seeds = f"mean and standard deviation over n = {values.n} seeds" if values.n > 1 else _ONE_DENSE
    said = Markup("The dense network{} reaches a test accuracy of {} ({}).")
    return said.format(at_case(dense.case), strong(text.spread(values)), seeds)


def _without_dense(groups: list[Group]) -> list[Note]:
    """What each branch reaches, at the first and the last level whose test accuracy is known."""
    notes = []
    for branch, found in sparse_branches(groups).items():
        known = [group for group in found if group.spread(_NAME).n]
        ends = [
            Markup("{} over {} with {} of its prunable weights").format(
                strong(text.spread(values)), text.count_text(values.n, "seed"), text.remaining(group.remaining)
            )
            for group in (known if len(known) < 2 else [known[0], known[-1]])
            for values in [group.spread(_NAME)]
        ]
        said = Markup(", and of ").join(ends)
        notes.append(Note(Markup("{} reaches a mean test accuracy of {}.").format(strong(branch), said), claim=True))
    return notes


def claim_note(claim: Claim) -> Note:
    """What is found of a branch, with its controls and how it differs from each."""
    return Note(_sentence(claim), claim=True)


def _sentence(claim: Claim) -> Markup:
    group = claim.best or claim.nearest
    if group is None:
        return Markup("{} has no finite test accuracy.").format(strong(claim.branch))
    values, reference = group.spread(_NAME), claim.dense.spread(_NAME)
    of, over = text.spread(values), text.count_text(values.n, "seed")
    against = f"against {text.spread(reference)} over {text.count_text(reference.n, 'seed')} dense."
    rest = [
        f"The same masks from other initial weights ({name}): {text.spread(control.spread(_NAME))}."
        for name, control in claim.controls
        if control.spread(_NAME).n
    ]
    rest += [*claim.more, *filter(None, [claim.compared])]
    left = text.remaining(group.remaining)
    if claim.best is None:
        start = "No level of {} {}. The nearest is level {}{} with {} of the prunable "
        who = f"{len(claim.others) + 1} branches" if claim.others else strong(claim.branch)
        whose = Markup(" of {}").format(strong(claim.branch)) if claim.others else ""
        others = [f"The others are {text.listing(claim.others)}."] if claim.others else []
        end = " ".join([against, *others, *rest])
        return Markup(start + "weights: mean test accuracy {} over {}, {}").format(
            who, claim.verb, group.level, whose, left, of, over, end
        )
    if claim.pairs[1] > 1:
        rest.insert(0, f"Seed by seed this holds in {claim.pairs[0]} of {claim.pairs[1]}.")
    if claim.misses:
        levels, are = ("level", "is") if len(claim.misses) == 1 else ("levels", "are")
        rest.insert(
            claim.pairs[1] > 1,
            f"Not every denser level does: {levels} {text.listing([*map(str, claim.misses)])} {are} below.",
        )
    where = f"level {group.level}, sparsity {text.sparsity_text(1 - group.remaining)}"
    where += f"; {claim.standing}" if claim.standing else ""
    start = "{} {} down to {} of its prunable weights ({}){}: mean test accuracy {} over {}, {}"
    end = " ".join([against, *rest])
    return Markup(start).format(strong(claim.branch), claim.verb, strong(left), where, claim.aside, of, over, end)


def _shortened(claims: list[Claim]) -> list[Claim]:
    """The claims; where many branches never match, the nearest of them speaks for all."""
    failed = [(claim, claim.nearest) for claim in claims if claim.best is None and claim.nearest is not None]
    if len(failed) <= _MOST_FAILURES:
        return claims
    nearest, _ = max(failed, key=lambda one: gap(one[1], one[0].dense) or 0.0)
    others = tuple(claim.branch for claim, _ in failed if claim is not nearest)
    gone = {id(claim) for claim, _ in failed}
    return [*(claim for claim in claims if id(claim) not in gone), dataclasses.replace(nearest, others=others)]


def backed(claim: Claim, groups: list[Group], study: Study, differences: list[Comparison]) -> Claim:
    """A claim with the controls of the level it is about, and how it differs from each."""
    group = claim.best or claim.nearest
    if group is None:
        return claim
    beside = [other for other in groups if (other.level, other.case) == (group.level, group.case)]
    return dataclasses.replace(
        claim,
        compared=sentences(differences, group.branch, group.level, group.case),
        standing=standing(differences, group.branch, group.level, group.case),
        controls=tuple((other.branch, other) for other in beside if controlled(other.branch, study) == group.branch),
    )


def paired(group: Group, dense: Group, margin: float = 0.0) -> tuple[int, int]:
    """In how many seeds a network is at most `margin` below the dense one of its seed, and how many have both."""
    reference = {row.seed: row.test_accuracy for row in dense.rows}
    gaps = [
        row.test_accuracy - base
        for row in group.rows
        if row.test_accuracy is not None and (base := reference.get(row.seed)) is not None
    ]
    return sum(found >= -margin - 1e-9 for found in gaps), len(gaps)


def cautions(study: Study, dense: Group, margin: float, *, picked: bool) -> str:
    """What a careful reader should know before quoting the numbers; `picked` is whether a level was."""
    said = []
    spread = dense.spread(_NAME)
    if spread.n == 1:
        said.append("One dense seed (n = 1): how far it would vary with the seed is not known.")
    elif spread.std is not None and spread.std > margin:
        apart = f"The dense networks differ among themselves by {spread.std:.4f} (standard deviation)"
        said.append(apart + (f", more than the margin of {margin}." if margin else ", and there is no margin."))
    images = study.part("dataset").get("test")
    if isinstance(images, int) and 0 < images < 1000:
        said.append(f"One of the {images:,} test images is worth {1 / images:.4f} of accuracy.")
    if picked:
        said.append("The level was picked by these same test accuracies, which flatters it a little.")
    return " ".join(said)
