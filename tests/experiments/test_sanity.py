"""The sanity-check study: what every setting starts from, that nothing is trained twice, and what it concludes."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from scipy import stats

from jaxticket import analysis
from jaxticket.core import masks, paths
from jaxticket.core.errors import ConfigError
from jaxticket.experiments import default_config, resolve, run_experiment
from jaxticket.experiments.sanity.analysis import decide
from jaxticket.experiments.sanity.options import SETTINGS
from jaxticket.experiments.sanity.recipes import apply_sanity_recipe
from jaxticket.experiments.sanity.small_dense import small_dense
from jaxticket.lab import seeds
from jaxticket.lab.lab import Lab
from jaxticket.lab.stages.references import read_weights
from tests.small import configured

pytestmark = [pytest.mark.feature("sanity checks")]

TOTAL = 64 * 300 + 300 * 100  # lenet300 on digits, without its head
LEVELS = (1, 3)


SMALL = {
    "train.epochs": 2,
    "train.batch_size": 128,
    "lrs": (0.05,),
    "levels": LEVELS,
    "prune.rate": 0.5,
    "seeds": (0, 1),
    "seed_parallelism": "serial",
}


def options_of(**changes):
    return configured("sanity", SMALL | changes)


class Job:
    """A training run: its stage, its options, its mask and what it started from."""

    def __init__(self, request):
        config, inputs = (request.stage.made_from[part] for part in ("config", "inputs"))
        self.stage, self.train, self.mask = request.stage, request.train, request.spec.mask
        self.start_key, self.mask_key, self.noise = inputs["start"], inputs["mask"], config.get("noise", "")
        self.seed, self.start_step = config["seed"], config["start_step"]


class Study:
    """A finished study, the training runs it did, and its options."""

    def __init__(self, workdir, **changes):
        self.jobs, train = [], seeds.run_requests

        def counted(requests):
            self.jobs += [Job(request) for request in requests if request.stage.kind == "train"]
            return train(requests)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(seeds, "run_requests", counted)
            experiment, self.options = options_of(**changes)
            self.folder, self.summary = run_experiment(experiment, self.options, workdir)
        self.rows = self.summary["rows"]
        self.lab = Lab(self.options, workdir / "stages")

    def job(self, branch, level, seed=0, lr=0.05, noise=""):
        """The run of a network, found by what it starts from: equal networks are trained once, under one name."""
        row = next(
            row
            for row in self.rows
            if (row["branch"], row["level"], row["seed"], row["lr"]) == (branch, level, seed, lr)
        )
        return next(job for job in self.jobs if job.stage.id == row["stage"])

    def trained(self, row):
        return read_weights(self.folder.parent / "stages" / row["stage"] / "last.safetensors")


@pytest.fixture(scope="session")
def workdir(tmp_path_factory):
    return tmp_path_factory.mktemp("sanity")


@pytest.fixture(scope="session")
def study(workdir):
    return Study(workdir)


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_is_trained_at_every_sparsity(study, setting):
    """Sanity checks 9 and 12: what is pruned stays exactly zero, and nothing else goes, at the end of a run either."""
    rows = [row for row in study.rows if row["branch"] == setting and row["level"] in LEVELS]
    assert [(row["level"], row["seed"]) for row in rows] == [(level, seed) for seed in (0, 1) for level in LEVELS]
    for row in rows:
        assert row["lr"] == 0.05
        assert row["test_accuracy"] > 0.1
        trained = paths.leaves(study.trained(row).params)
        if setting == "sdt":
            assert row["sparsity"] == 0
            continue
        assert row["kept"] == TOTAL - round((1 - 0.5 ** row["level"]) * TOTAL)
        mask = study.job(setting, row["level"], row["seed"]).mask
        assert masks.count(mask)[0] == row["kept"]
        for path, kept in mask.items():
            assert not trained[path][~kept].any()
            assert trained[path][kept].all()


def test_what_each_setting_starts_from(study):
    """Sanity check 11: the same mask, initial weights or others; the order of the data is the same."""
    init, other = study.lab.init(0), study.lab.init(0, stream="reinit")
    dense = study.job("dense", 0)
    for kind in ("imp", "omp"):
        lt, rr, wr = (study.job(f"{start}_{kind}", 3) for start in ("lt", "rr", "wr"))
        assert (lt.start_key, rr.start_key) == (init.key, other.key)
        assert lt.mask_key == rr.mask_key == wr.mask_key
        assert (lt.seed, lt.noise, lt.start_step) == (rr.seed, rr.noise, rr.start_step) == (0, "", 0)
        assert wr.start_key == f"{dense.stage.id}/snapshot"
        assert wr.start_step == study.lab.setting.duration.steps_per_epoch
    retrained = study.job("retrain", 3)
    assert retrained.start_key == f"{dense.stage.id}/last"
    assert (retrained.mask_key, retrained.start_step) == (study.job("lt_omp", 3).mask_key, 0)
    first, second = (paths.leaves(weights.load().params) for weights in (init, other))
    for path, kept in study.job("lt_imp", 3).mask.items():
        assert (first[path][kept] != second[path][kept]).mean() > 0.99


def test_masks_come_from_their_tickets_or_dense(study):
    dense = paths.leaves(study.trained(study.rows[0]).params)
    flat = np.concatenate([np.abs(dense[path]).ravel() for path in ("fc1/kernel", "fc2/kernel")])
    kept = [study.job("lt_omp", 3).mask[path].ravel() for path in ("fc1/kernel", "fc2/kernel")]
    kept = np.concatenate(kept)
    assert flat[kept].min() >= flat[~kept].max()
    one, three = (study.job("lt_imp", level).mask for level in LEVELS)
    assert all((three[path] <= one[path]).all() for path in one)
    assert not np.array_equal(three["fc1/kernel"], study.job("lt_omp", 3).mask["fc1/kernel"])


def test_no_network_is_trained_twice(study, workdir):
    trained = [job.stage.id for job in study.jobs]
    assert len(trained) == len(set(trained))
    more = Study(workdir, lrs=(0.05, 0.2))
    assert {job.train.lr for job in more.jobs} == {0.2}
    assert len(more.jobs) == len(study.jobs)
    assert all(row["cached"] == (row["lr"] == 0.05) for row in more.rows)
    assert not Study(workdir, lrs=(0.2, 0.05)).jobs


def test_tickets_carry_their_rate_and_controls_have_none(study):
    labels = {row["ticket"] for row in study.rows} - {None}
    assert "lt_imp-3-0-lr0.05" in labels
    assert {label.partition("-")[0] for label in labels} == {"lt_imp", "lt_omp", "wr_imp", "wr_omp"}
    assert {path.name for path in (study.folder / "tickets").iterdir()} == labels


def test_correlations_are_those_of_initial_and_final_weights(study):
    row = study.rows[0]
    first, last = study.lab.init(0).load().params, study.trained(row).params
    entries = {(e["mask"], e["level"], e["start"], e["seed"]): e for e in study.summary["correlation"]}
    assert len(entries) == 2 * (1 + 2 * 2 * len(LEVELS))
    assert entries["dense", 0, "init", 0]["correlation"] == analysis.correlation(first, last, masks.full_mask(first))
    mask = study.job("lt_imp", 3).mask
    found = entries["imp", 3, "init", 0]
    assert found["correlation"] == analysis.correlation(first, last, mask)
    assert set(found["layers"]) == {"fc1/kernel", "fc2/kernel"}
    assert found["correlation"] > entries["imp", 3, "reinit", 0]["correlation"] + 0.2


def test_twins_differ_in_the_order_of_data_alone(study):
    pairs = {(e["branch"], e["level"], e["seed"]): e for e in study.summary["instability"]}
    assert len(pairs) == 2 * (1 + len(LEVELS))
    ticket = study.job("lt_imp", 3)
    twin = next(job for job in study.jobs if job.noise and job.mask_key == ticket.mask_key)
    assert (twin.start_key, twin.seed, twin.train) == (ticket.start_key, ticket.seed, ticket.train)
    entry = pairs["lt_imp", 3, 0]
    ends = [entry["errors"][0], entry["errors"][-1]]
    accuracies = [
        json.loads((study.folder.parent / "stages" / job.stage.id / "manifest.json").read_text())["content"]
        for job in (ticket, twin)
    ]
    assert ends == pytest.approx([1 - content["last_test_accuracy"] for content in accuracies])
    one, other = (
        read_weights(study.folder.parent / "stages" / job.stage.id / "last.safetensors").params
        for job in (ticket, twin)
    )
    assert not np.array_equal(one["fc1"]["kernel"], other["fc1"]["kernel"])
    assert entry["barrier"] == analysis.error_barrier(entry["positions"], entry["errors"]).height


def test_overlaps_are_between_seeds_and_between_kinds(study):
    entries = {(e["between"], e["kind"], e["level"], *e["seeds"]): e for e in study.summary["overlap"]}
    assert set(entries) == {
        *(("seeds", kind, level, 0, 1) for kind in ("imp", "omp") for level in LEVELS),
        *(("kinds", "imp-omp", level, seed) for level in LEVELS for seed in (0, 1)),
    }
    # Two seeds share little more than chance; masks of one seed nearly everything.
    assert entries["seeds", "imp", 3, 0, 1]["jaccard"] < entries["seeds", "imp", 3, 0, 1]["chance"] + 0.1
    assert entries["kinds", "imp-omp", 3, 0]["jaccard"] > 0.5


def test_the_verdict_is_made_of_the_rows(study):
    verdict = study.summary["verdict"]
    assert {(cell["ticket"], cell["level"]) for cell in verdict["cells"]} == {
        (ticket, level) for ticket in ("lt_imp", "lt_omp", "wr_imp", "wr_omp") for level in LEVELS
    }
    assert verdict["missing"] == []
    assert all(cell["kind"] != "undecided" and cell["seeds"] == 2 for cell in verdict["cells"])
    assert all(cell["kind"] == "none" for cell in verdict["cells"] if cell["level"] == 1)  # sparsity 0.5 is trivial


ACCURACIES = {
    ("dense", 0.01): 0.90,
    ("dense", 0.1): 0.93,
    ("lt_imp", 0.01): 0.90,
    ("lt_imp", 0.1): 0.90,
    ("rr_imp", 0.01): 0.80,
    ("rr_imp", 0.1): 0.86,
    ("sdt", 0.01): 0.80,
    ("sdt", 0.1): 0.85,
}


def rows_of(accuracies=ACCURACIES, seeds=(0, 1, 2)):
    return [
        {
            "branch": branch,
            "level": 0 if branch == "dense" else 4,
            "lr": lr,
            "seed": seed,
            "sparsity": 0.0 if branch in ("dense", "sdt") else 0.832,
            "test_accuracy": accuracy + 0.001 * seed,
        }
        for (branch, lr), accuracy in accuracies.items()
        for seed in seeds
    ]


DECIDING = options_of(levels=(4,), settings=("lt_imp", "rr_imp", "sdt"), instability=())[1]


def test_a_decision_and_the_statistics_beside_it():
    found = decide(noisy_rows(QUIET, accuracies=ACCURACIES), DECIDING)
    (cell,) = found["cells"]
    assert (found["kind"], cell["kind"], found["missing"]) == ("secondary", "secondary", [])
    against = {(d["against"], d["lr"]): d for d in cell["differences"]}
    assert against["rr", 0.01]["mean"] == pytest.approx(0.10, abs=1e-4)
    assert against["rr", 0.01]["reading"] == "above"
    assert against["dense", 0.1]["reading"] == "below"
    (equal,) = decide(rows_of(), DECIDING)["cells"]  # three equal differences settle nothing
    assert {(d["reading"], d["low"]) for d in equal["differences"]} == {("undecided", None)}
    jackpot = decide(rows_of({**ACCURACIES, ("lt_imp", 0.1): 0.928}), DECIDING)
    assert jackpot["kind"] == "jackpot"


# Seed by seed, what the margins of an otherwise clear jackpot vary by.
JACKPOT = {**ACCURACIES, ("lt_imp", 0.1): 0.935}
QUIET, LOUD = (0.001, -0.001, 0.0002), (0.03, -0.03, 0.005)


def noisy_rows(noise, levels=(4,), accuracies=JACKPOT):
    shifts = {"lt_imp": 1.0, "rr_imp": 0.2, "sdt": -0.3, "dense": 0.1}
    return [
        {
            **row,
            "level": level if row["level"] else 0,
            "test_accuracy": row["test_accuracy"] + noise[row["seed"]] * shifts[row["branch"]],
        }
        for level in levels
        for row in rows_of(accuracies)
        if row["level"] or level == levels[0]
    ]


def test_verdict_is_settled_only_if_every_margin_is():
    quiet, loud = (decide(noisy_rows(noise), DECIDING) for noise in (QUIET, LOUD))
    assert quiet["kind"] == loud["kind"] == "jackpot"
    assert (quiet["settled"], loud["settled"]) == (True, False)
    (cell,) = quiet["cells"]
    # Independently: the deciding rate is 0.1, one of the ticket's two; its weakest margin decides.
    by_branch = {
        branch: [row["test_accuracy"] for row in noisy_rows(QUIET) if (row["branch"], row["lr"]) == (branch, 0.1)]
        for branch in ("lt_imp", "rr_imp", "sdt", "dense")
    }
    ticket = np.array(by_branch["lt_imp"])
    margins = [
        ticket - by_branch["sdt"] - 0.005,
        ticket - by_branch["rr_imp"] - 0.005,
        ticket - by_branch["dense"] + 0.005,
    ]
    assert cell["p"] == pytest.approx(2 * max(stats.ttest_1samp(margin, 0.0).pvalue for margin in margins))
    assert {one["condition"]: one["lr"] for one in cell["deciding"]} == {2: 0.1, 3: 0.1, 4: 0.1, 5: 0.1}
    for one, margin in zip(cell["deciding"], [*margins, margins[-1]], strict=True):
        assert one["mean"] == pytest.approx(margin.mean())
        assert one["p"] == pytest.approx(stats.ttest_1samp(margin, 0.0).pvalue)


def test_more_cells_ask_for_more():
    levels = tuple(range(4, 24))
    one = decide(noisy_rows(QUIET), DECIDING)
    many = decide(noisy_rows(QUIET, levels), dataclasses.replace(DECIDING, levels=levels))
    assert many["cells_tried"] == 20
    assert many["cells"][0]["p"] == one["cells"][0]["p"]
    assert many["cells"][0]["p_holm"] == pytest.approx(20 * one["cells"][0]["p"])
    assert (one["settled"], many["settled"], many["kind"]) == (True, False, "jackpot")


def test_one_failed_condition_settles_that_no_ticket_is():
    below = {**ACCURACIES, ("lt_imp", 0.01): 0.70, ("lt_imp", 0.1): 0.71}
    assert decide(noisy_rows(QUIET, accuracies=below), DECIDING)["settled"] is True
    nearly = {**ACCURACIES, ("lt_imp", 0.01): 0.80, ("lt_imp", 0.1): 0.862}
    found = decide(noisy_rows(LOUD, accuracies=nearly), DECIDING)
    assert (found["kind"], found["settled"]) == ("none", False)
    assert decide(rows_of(seeds=(0,)), DECIDING)["settled"] is False


def test_one_seed_or_no_control_decides_nothing():
    one = decide(rows_of(seeds=(0,)), DECIDING)
    assert (one["kind"], one["missing"]) == ("undecided", ["a second seed"])
    assert one["cells"][0]["differences"][0]["low"] is None
    no_control = {key: value for key, value in ACCURACIES.items() if key[0] != "sdt"}
    without = decide(rows_of(no_control), DECIDING)
    assert (without["kind"], without["missing"]) == ("undecided", ["a small dense network (small_dense)"])
    no_ticket = decide([], dataclasses.replace(DECIDING, settings=("rr_imp",)))
    assert no_ticket["kind"] == "undecided"
    assert "config.settings" in no_ticket["missing"][0]


def test_small_dense_widths_of_resnet20():
    """The closest base widths of the sanity checks' specification: 10, 8, 7, 5 and 4 channels instead of 16."""
    config = default_config("sanity")
    config.model.name, config.data.name = "resnet20", "cifar10"
    with config.unlocked():
        config.model.options["shortcut"] = "conv"
    lab = Lab(resolve(config)[1], None, execute=False)
    assert lab.setting.parameters == 272_474
    for nonzero, base, size in (
        (113_278, 10, 107_060),
        (73_344, 8, 68_786),
        (47_980, 7, 52_811),
        (25_855, 5, 27_185),
        (17_490, 4, 17_534),
    ):
        model, parameters = small_dense(lab.setting, nonzero)
        assert (round(model.options["width"] * 16), parameters) == (base, size)


