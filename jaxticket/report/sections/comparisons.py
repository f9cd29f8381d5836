"""Every treatment against its control, seed by seed, and what of that is settled."""

from jaxticket.report.compared import comparisons, summed_up
from jaxticket.report.sections.section import Section, render
from jaxticket.report.study import Study

# More lines than this are behind a fold.
_MOST_OPEN = 24


def compared(study: Study) -> Section | None:
    """A table of paired differences in percentage points; None for a study without a control."""
    found = comparisons(study)
    if not found:
        return None
    seeds = {one.n for one in found}
    html = render(
        "comparisons.html.jinja",
        found=found,
        said=summed_up(found),
        cases=list(dict.fromkeys(name for one in found for name in one.case)),
        confidence=f"{100 * found[0].confidence:g}%",
        folded=len(found) > _MOST_OPEN,
        seeds=f"{min(seeds)}" if len(seeds) == 1 else f"{min(seeds)} to {max(seeds)}",
        single=seeds == {1},
    )
    return Section("comparisons", "Against controls, seed by seed", html)
