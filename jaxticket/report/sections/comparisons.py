"""Every treatment against its control, seed by seed, and what of that is settled."""

from markupsafe import Markup

from jaxticket.report import text
from jaxticket.report.comparisons import comparisons, how_to_read, summed_up
from jaxticket.report.parts import Collapsible, Note, TablePanel
from jaxticket.report.section import Section
from jaxticket.report.study import Study

# More lines than this are behind a fold.
_MOST_OPEN = 24
_FIELDS = ("n", "mean", "low", "high", "low_holm", "high_holm", "p", "p_holm", "comparisons", "confidence", "settled")


def comparisons_section(study: Study) -> Section | None:
    """A table of paired differences in percentage points; None for a study without a control."""
    found = comparisons(study)
    if not found:
        return None
    cases = list(dict.fromkeys(name for one in found for name in one.case))
    counts = sorted({one.n for one in found})
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    confidence = f"{100 * found[0].confidence:g}%"
    note = Markup("A treatment minus its control of the same seed, in percentage points of test accuracy. ")
    if counts == [1]:
        note += "One seed has no spread, so nothing can be settled."
    else:
        note += Markup(
            "The interval is Student's at {} for one comparison taken alone; the corrected one is of the step of "
            "Holm's procedure (1979) over all {}, and excludes zero exactly where the comparison is <em>settled</em>: "
            "with that correction the chance of a single wrong word <em>settled</em> on this page is at most {}%. "
            "<em>Not settled</em> does not mean equal."
        ).format(confidence, len(found), round(100 - 100 * found[0].confidence))
    head = ("difference", f"{confidence} interval", "corrected", "p", "p, corrected", "n", "reading")
    rows = [
        [
            one.treatment,
            one.control,
            text.value(one.level),
            *(text.value(one.case.get(name)) for name in cases),
            text.points(one.mean),
            text.interval_points(one.low, one.high),
            text.interval_points(one.low_holm, one.high_holm),
            text.p_value_text(one.p),
            text.p_value_text(one.p_holm),
            f"{one.n}",
            how_to_read(one),
        ]
        for one in found
    ]
    table = TablePanel(
        "Differences from controls",
        ("treatment", "minus", "level", *cases, *head),
        rows,
        left=("treatment", "minus", "reading"),
        marked=[i for i, one in enumerate(found) if one.settled],
    )
    claim = Note(Markup("<strong>{}</strong> n = {}.").format(summed_up(found), seeds), claim=True)
    shown = Collapsible(f"All {len(found)} comparisons", [table]) if len(found) > _MOST_OPEN else table
    lines = [
        (one.treatment, one.control, one.level, *map(one.case.get, cases), *(getattr(one, name) for name in _FIELDS))
        for one in found
    ]
    tables = {"comparisons": [("treatment", "control", "level", *cases, *_FIELDS), *lines]}
    return Section("comparisons", "Against controls, seed by seed", (claim, Note(note), shown), tables)
