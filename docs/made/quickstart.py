"""The quickstart: how far its tickets are as good as the dense network, as its report has it."""

from studies import accuracies, mean, study, values
from texts import percent

ROWS = study("quickstart-digits")["rows"]
TOLERANCE = 0.005


def level() -> str:
    """The share of weights of the sparsest ticket whose mean is at most half a point below the dense network's."""
    dense = mean(accuracies(ROWS, branch="dense").values())
    good = [
        at
        for at in values(ROWS, "level", branch="imp")
        if mean(accuracies(ROWS, branch="imp", level=at).values()) >= dense - TOLERANCE
    ]
    return f"{percent(1 - values(ROWS, 'sparsity', branch='imp', level=good[-1])[0], 1)} % of the weights"


def texts() -> dict[str, str]:
    """The made texts of the quickstart."""
    return {"quickstart-level": level()}
