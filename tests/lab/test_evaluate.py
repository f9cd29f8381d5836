"""The accuracy right after pruning: of which weights, under which mask, and found again."""

import numpy as np
import pytest

from jaxticket import data
from jaxticket.core import paths
from jaxticket.experiments import make_plan, run_experiment
from jaxticket.lab.lab import Lab
from jaxticket.lab.stages.references import read_weights
from jaxticket.storage import load_arrays
from jaxticket.training.trainer import Trainer
from tests.small import configured
from tests.small_runs import made_from

pytestmark = [pytest.mark.feature("iterative magnitude pruning")]

MASK = "mask.safetensors"
SMALL = {"train.epochs": 2, "train.optimizer": "adam", "train.lr": 0.003, "data.val_fraction": 0.1}


def options_of(name, **changes):
    return configured(name, SMALL | changes)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return tmp_path_factory.mktemp("evaluate")


@pytest.fixture(scope="module")
def run(workdir):
    return lambda name, **changes: run_experiment(*options_of(name, **changes), workdir)[1]["rows"]


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", val_fraction=0.1)


def by_numpy(dataset, split, params, mask):
    """Accuracy of lenet300 with its pruned weights at 0."""
    held = getattr(dataset, split)
    x = (np.asarray(held.images, np.float64) / 255 - np.float64(dataset.mean)) / np.float64(dataset.std)
    x, flat = x.reshape(len(x), -1), dict(paths.leaves(params))
    for name in ("fc1", "fc2", "head"):
        kernel = flat[f"{name}/kernel"] * mask.get(f"{name}/kernel", 1)
        x = x @ np.float64(kernel) + flat[f"{name}/bias"]
        x = np.maximum(x, 0) if name != "head" else x
    return np.mean(x.argmax(1) == held.labels)


def weights_of(workdir, row, name="last"):
    return read_weights(workdir / "stages" / row["stage"] / f"{name}.safetensors").params


def ticket_mask(workdir, row):
    stages = workdir / "stages"
    return load_arrays(stages / made_from(stages / row["stage"])["inputs"]["mask"].removesuffix("/mask") / MASK)


def test_a_round_prunes_the_weights_of_round_before(run, workdir, digits):
    rows = run("imp", levels=2, seeds=(0, 1), reinit="random", seed_parallelism="vmap")
    found = {(row["branch"], row["level"], row["seed"]): row for row in rows}
    for seed in (0, 1):
        assert found["dense", 0, seed]["test_accuracy_pruned"] is None
        for level, before in ((1, ("dense", 0, seed)), (2, ("imp", 1, seed))):
            row = found["imp", level, seed]
            mask, weights = ticket_mask(workdir, row), weights_of(workdir, found[before])
            for split in ("val", "test"):
                assert row[f"{split}_accuracy_pruned"] == by_numpy(digits, split, weights, mask)
            # A control has nothing that was pruned; its start knows nothing.
            assert found["rr_imp", level, seed]["test_accuracy_pruned"] < 0.3 < row["test_accuracy_pruned"]


def test_nothing_is_compiled_or_evaluated_again(run, workdir, monkeypatch):
    how = {"levels": 1, "seeds": (0, 1), "seed_parallelism": "vmap", "train.epochs": 1}
    trainers, evaluated = [], []
    begin, evaluate = Trainer.__init__, Trainer.evaluate_each
    monkeypatch.setattr(Trainer, "__init__", lambda self, *a, **k: trainers.append(self) or begin(self, *a, **k))

    def counted(self, weights, split):
        scores = evaluate(self, weights, split)
        evaluated.append((split, len(scores)))
        return scores

    monkeypatch.setattr(Trainer, "evaluate_each", counted)
    rows = run("imp", **how)
    # Once for each split, at any time: after the epochs, at the end, after pruning.
    assert [trainer.compilations["evaluate"] for trainer in trainers] == [2]
    assert evaluated.count(("test", 2)) == 3
    assert {count for _, count in evaluated} == {2}
    evaluated.clear()
    again = run("imp", **how)
    assert not evaluated
    assert [{**row, "cached": 0} for row in again] == [{**row, "cached": 0} for row in rows]


def test_seeds_one_after_the_other_have_the_same(run, tmp_path):
    rows = run("imp", levels=2, seeds=(0, 1), reinit="random", seed_parallelism="vmap")
    options = options_of("imp", levels=2, seeds=(0, 1), reinit="random", seed_parallelism="serial")
    alone = run_experiment(*options, tmp_path)[1]["rows"]
    for row, other in zip(rows, alone, strict=True):
        assert row["test_accuracy_pruned"] == other["test_accuracy_pruned"]


@pytest.mark.parametrize(
    ("name", "changes", "branches"),
    [
        ("oneshot", {"sparsities": (0.8,), "retrain": "rewind", "rewind_epochs": 1}, {"omp": "dense"}),
        ("at_init", {"sparsities": (0.8,), "methods": ("random", "snip")}, {"random": "init", "snip": "init"}),
        ("dynamic", {"sparsities": (0.8,), "every_steps": 2}, {"static": "init", "set": None, "rigl": None}),
        ("gradual", {"sparsities": (0.8,), "every_steps": 2}, {"gmp": None}),
    ],
)
def test_what_was_pruned_in_each_experiment(run, workdir, digits, name, changes, branches):
    rows = run(name, **changes)
    init = Lab(options_of(name, **changes)[1], workdir / "stages").init(0).load().params
    dense = next(row for row in rows if row["branch"] == "dense")
    assert {row["branch"] for row in rows} == {"dense", *branches}
    for row in rows:
        made_of = branches.get(row["branch"])
        if made_of is None:
            assert row["val_accuracy_pruned"] is row["test_accuracy_pruned"] is None
        else:
            weights = init if made_of == "init" else weights_of(workdir, dense)
            assert row["test_accuracy_pruned"] == by_numpy(digits, "test", weights, ticket_mask(workdir, row))


def test_a_plan_names_the_evaluations_and_makes_none(tmp_path):
    plan = make_plan(*options_of("imp", levels=2), tmp_path)
    assert [stage.label for stage in plan.stages if stage.kind == "evaluate"] == ["imp-1-0 pruned", "imp-2-0 pruned"]
    assert list(tmp_path.iterdir()) == []


def test_a_plan_has_the_stages_of_the_run(tmp_path):
    experiment, options = options_of("imp", levels=1, **{"train.epochs": 1})
    plan = make_plan(experiment, options, tmp_path)
    run_experiment(experiment, options, tmp_path)
    assert all(stage.cached for stage in make_plan(experiment, options, tmp_path).stages)
    assert {stage.id for stage in plan.stages} == {
        folder.name for folder in (tmp_path / "stages").iterdir() if (folder / "manifest.json").exists()
    }
