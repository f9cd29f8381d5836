"""Writes method_masks.npz, the packed masks of the small runs of tests/experiments/test_methods.py at 90 %.

    python tests/golden/make_method_masks.py

To be run again only when a change of the masks is meant, and then said in the CHANGELOG.
"""

import importlib.util
import tempfile
from pathlib import Path

import numpy as np

import jaxticket as jt
from jaxticket.experiments import run_experiment

HERE = Path(__file__).resolve().parent


def main():
    spec = importlib.util.spec_from_file_location("methods", HERE.parent / "experiments" / "test_methods.py")
    methods = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(methods)
    packed = {}
    with tempfile.TemporaryDirectory() as workdir:
        for name, changes, _ in methods.RUNS:
            folder, summary = run_experiment(*methods.options_of(name, **changes), Path(workdir))
            for row in summary["rows"]:
                if row["level"] == 2:
                    mask = jt.load_ticket(folder / "tickets" / row["ticket"]).mask
                    key = methods.golden_key(name, changes, row["branch"])
                    packed |= {f"{key}/{path}": np.packbits(kept) for path, kept in mask.items()}
    np.savez_compressed(HERE / "method_masks.npz", **packed)


if __name__ == "__main__":
    main()
