"""Writes imp_masks.npz, the packed masks of the small IMP run of tests/experiments/test_imp.py.

    python tests/golden/make_imp_masks.py

To be run again only when a change of the masks is meant, and then said in the CHANGELOG.
"""

import importlib.util
import tempfile
from pathlib import Path

import numpy as np

import jaxticket as jt

HERE = Path(__file__).resolve().parent


def main():
    spec = importlib.util.spec_from_file_location("small_runs", HERE.parent / "experiments" / "conftest.py")
    small_runs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(small_runs)
    packed = {}
    with tempfile.TemporaryDirectory() as folder:
        run = small_runs.Run(Path(folder), *small_runs.imp_options())
        for row in run.rows[1:]:
            mask = jt.load_ticket(run.folder / "tickets" / row["ticket"]).mask
            for path, kept in mask.items():
                packed[f"{row['level']}/{path}"] = np.packbits(kept)
    np.savez_compressed(HERE / "imp_masks.npz", **packed)


if __name__ == "__main__":
    main()
