"""The branches of the sanity checks: how a mask was found, and what a network started from."""

from typing import Any, NamedTuple

from jaxticket.report import theme

KINDS = {"imp": "IMP", "omp": "OMP"}


class Look(NamedTuple):
    """How a branch is drawn, the same in every panel."""

    label: str
    colour: str
    marker: str
    linestyle: Any = "-"


_LOOKS = {
    name: Look(label, theme.series(i), theme.MARKERS[i])
    for i, (name, label) in enumerate(
        {"lt": "LT", "rr": "RR", "wr": "WR", "retrain": "retrain", "sdt": "small dense"}.items()
    )
}
NOTE = (
    "LT starts from the weights the dense network started from, RR from others of the same seed, WR from those of the "
    "rewind point, retrain from the trained ones; small dense is a narrower network with about as many weights."
)


def kind_of(branch: str) -> str:
    """How the branch's masks were found: `imp` or `omp`; empty for others. Retraining is of one-shot masks."""
    return "omp" if branch == "retrain" else next((kind for kind in KINDS if branch.endswith(f"_{kind}")), "")


def look_of(branch: str) -> Look:
    """How to draw a branch."""
    kind = kind_of(branch)
    return _LOOKS.get(branch.removesuffix(f"_{kind}")) or Look(branch, theme.series(5), theme.MARKERS[5])