def test_networks_without_a_width_cannot_be_small():
    config = default_config("sanity")
    config.model.name = "vit_ti"
    config.data.name = "cifar10"
    lab = Lab(resolve(config)[1], None, execute=False)
    with pytest.raises(ConfigError, match="'sdt' needs a network with an option width, and vit_ti has none"):
        small_dense(lab.setting, 1000)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lrs": ()}, r"config.lrs=\(\): must be at least one"),
        ({"lrs": (0.1, 0.1)}, "config.lrs"),
        ({"levels": (3, 1)}, r"config.levels=\(3, 1\): must be increasing"),
        ({"settings": ("lt_imp", "lt_impp")}, r"config.settings\[.\]=.*must be one of lt_imp, rr_imp"),
        ({"settings": ()}, r"config.settings=\(\): must be at least one"),
        ({"rewind_epochs": 0}, "config.rewind_epochs=0: wr_imp needs a rewind point"),
        ({"rewind_epochs": 2}, "config.rewind_epochs=2: must be less than the 2 epochs"),
        ({"instability": ("lt_omp",), "settings": ("lt_imp",)}, "lt_omp must be one of config.settings"),
        ({"verdict.tolerance": -0.1}, "config.verdict.tolerance=-0.1"),
    ],
)
def test_wrong_options(changes, message):
    with pytest.raises(ConfigError, match=message):
        options_of(**changes)


