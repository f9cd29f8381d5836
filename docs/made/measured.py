"""Speeds and times, from the results of `benchmarks/`."""

from studies import benchmark
from texts import percent


def times(found, digits: int = 1) -> str:
    """`4.3 times as fast (median of 9; 3.7 to 5.1)`."""
    low, high = f"{found['min']:.{digits}f}", f"{found['max']:.{digits}f}"
    return f"{found['median']:.{digits}f} times as fast (median of {found['n']}; {low} to {high})"


def texts() -> dict[str, str]:
    """The made texts of these measurements."""
    select, shrink, report = (benchmark(name) for name in ("select", "shrink", "first-report"))
    whole, begins = report["seconds"]["whole"], report["seconds"]["until the run begins"]
    macs = shrink["macs"][1] / shrink["macs"][0]
    return {
        "select-speed": times(select["argsort_seconds_over"]["prune"], 0),
        "select-weights": f"{select['weights'] / 1e6:.1f} million",
        "shrink-speed": times(shrink["times_faster_than"]["dense"]),
        "shrink-share": f"{percent(shrink['channels_removed'], 0)} %",
        "shrink-macs": f"{percent(macs, 0)} %",
        "first-report": f"{whole['median']:.0f} seconds, {begins['median']:.0f} of them to install (n = {whole['n']})",
    }
