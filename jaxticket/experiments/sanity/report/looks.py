"""The branches of the sanity checks: how a mask was found, and what a network started from."""

from jaxticket.report import theme

KINDS = {"imp": "IMP", "omp": "OMP"}
_LOOKS = {
    name: theme.look(i, label)
    for i, (name, label) in enumerate(
        {"lt": "LT", "rr": "RR", "wr": "WR", "retrain": "retrain", "sdt": "small dense"}.items()
    )
}
NOTE = (
    "LT starts from the weights the dense network started from, RR from others of the same seed, WR from those of the "
    "rewind point, retrain from the trained ones; small dense is a narrower network with about as many weights."
)


def mask_kind(branch: str) -> str:
    """How the branch's masks were found: `imp` or `omp`; empty for others. Retraining is of one-shot masks."""
    return "omp" if branch == "retrain" else next((kind for kind in KINDS if branch.endswith(f"_{kind}")), "")


def look_of(branch: str) -> theme.LineLook:
    """How to draw a branch."""
    return _LOOKS.get(branch.removesuffix(f"_{mask_kind(branch)}")) or theme.look(5, branch)
