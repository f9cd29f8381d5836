"""Writes runs.npz: what one small run of every experiment ends in, its masks and its weights.

    python tests/golden/make_runs.py

To be run again only when a change of the masks is meant, and then said in the CHANGELOG.
"""

import tempfile
from pathlib import Path

import numpy as np

import jaxticket as jt
from jaxticket.core import paths
from jaxticket.experiments import default_config, resolve, run_experiment
from jaxticket.lab.stages.references import read_weights

FILE = Path(__file__).with_name("runs.npz")
SMALL = {
    "model.name": "lenet300",
    "model.options.width": 0.1,
    "train.epochs": 2,
    "train.batch_size": 256,
    "train.lr": 0.1,
}
CONVOLUTIONS = {"model.name": "conv3", "model.options.width": 0.0625}
ONE, TWO = {"sparsities": (0.8,)}, {"sparsities": (0.5, 0.9)}
# Without random masks, whose draw goes by the keys of stages. Transfer takes the tickets of the run of COLT.
RUNS = {
    "train": {"train.select_checkpoint": "best_val"},
    "imp": {"levels": 2, "prune.rate": 0.5, "rewind_steps": 3, "reinit": "random"},
    "oneshot": TWO | {"prune.criterion": "lamp", "retrain": "lr_rewind", "rewind_epochs": 1},
    "at_init": ONE | {"prune.rounds": 5, "prune.images_per_class": 3},
    "gradual": ONE | {"every_steps": 3},
    "dynamic": ONE | {"every_steps": 3},
    "admm": ONE | {"admm.epochs": 2},
    "sanity": {"levels": (2,), "lrs": (0.05,), "prune.rate": 0.5},
    "structured": CONVOLUTIONS
    | {"levels": 1, "prune.rate": 0.5, "group_aware": True, "channel_criterion": ("bn_scale",)},
    "early_bird": CONVOLUTIONS
    | {
        "model.options.norm_scale": 0.5,
        "train.bn_l1": 0.003,
        "ratios": (0.5,),
        "window": 2,
        "epsilon": 0.9,
        "random": False,
    },
    "colt": {"rates": (("dense", 0.5),), "lth_rates": (("dense", 0.5),), "rounds": 1},
    "transfer": {"data.part": "1/2"},
    "tost": ONE
    | {
        "sources": ("gmp", "snip"),
        "aids.rescale_init_options.iterations": 3,
        "treatments": ("all",),
        "gmp_every_steps": 3,
    },
}


def run(name, workdir):
    """The folder of the small run of an experiment, and its rows."""
    config = default_config(name)
    with config.unlocked():
        config.update_from_flattened_dict(SMALL | RUNS[name])
    if name == "transfer":
        config.sources = (str(run("colt", workdir)[0]),)
    folder, summary = run_experiment(*resolve(config), Path(workdir))
    return folder, summary["rows"]


def collect(name, workdir):
    """What is compared, by row: its accuracy, its ticket's mask in packed bits, and the weights that masks keep."""
    folder, rows = run(name, workdir)
    found = {}
    for number, row in enumerate(rows):
        key = f"{name}/{number} {row['branch']}-{row['level']}"
        found[f"{key}/accuracy"] = np.float32(row["test_accuracy"])
        if row["sparsity"]:
            found[f"{key}/trained"] = kept(read_weights(workdir / "stages" / row["stage"] / "last.safetensors").params)
        if row["ticket"]:
            ticket = jt.load_ticket(folder / "tickets" / row["ticket"])
            found[f"{key}/mask"] = np.packbits(joined(ticket.mask))
            found[f"{key}/ticket"] = kept(ticket.params) if row["sparsity"] else np.float32([])
    return found


def joined(tree):
    """All leaves in one vector, in order of their paths."""
    return np.concatenate([np.ravel(leaf) for _, leaf in sorted(paths.leaves(tree).items())])


def kept(params):
    """All weights but those that are zero, as float32."""
    values = joined(params).astype(np.float32)
    return values[values != 0]


def main():
    with tempfile.TemporaryDirectory() as folder:
        found = {key: value for name in RUNS for key, value in collect(name, Path(folder)).items()}
    np.savez_compressed(FILE, **found)


if __name__ == "__main__":
    main()
