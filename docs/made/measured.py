"""Speeds and times, from the results of `benchmarks/`."""

from studies import benchmark
from texts import listed, paragraph, percent


def times(found, digits: int = 1) -> str:
    """`4.3 times as fast (median of 9; 3.7 to 5.1)`."""
    low, high = f"{found['min']:.{digits}f}", f"{found['max']:.{digits}f}"
    return f"{found['median']:.{digits}f} times as fast (median of {found['n']}; {low} to {high})"


def ranged(found, digits: int = 2) -> str:
    """`1.01 (0.70 to 1.35, n = 21)`."""
    return f"{found['median']:.{digits}f} ({found['min']:.{digits}f} to {found['max']:.{digits}f}, n = {found['n']})"


def replicates() -> str:
    """How long seeds take as one program, and how well `auto` chooses."""
    every = benchmark("replicates").items()
    found = {name: value for name, value in every if name.startswith("digits")}

    def shares(batch: int) -> str:
        of_size = [value["over_serial"]["vmap"] for name, value in found.items() if f"of {batch}," in name]
        return listed([f"{value['median']:.2f}" for value in of_size])

    worst = max(value["auto_over_fastest"]["median"] for value in found.values()) - 1
    return paragraph(
        f"Several seeds as one program (`seed_parallelism=vmap`) take {shares(64)} of the time of one after the other",
        f"for three and eight networks on digits in batches of 64, {shares(16)} of it in batches of 16; `auto` goes by",
        f"size and is within {percent(worst, 0)} % of the better (`benchmarks/replicates.py`, medians of 11).",
    )


def texts() -> dict[str, str]:
    """The made texts of these measurements."""
    select, shrink, report = (benchmark(name) for name in ("select", "shrink", "first-report"))
    whole, begins = report["seconds"]["whole"], report["seconds"]["until the run begins"]
    kills, look = benchmark("kills"), benchmark("early-bird")["conv3 on digits, scales"]["look_over_epoch"]
    macs = shrink["macs"][1] / shrink["macs"][0]
    return {
        "select-speed": times(select["argsort_seconds_over"]["prune"], 0),
        "select-weights": f"{select['weights'] / 1e6:.1f} million",
        "shrink-speed": times(shrink["times_faster_than"]["dense"]),
        "shrink-share": f"{percent(shrink['channels_removed'], 0)} %",
        "shrink-macs": f"{percent(macs, 0)} %",
        "step-lenet300": ranged(benchmark("step")["lenet300"]["masked_seconds_over_dense"]),
        "step-conv2": ranged(benchmark("step")["conv2"]["masked_seconds_over_dense"]),
        "replicates": replicates(),
        "input-share": f"{percent(benchmark('pipeline')['seconds_over_step']['input']['median'], 1)} %",
        "look-share": f"{percent(look['median'])} %",
        "look-share-most": f"{percent(look['max'])} %",
        "first-report-range": f"{ranged(whole, 1).replace(' (', ' s (')}, {begins['median']:.1f} s",
        "kills": f"{kills['survived']} of {kills['kills']}",
        "first-report": f"{whole['median']:.0f} seconds, {begins['median']:.0f} of them to install (n = {whole['n']})",
    }