def recipe(model, dataset, how="paper"):
    config = default_config("sanity")
    apply_sanity_recipe(config, model, dataset, how)
    return resolve(config)[1]


def test_recipes_are_those_of_paper_and_of_code():
    cifar = recipe("resnet20", "cifar10")
    assert (cifar.train.epochs, cifar.train.batch_size, cifar.train.milestones) == (160, 64, (0.5, 0.75))
    assert (cifar.train.weight_decay, cifar.rewind_epochs, cifar.prune.rate) == (5e-4, 8, 0.2)
    assert recipe("resnet20", "cifar10", "code").train.weight_decay == 1e-4
    assert recipe("resnet20", "cifar10", "code").prune.max_layer_sparsity == 0.99
    assert recipe("vgg16", "cifar100").train.warmup_epochs == 75
    assert [recipe("resnet18", name).verdict.tolerance for name in ("cifar10", "cifar100", "tiny_imagenet")] == [
        0.005,
        0.01,
        0.01,
    ]
    assert [recipe("resnet20", name).data.val_fraction for name in ("cifar10", "digits")] == [0, 0.1]
    imagenet = recipe("resnet50", "imagenet2012")
    assert (imagenet.train.compute_dtype, imagenet.train.label_smoothing) == ("bfloat16", 0.1)
    assert (imagenet.train.lr_update, imagenet.train.warmup_epochs, imagenet.data.augment.mixup) == ("epoch", 8, 0.2)
    assert recipe("resnet50", "imagenet2012", "code").train.warmup_epochs == 5
    with pytest.raises(ConfigError, match="did you mean 'paper'"):
        recipe("resnet20", "cifar10", "papers")


