"""Which epoch's weights a saved file holds."""

from collections.abc import Collection, Sequence


def epoch_saves(metrics: Sequence[float], epochs: Collection[int]) -> dict[str, int]:
    """The epochs whose weights are kept by a run that saves at some of them.

    Args:
        metrics: what is better the higher it is, after every epoch.
        epochs: counted from 1; those that the run did not come to are left out.

    Returns:
        Name -> epoch: `exact<e>` for epoch e, `best<e>` for the best of the first e (the first of equals), and `best`
        and `last` of the whole run.

    Raises:
        ValueError: there was no epoch.
    """
    if not metrics:
        raise ValueError("epoch_saves: metrics is empty; it needs the metric of at least one epoch")

    def best(until: int) -> int:
        return max(range(1, until + 1), key=lambda epoch: metrics[epoch - 1])

    saves = {}
    for epoch in sorted(epochs):
        if 1 <= epoch <= len(metrics):
            saves |= {f"exact{epoch}": epoch, f"best{epoch}": best(epoch)}
    return saves | {"best": best(len(metrics)), "last": len(metrics)}
