"""Folders as experiments leave them, with numbers made up but shaped like those of real runs."""

import json
import math
import random

import pytest

LAYERS = {"fc1/kernel": 19200, "fc2/kernel": 30000, "fc3/kernel": 1000}


def make_row(branch, level, seed, **changes):
    noise = random.Random(f"{branch}-{level}-{seed}")
    kept = 0.8**level
    # Flat, a little better with some weights gone, then down: the usual shape.
    intact = 1 / (1 + math.exp(-3.2 * (math.log(kept) + 3.9)))
    test = 0.1 + (0.866 + 0.006 * (1 - kept)) * intact + noise.gauss(0, 0.0022 + 0.03 * (1 - intact))
    row = {
        "branch": branch,
        "level": level,
        "seed": seed,
        "sparsity": 1 - kept,
        "sparsity_total": 0.98 * (1 - kept),
        "val_accuracy": min(1.0, test + 0.006 + noise.gauss(0, 0.002)),
        "test_accuracy": test,
        "train_loss": 0.002 / kept,
        "epochs": 20,
        "seconds": 1.2 + 0.2 * noise.random(),
        "cached": level < 3,
        "stage": f"train-{noise.getrandbits(48):012x}",
        "weights": "last",
        "best_val_accuracy": test + 0.01,
        "ticket": None if branch == "dense" else f"{branch}-{level}-{seed}",
        "layer_sparsity": {path: 1 - kept ** (1.25 - 0.25 * i) for i, path in enumerate(LAYERS)},
    }
    return row | changes


def make_summary(rows, **changes):
    return {
        "experiment": "imp",
        "name": "quickstart",
        "config_hash": "ab12cd34",
        "command": "python -m jaxticket.main --config=configs/quickstart.py --workdir=runs",
        "commit": "abc123def456+",
        "versions": {"python": "3.11.7", "jaxticket": "0.1.0", "jax": "0.10.2", "flax": "0.12.8"},
        "device": {"kind": "cpu", "count": 1, "cores": 2, "machine": "AMD EPYC 7B13"},
        "dataset": {
            "name": "digits",
            "train": 1294,
            "val": 143,
            "test": 360,
            "classes": 10,
            "image_shape": [8, 8, 1],
        },
        "model": {"name": "lenet300", "parameters": 50610, "prunable": 50200},
        "complete": True,
        "rows": rows,
    } | changes


def make_metrics(rows, epochs=20):
    lines = []
    for row in rows:
        for epoch in range(1, epochs + 1):
            share = 1 - math.exp(-epoch / (2 + 0.3 * row["level"]))
            accuracy = row["val_accuracy"]
            lines.append(
                {key: row[key] for key in ("branch", "level", "seed", "stage", "lr") if key in row}
                | {
                    "epoch": epoch,
                    "step": 20 * epoch,
                    "train_loss": 2.3 * math.exp(-epoch / (1.5 + 0.25 * row["level"])) + (row["train_loss"] or 0),
                    "train_accuracy": 0.1 + 0.9 * share,
                    "val_loss": 2.3 - 2 * share,
                    "val_accuracy": None if accuracy is None else 0.1 + (accuracy - 0.1) * share,
                    "learning_rate": 0.0012,
                    "seconds": 0.05,
                }
            )
    return lines


def imp_rows(levels=18, seeds=(0, 1, 2), **changes):
    return [
        make_row("imp" if level else "dense", level, seed, **changes) for seed in seeds for level in range(levels + 1)
    ]


def write_folder(folder, rows, *, metrics=None, config=None, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    summary = make_summary(rows, **changes)
    (folder / "summary.json").write_text(json.dumps(summary))
    lines = make_metrics(rows) if metrics is None else metrics
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    chosen = {"levels": 18, "prune": {"rate": 0.2}, "train": {"optimizer": "adam", "lr": 0.0012}}
    config = config or {"experiment": "imp", "config": chosen | {"seed": None}, "chosen": chosen}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def sanity_summary(accuracies, *, seeds=(0, 1, 2), levels=(8,), spread=0.0005, growth=0, **changes):
    """A finished sanity-check study: {branch: {learning rate: mean test accuracy}}, the same at every level.

    The standard deviation over three seeds is `spread` for the first branch, 1 + `growth` times that for the next, ...
    Without growth differences are equal for all seeds, so that nothing is settled.
    """
    from jaxticket.experiments.sanity.analysis import decide
    from jaxticket.experiments.sanity.options import SanityOptions

    lrs = tuple(accuracies["dense"])
    rows = [
        make_row(
            branch,
            level,
            seed,
            lr=lr,
            test_accuracy=mean + spread * (1 + growth * place) * (seed - (len(seeds) - 1) / 2),
            val_accuracy=None,
            **({"parameters": 9000, "sparsity": 0.0, "sparsity_total": 0.0} if branch == "sdt" else {}),
        )
        for place, (branch, means) in enumerate(accuracies.items())
        for lr, mean in means.items()
        for level in ((0,) if branch == "dense" else levels)
        for seed in seeds
    ]
    settings = tuple(branch for branch in accuracies if branch != "dense")
    options = SanityOptions(lrs=lrs, levels=levels, settings=settings, instability=("dense",), seeds=seeds)
    return make_summary(rows, experiment="sanity", name="sanity", verdict=decide(rows, options)) | {
        "correlation": [
            {"lr": lr, "seed": seed, "level": level, "mask": mask, "start": start, "correlation": 0.1 + 0.01 / lr}
            | {"layers": {"fc1/kernel": 0.25}}
            for lr in lrs
            for seed in seeds
            for mask, level, start in [("dense", 0, "init")]
            + [("imp", level, start) for level in levels for start in ("init", "reinit")]
        ],
        "instability": [
            {"lr": lr, "seed": seed, "branch": "dense", "level": 0, "barrier": lr + 0.01 * seed}
            | {"positions": [0.0, 0.5, 1.0], "errors": [0.1, 0.1 + lr, 0.1], "at": 0.5}
            for lr in lrs
            for seed in seeds
        ],
        "overlap": [
            {"lr": lr, "between": "seeds", "kind": "imp", "level": level, "seeds": [0, 1]}
            | {"jaccard": 0.3, "chance": 0.2}
            for lr in lrs
            for level in levels
        ],
        **changes,
    }


class Made:
    """The functions above, for tests that cannot import this file."""

    row = staticmethod(make_row)
    summary = staticmethod(make_summary)
    metrics = staticmethod(make_metrics)
    imp_rows = staticmethod(imp_rows)
    folder = staticmethod(write_folder)
    sanity = staticmethod(sanity_summary)


@pytest.fixture(scope="session")
def made():
    return Made
