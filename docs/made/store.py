"""Keeps of an experiment's folder what the documents are made from: `docs/results/NAME.json`.

    python docs/made/store.py RUNS/structured-1a2b3c4d structured-conv3-fashion_mnist-decayed

Kept are the command, the machine, the versions and a line for each trained network with its numbers, so that a reader
can do other statistics with them. What only the report draws, and paths of the machine it ran on, are left out.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "results"
HEAD = "experiment", "config_hash", "command", "versions", "device", "dataset", "model"
# Of a row: what says where the network was computed, what a second network of the row's stage says better, and what is
# large and follows from the mask.
LEFT_OUT = {"stage", "ticket", "weights", "cached", "layer_sparsity", "seconds_per_epoch"}
# Of the findings: those the documents use.
FINDINGS = "colt", "comparisons", "correlation", "early_bird", "instability", "mask_distance", "overlap", "verdict"


def store(folder: Path, name: str) -> Path:
    """Writes the rows of a finished experiment.

    Raises:
        SystemExit: the experiment has not ended.
    """
    summary = json.loads((folder / "summary.json").read_text())
    if not summary["complete"]:
        raise SystemExit(f"{folder} is not complete; run its command again")
    kept: dict[str, Any] = {key: summary[key] for key in HEAD}
    kept["command"] = re.sub(r" --workdir=\S+", "", kept["command"]) + " --workdir=runs"
    kept |= {key: summary[key] for key in FINDINGS if summary.get(key)}
    rows = [{key: value for key, value in row.items() if key not in LEFT_OUT} for row in summary["rows"]]
    lines = ",\n".join(json.dumps(row, sort_keys=True) for row in rows)
    path = RESULTS / f"{name}.json"
    path.write_text(f'{json.dumps(kept)[:-1]}, "rows": [\n{lines}\n]}}\n')
    return path


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    print(store(Path(sys.argv[1]), sys.argv[2]))
