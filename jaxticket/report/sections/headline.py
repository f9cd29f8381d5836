"""What was found, in sentences computed from the rows."""

import dataclasses

from jaxticket.report.compared import Comparison, comparisons, standing
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
from jaxticket.report.sections.section import Section, render
from jaxticket.report.structures import controlled, controls_in_words, is_control, winners
from jaxticket.report.study import Study

_NAME = "test_accuracy"
# Branches that never match, up to which each has a sentence of its own.
_MOST_FAILURES = 3


@dataclasses.dataclass(frozen=True)
class Claim:
    """What can be said of one branch.

    Attributes:
        branch: its name, with its case.
        dense: the dense networks it is compared with.
        best: the sparsest group that matches the dense networks, None when none does.
        nearest: the group with the highest mean test accuracy, for when none does; None when none is known.
        misses: levels with more weights than `best` that do not match.
        pairs: (seeds in which `best` matches the dense network of the same seed, seeds that can be compared).
        others: branches of which none matches either, and none is nearer.
        compared: how its level differs from controls seed by seed, and whether that is settled; empty where not known.
        standing: what its being as good as dense rests on, in words; empty where not known.
        controls: (name, networks) of its masks from other initial weights, at the level it is about.
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


def make_claim(branch: str, groups: list[Group], dense: Group) -> Claim:
    """Compares the levels of a branch with the dense networks."""
    best = sparsest_match(groups, dense)
    misses = ()
    if best is not None:
        misses = tuple(g.level for g in groups if g.remaining > best.remaining and not matches(g, dense))
    known = [group for group in groups if group.spread("test_accuracy").n]
    nearest = max(known, key=lambda group: gap(group, dense) or 0.0, default=None)
    return Claim(branch, dense, best, nearest, misses, _paired(best, dense) if best else (0, 0))


def headline(study: Study) -> Section | None:
    """The sparsest level that is as good as the dense network, for every branch, with n and spread.

    None for a study with a verdict or winners of its own, which say what was found. A control is no method: what trains
    the masks of a branch from other initial weights has no claim of its own, and is said beside that branch's.
    """
    if study.part("verdict") or winners(study):
        return None
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
    claims = [_backed(claim, groups, study, differences) for claim in _shortened(claims)]
    # A control with masks of its own that is as good as dense is no discovery; it has its sentence, and a ticket leads.
    found = [
        (is_control(claim.branch), claim.best.remaining, i) for i, claim in enumerate(claims) if claim.best is not None
    ]
    lead = claims[min(found)[-1]] if found else None
    dense = lead.dense if lead else max(denses, key=lambda group: group.spread(_NAME).mean or 0.0, default=None)
    html = render(
        "headline.html.jinja",
        claims=claims,
        lead=lead,
        dense=dense,
        of_case=at_case(dense.case) if dense else "",
        groups=groups,
        branches=sparse_branches(groups),
        controls=controls_in_words(study),
        of_dense=any(note.startswith("config.dense=") for note in study.notes),
        ends=_ends,
        margin=MARGIN,
        cautions=_cautions(study, dense, claims) if dense is not None and claims else [],
        networks=len(study.rows),
        seeds=len({row.seed for row in study.rows}),
        seconds=sum(row.seconds or 0.0 for row in study.rows),
    )
    return Section("found", "", html)


def _shortened(claims: list[Claim]) -> list[Claim]:
    """The claims; where many branches never match, the nearest of them speaks for all."""
    failed = [(claim, claim.nearest) for claim in claims if claim.best is None and claim.nearest is not None]
    if len(failed) <= _MOST_FAILURES:
        return claims
    nearest, _ = max(failed, key=lambda one: gap(one[1], one[0].dense) or 0.0)
    others = tuple(claim.branch for claim, _ in failed if claim is not nearest)
    gone = {id(claim) for claim, _ in failed}
    return [*(claim for claim in claims if id(claim) not in gone), dataclasses.replace(nearest, others=others)]


def _backed(claim: Claim, groups: list[Group], study: Study, differences: list[Comparison]) -> Claim:
    """A claim with the controls of the level it is about, and how it differs from each.

    Differences are said as `Minus dense: +0.30 points (n = 1): not settled.`.
    """
    group = claim.best or claim.nearest
    if group is None:
        return claim
    case = dict(group.case)
    own = [
        one for one in differences if (one.treatment, one.level, dict(one.case)) == (group.branch, group.level, case)
    ]
    beside = [other for other in groups if (other.level, dict(other.case)) == (group.level, case)]
    return dataclasses.replace(
        claim,
        compared=" ".join(f"Minus {one.control}: {one.sentence}." for one in own),
        standing=standing(differences, group.branch, group.level, case),
        controls=tuple((other.branch, other) for other in beside if controlled(other.branch, study) == group.branch),
    )


def _ends(found: list[Group]) -> list[Group]:
    """The first and the last level whose test accuracy is known."""
    known = [group for group in found if group.spread("test_accuracy").n]
    return known if len(known) < 2 else [known[0], known[-1]]


def coarseness(study: Study) -> list[str]:
    """What one test image is worth, where they are few."""
    images = study.part("dataset").get("test")
    if isinstance(images, int) and 0 < images < 1000:
        return [f"One of the {images:,} test images is worth {1 / images:.4f} of accuracy."]
    return []


def _paired(group: Group, dense: Group) -> tuple[int, int]:
    """In how many seeds the network matches the dense one of its own seed, and how many have both."""
    reference = {row.seed: row.test_accuracy for row in dense.rows}
    gaps = [
        row.test_accuracy - base
        for row in group.rows
        if row.test_accuracy is not None and (base := reference.get(row.seed)) is not None
    ]
    return sum(found >= -MARGIN - 1e-12 for found in gaps), len(gaps)


def _cautions(study: Study, dense: Group, claims: list[Claim]) -> list[str]:
    """What a careful reader should know before quoting the numbers."""
    said = []
    spread = dense.spread("test_accuracy")
    if spread.n == 1:
        said.append("One dense seed (n = 1): how far it would vary with the seed is not known.")
    elif spread.std is not None and spread.std > MARGIN:
        said.append(
            f"The dense networks differ among themselves by {spread.std:.4f} (standard deviation), "
            f"more than the margin of {MARGIN}."
        )
    said += coarseness(study)
    if any(claim.best for claim in claims):
        said.append("The level was picked by these same test accuracies, which flatters it a little.")
    return said
