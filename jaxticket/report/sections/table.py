"""All numbers: by branch and level over the seeds, and every network by itself."""

from jaxticket.report.groups import MARGIN, dense_group, gap, group_rows, matches
from jaxticket.report.sections.section import Section, render
from jaxticket.report.study import MEASURED, Study


def table(study: Study) -> Section | None:
    """The table of groups, and of single networks behind a fold."""
    groups = group_rows(study.rows)
    if not groups:
        return None
    lines = []
    for group in groups:
        dense = dense_group(groups, group.case)
        compared = dense if group is not dense else None
        lines.append(
            {
                "group": group,
                "gap": gap(group, compared) if compared else None,
                "matches": bool(compared and matches(group, compared)),
            }
        )
    html = render(
        "table.html.jinja",
        lines=lines,
        rows=[row for group in groups for row in group.rows],
        compared=any(group.branch == "dense" for group in groups) and len(groups) > 1,
        cases=list(dict.fromkeys(name for group in groups for name in group.case)),
        has={name for name in MEASURED for row in study.rows if getattr(row, name) is not None},
        many=any(group.n > 1 for group in groups),
        margin=MARGIN,
    )
    return Section("numbers", "Numbers", html)