def mean(entries, value, **where):
    found = [e[value] for e in entries if all(e[key] == wanted for key, wanted in where.items())]
    return sum(found) / len(found)


@pytest.mark.slow
def test_what_a_large_learning_rate_takes_away(tmp_path):
    """Sanity check 20: a small rate leaves large weights large, and tickets win by them; a large one does not."""
    digits = {"train.epochs": 20, "train.batch_size": 64, "instability": (), "prune.rate": 0.45}
    small, large = 0.001, 0.1
    study = Study(tmp_path, **digits, lrs=(small, large), levels=(3,), settings=("lt_omp", "rr_omp"))
    indicator = {
        lr: mean(study.summary["correlation"], "correlation", mask="omp", start="init", lr=lr)
        for lr in study.options.lrs
    }
    gain = {
        lr: mean(study.rows, "test_accuracy", branch="lt_omp", lr=lr)
        - mean(study.rows, "test_accuracy", branch="rr_omp", lr=lr)
        for lr in study.options.lrs
    }
    assert indicator[small] > 0.5
    assert indicator[large] < indicator[small] - 0.3
    assert gain[small] > 0.03
    assert abs(gain[large]) < 0.015
    assert mean(study.summary["correlation"], "correlation", start="reinit", lr=small) == pytest.approx(0.1, abs=0.04)

    sparse = {"prune.rate": 0.73, "levels": (3,), "lrs": (small,), "settings": ("lt_imp", "rr_imp"), "seeds": (0,)}
    study = Study(tmp_path, **{**digits, **sparse})
    lt, rr = (mean(study.rows, "test_accuracy", branch=branch, level=3) for branch in ("lt_imp", "rr_imp"))
    assert study.rows[-1]["sparsity"] == pytest.approx(0.98, abs=0.001)
    assert lt - rr > 0.01


@pytest.mark.slow
def test_weights_of_convolutional_network_forget_their_start(tmp_path):
    """Sanity checks 20 and 10: at a large rate the indicator is that of chance; no bias stays frozen."""
    study = Study(
        tmp_path,
        **{"model.name": "conv3", "model.options.width": 0.25, "train.epochs": 20, "train.batch_size": 64},
        **{
            "lrs": (0.2,),
            "levels": (3,),
            "prune.rate": 0.45,
            "settings": ("rr_omp",),
            "instability": (),
            "seeds": (0,),
        },
    )
    assert mean(study.summary["correlation"], "correlation", mask="omp", start="init") == pytest.approx(0.1, abs=0.04)
    fresh = next(row for row in study.rows if row["branch"] == "rr_omp")
    biases = [leaf for path, leaf in paths.leaves(study.trained(fresh).params).items() if path.endswith("_bn/bias")]
    assert len(biases) == 3
    assert all((bias != 0).all() for bias in jax.device_get(biases))
