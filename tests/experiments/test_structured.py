"""Structured tickets: whole small runs on digits, and what the stages of the experiment do."""

import dataclasses
import math

import numpy as np
import pytest

from jaxticket.analysis import Pair, compare
from jaxticket.core import masks, paths
from jaxticket.core.errors import ConfigError
from jaxticket.experiments import default_config, make_plan, resolve, run_experiment
from jaxticket.experiments.structured.analysis import extreme_tickets
from jaxticket.experiments.structured.options import RefillOptions
from jaxticket.experiments.structured.recipes import apply_structured_recipe
from jaxticket.experiments.structured.structured_masks import refilled, report_of, slimmed, structure_of
from jaxticket.lab.derived import mask_statistics, store_mask
from jaxticket.lab.lab import Lab
from jaxticket.lab.network_slimming import slim_mask
from jaxticket.lab.rewound_ticket import rewound_ticket
from jaxticket.lab.stages.references import MaskRef, Stage, WeightsRef, read_weights, write_weights
from jaxticket.lab.structure_costs import picture
from jaxticket.structure import to_matrix
from jaxticket.structure.refill import refill
from jaxticket.ticket import Ticket, load_ticket, save_ticket
from jaxticket.training.progress import Quiet
from jaxticket.training.state import Weights
from tests.small import configured

pytestmark = [pytest.mark.feature("refill and regroup")]

SIZES = {"conv2/kernel": (32, 144), "conv3/kernel": (64, 288)}  # of conv3 with a quarter of its width


SMALL = {
    "model.name": "conv3",
    "model.options.width": 0.25,
    "levels": 2,
    "prune.rate": 0.5,
    "train.epochs": 2,
    "train.batch_size": 256,
}


def options_of(**changes):
    return configured("structured", SMALL | changes)


@pytest.fixture(scope="session")
def workdir(tmp_path_factory):
    """One folder for all, so that the dense network is trained once."""
    return tmp_path_factory.mktemp("structured")


@pytest.fixture(scope="session")
def run(workdir):
    def run(**changes):
        return run_experiment(*options_of(**changes), workdir)

    return run


UPSTREAM = {
    "regroup.groups": 2,
    "regroup.rule": "upstream",
    "regroup.min_rows": 17,
    "regroup.on_dense_group": "drop",
    "regroup.on_small_group": "drop",
    "regroup.max_density": 1.0,
}
ONE = {"levels": 1, "random_tickets": False}
ALL = {"group_aware": True, "channel_criterion": ("bn_scale", "saliency")}
RUNS = {
    "imp": ALL,
    "omp": ONE | {"source": "omp", "refill.criterion": "saliency", "methods": ("refill", "regroup")} | UPSTREAM,
    "snip": ONE | {"source": "snip", "prune.images_per_class": 2, "methods": ("refill",), "refill.criterion": "l2"},
    "random": ONE | {"source": "random", "methods": ("regroup",), "regroup.rule": "budget"},
    "remaining": {"retrain": "remaining", "levels": 1, "methods": ("refill_plus",), "refill.criterion": "remain"},
}
runs = pytest.mark.parametrize("changes", RUNS.values(), ids=RUNS)


def mask_of(folder, row):
    return load_ticket(folder / "tickets" / row["ticket"]).mask


def notes_of(summary, branch, level=1):
    return next(note for note in summary["structure"] if (note["branch"], note["level"]) == (branch, level))


@runs
def test_every_branch_has_structured_levels(run, changes):
    folder, summary = run(**changes)
    source, levels = changes.get("source", "imp"), range(1, changes.get("levels", 2) + 1)
    methods = changes.get("methods", ("refill", "refill_plus", "regroup"))
    branches = {source, *methods, *(f"slim_{name}" for name in changes.get("channel_criterion", ()))}
    branches |= {"imp_regroup"} if changes.get("group_aware") else set()
    branches |= {f"{method}_random" for method in methods} if changes.get("random_tickets", True) else set()
    rows = {(row["branch"], row["level"]): row for row in summary["rows"]}
    assert set(rows) == {("dense", 0), *((branch, level) for branch in branches for level in levels)}
    for (branch, level), row in rows.items():
        assert row["test_accuracy"] > 0.5
        assert 0 < row["macs"] <= row["macs_dense"]
        if branch.endswith("_random"):
            assert row["ticket"] is None
            assert row["epochs"] == 2
            assert row["layer_sparsity"] == rows[branch.removesuffix("_random"), level]["layer_sparsity"]
            continue
        if row["ticket"] is None:
            continue
        mask = mask_of(folder, row)
        assert {path: to_matrix(kept).shape for path, kept in mask.items()} == SIZES
        if branch.startswith("refill"):
            scattered = mask_of(folder, rows[source, level])
            rate = 0.2 if branch == "refill_plus" else 0
            for path, (channels, width) in SIZES.items():
                new = to_matrix(mask[path])
                assert (new.all(axis=1) == new.any(axis=1)).all()
                filled = scattered[path].sum() / width
                assert new.any(axis=1).sum() == math.ceil(filled + (channels - filled) * rate - 1e-9)
        if branch in methods or branch == "imp_regroup":
            for layer in notes_of(summary, branch, level)["layers"]:
                new = to_matrix(mask[layer["path"]])
                assert layer["new_density"] == new.mean()
                assert layer["channels"] == new.any(axis=1).sum()
                if layer["structured"]:
                    assert len(np.unique(new[new.any(axis=1)], axis=0)) <= len(layer["blocks"])
                    assert sum(rows * columns for rows, columns in layer["blocks"]) == new.sum()
                else:
                    assert layer["note"]
            shares = [layer["structured"] for layer in notes_of(summary, branch, level)["layers"]]
            assert row["structured_share"] == notes_of(summary, branch, level)["structured_share"]
            assert (row["structured_share"] == 1) == all(shares)


@runs
def test_rewind_is_exact_and_rest_of_network_dense(run, workdir, changes):
    """Rewind: parameters and statistics are those of the snapshot, but for the mask, which stays. Scope: stem,
    normalisation and classifier are in no mask."""
    folder, summary = run(**changes)
    dense = summary["rows"][0]
    snapshot = read_weights(workdir / "stages" / dense["stage"] / "snapshot.safetensors")
    for row in summary["rows"]:
        trained = read_weights(workdir / "stages" / row["stage"] / "last.safetensors").params
        if row["ticket"] is None:
            continue
        ticket = load_ticket(folder / "tickets" / row["ticket"])
        assert ticket.mask.keys() == SIZES.keys()
        wanted = paths.leaves(masks.apply_mask(snapshot.params, ticket.mask))
        for path, leaf in paths.leaves(ticket.params).items():
            assert np.array_equal(leaf, wanted[path]), (row["branch"], path)
            if path in ticket.mask:
                assert not np.asarray(paths.leaves(trained)[path])[~ticket.mask[path]].any()
        for path, leaf in paths.leaves(ticket.model_state).items():
            assert np.array_equal(leaf, paths.leaves(snapshot.model_state)[path])
        assert row["epochs"] == (1 if changes.get("retrain") == "remaining" else 2)


@runs
def test_again_trains_nothing_and_finds_the_same(run, changes):
    first, again = run(**changes)[1], run(**changes)[1]
    assert all(row["cached"] for row in again["rows"])
    for section in ("structured", "structure", "heatmap"):
        assert first.get(section) == again.get(section)


def test_refilled_channels_are_best_of_their_round(run, workdir):
    folder, summary = run(**ALL)
    rows = {(row["branch"], row["level"]): row for row in summary["rows"]}
    for level in (1, 2):
        trained = read_weights(workdir / "stages" / rows["imp", level]["stage"] / "last.safetensors").params
        mask = mask_of(folder, rows["refill", level])
        for path in SIZES:
            worth = np.abs(to_matrix(paths.leaves(trained)[path])).sum(axis=1)
            kept = to_matrix(mask[path]).any(axis=1)
            assert worth[kept].min() >= worth[~kept].max()
    refill, more = (mask_of(folder, rows[branch, 2]) for branch in ("refill", "refill_plus"))
    assert all((refill[path] <= more[path]).all() for path in SIZES)


def test_the_control_starts_elsewhere(run, workdir):
    _, summary = run(**ALL)
    rows = {(row["branch"], row["level"]): row for row in summary["rows"]}

    def stem(row):
        return read_weights(workdir / "stages" / row["stage"] / "last.safetensors").params["stem"]["kernel"]

    def distance(one, other):
        return np.linalg.norm(stem(rows[one, 2]) - stem(rows[other, 2]))

    assert distance("refill", "refill_plus") < 0.5 * distance("refill", "refill_random")


def test_group_aware_rounds_prune_what_round_before_regrouped(run):
    """Group-aware pruning: the rate is of the regrouped mask, so the mask is not that of regrouping afterwards."""
    _, summary = run(**ALL)
    kept = {(row["branch"], row["level"]): row["kept"] for row in summary["rows"]}
    first, second = (notes_of(summary, "imp_regroup", level)["layers"] for level in (1, 2))
    total = sum(rows * columns for rows, columns in SIZES.values())
    assert kept["imp_regroup", 1] != kept["regroup", 1]
    for level in (1, 2):  # no round is empty
        assert kept["imp_regroup", level] == pytest.approx(total * 0.5**level, rel=0.05)
    scattered = sum(layer["density"] * math.prod(layer["shape"]) for layer in second)
    regrouped = sum(layer["new_density"] * math.prod(layer["shape"]) for layer in first)
    assert round(scattered) == kept["imp_regroup", 1] - round(0.5 * kept["imp_regroup", 1]) == regrouped * 0.5


def test_macs_and_parameters_of_a_row(run):
    """MACs: regrouped, the sum over layers of kept weights times positions; refilled, both sides are trimmed."""
    _, summary = run(**ALL)
    rest = 8 * 8 * 9 * 16 + 64 * 10  # stem and head
    for row in summary["rows"]:
        if row["branch"] in ("dense", "imp", "regroup", "imp_regroup"):
            kept = {path: (1 - row["layer_sparsity"][path]) * math.prod(SIZES[path]) for path in SIZES}
            assert row["macs"] == round(rest + kept["conv2/kernel"] * 4 * 4 + kept["conv3/kernel"] * 2 * 2)
        if row["branch"] == "refill":
            a, b = (layer["channels"] for layer in notes_of(summary, "refill", row["level"])["layers"])
            assert row["macs"] == 8 * 8 * 9 * 16 + 16 * 144 * a + 4 * 9 * a * b + b * 10
            # Kernels, biases and normalisations of stem, conv2, conv3; head.
            assert row["parameters_shrunk"] == 160 + 32 + 144 * a + 3 * a + 9 * a * b + 3 * b + 10 * b + 10


def test_slim_baselines_keep_whole_channels(run):
    folder, summary = run(**ALL)
    rows = {(row["branch"], row["level"]): row for row in summary["rows"]}
    for level in (1, 2):
        both = [mask_of(folder, rows[f"slim_{name}", level]) for name in ALL["channel_criterion"]]
        assert any(not np.array_equal(both[0][path], both[1][path]) for path in SIZES)
        for name, mask in zip(ALL["channel_criterion"], both, strict=True):
            row = rows[f"slim_{name}", level]
            assert 0.9 * rows["imp", level]["kept"] < row["kept"] <= rows["imp", level]["kept"]
            assert row["structured_share"] == 1
            alive = mask["conv2/kernel"].any((0, 1, 2))
            assert np.array_equal(mask["conv3/kernel"].any((0, 1, 3)), alive)


def test_heatmaps_are_of_last_level_and_all_methods(run):
    _, summary = run(**ALL)
    found = {(note["branch"], note["path"]): note for note in summary["heatmap"]}
    assert set(found) == {(b, p) for b in ("imp", "refill", "refill_plus", "regroup", "imp_regroup") for p in SIZES}
    for note in found.values():
        assert note["level"] == 2
        assert np.shape(note["density"]) == (32, 64)
    assert set(np.unique(found["refill", "conv2/kernel"]["density"])) == {0.0, 1.0}


def test_pictures_keep_the_density():
    small = np.eye(3, 5, dtype=bool)
    assert picture(small) == {"shape": [3, 5], "density": small.astype(float).tolist()}
    large = np.zeros((70, 1000), bool)
    large[35:] = True
    density = np.array(picture(large)["density"])
    assert density.shape == (32, 64)
    assert set(np.unique(density[:15])) == {0.0}
    assert set(np.unique(density[17:])) == {1.0}


class Notes(Quiet):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


def small_lab(folder):
    notes = Notes()
    lab = Lab(options_of()[1], folder / "stages", progress=notes)
    weights = lab.init(0)
    return lab, weights, notes.notes


def stored(lab, folder, mask):
    folder.mkdir()
    store_mask(folder, mask)
    content = {"mask": mask_statistics(lab.setting.shapes.params, mask)}
    return MaskRef(Stage("mask", folder.name, folder, False, content))


def test_refill_of_extreme_layers(tmp_path):
    """Refill: four survivors in one channel fill it, a full layer stays full, an empty one gets its first channel."""
    lab, weights, notes = small_lab(tmp_path)
    mask = {path: np.zeros((3, 3, n // 9, channels), bool) for path, (channels, n) in SIZES.items()}
    mask["conv3/kernel"][0, 0, :4, 3] = True
    how = RefillOptions()
    params = weights.load().params
    masked = masks.apply_mask(params, mask)
    (tmp_path / "trained").mkdir()
    write_weights(tmp_path / "trained" / "last.safetensors", Weights(masked, weights.load().model_state))
    trained = WeightsRef(Stage("train", "t", tmp_path / "trained", False, {}), "last")
    found = refilled(lab, stored(lab, tmp_path / "few", mask), trained, how, seed=0)
    new = found.load()
    assert np.flatnonzero(new["conv3/kernel"].any((0, 1, 2))).tolist() == [3]
    assert new["conv3/kernel"][..., 3].all()
    assert np.flatnonzero(new["conv2/kernel"].any((0, 1, 2))).tolist() == [0]
    assert notes == ["nothing is left of conv2/kernel; refill gives it 1 channels all the same"]
    assert [layer["channels"] for layer in structure_of(found)["layers"]] == [1, 1]
    full = {path: np.ones_like(kept) for path, kept in mask.items()}
    for rate in (0.0, 0.2):
        found = refilled(lab, stored(lab, tmp_path / f"full{rate}", full), trained, how, seed=0, rate=rate)
        assert all(kept.all() for kept in found.load().values())


def test_channel_kept_in_part_is_a_block():
    before = {"conv": np.arange(2 * 2 * 3 * 4).reshape(2, 2, 3, 4) % 5 < 3}
    after = refill(before, {"conv": np.arange(4.0)}, fractional=True)
    layer = report_of(before, after).layers["conv"]
    assert layer.new_kept == layer.kept
    assert sorted(layer.blocks) == [(1, layer.kept % 12), (layer.kept // 12, 12)]
    assert layer.structured


def test_unstructured_rounds_are_those_of_imp(run, workdir):
    run(**ALL)
    config = default_config("imp")
    config.train.update(vars(options_of()[1].train))
    config.update({"levels": 2, "rewind_epochs": 1})
    config.model.name, config.prune.rate = "conv3", 0.5
    with config.unlocked():
        config.model.options["width"] = 0.25
    assert all(row["cached"] for row in run_experiment(*resolve(config), workdir)[1]["rows"])


def test_a_ticket_as_the_source(run, workdir, tmp_path):
    """Its mask with the weights of the rewind point gives the same structured mask as the run it is from."""
    folder, summary = run(**ALL)
    rows = {(row["branch"], row["level"]): row for row in summary["rows"]}
    ticket = folder / "tickets" / "imp-2-0"
    changes = {"source": "ticket", "ticket": str(ticket), "levels": 1, "methods": ("refill",), "random_tickets": False}
    again, found = run(**changes)
    assert [row["branch"] for row in found["rows"]] == ["dense", "ticket", "refill"]
    assert found["rows"][0]["cached"]
    assert found["rows"][1]["test_accuracy"] == rows["imp", 2]["test_accuracy"]
    ours, theirs = (
        load_ticket(place / "tickets" / name) for place, name in ((again, "refill-1-0"), (folder, "refill-2-0"))
    )
    for path, leaf in paths.leaves(theirs.params).items():
        assert np.array_equal(leaf, paths.leaves(ours.params)[path])

    lab = small_lab(workdir)[0]
    assert rewound_ticket(lab, ticket)[0].stage.kind == "train"
    elsewhere, _, notes = small_lab(tmp_path)
    assert rewound_ticket(elsewhere, ticket)[0].stage.kind == "ticket"
    assert "they start at zero" in notes[0]
    changed = load_ticket(ticket)
    changed.params["conv2"]["kernel"] = changed.params["conv2"]["kernel"] * np.float32(2)
    save_ticket(tmp_path / "changed", Ticket(changed.params, changed.mask, changed.model_state, changed.meta))
    assert rewound_ticket(lab, tmp_path / "changed")[0].stage.kind == "ticket"


def test_only_some_levels_are_trained_by_all(workdir, tmp_path):
    """Of the others, rounds of pruning train what leads on, and one shot nothing."""
    for source, leading in (("imp", {("imp", 1), ("imp", 2)}), ("omp", set())):
        plan = make_plan(*options_of(levels=3, train_levels=(3,), source=source, methods=("refill",)), tmp_path)
        found = {tuple(stage.label.rsplit("-", 2)[:2]) for stage in plan.networks}
        last = {(name, "3") for name in (source, "refill", "refill_random")}
        assert found == {("dense", "0"), *last, *((name, str(level)) for name, level in leading)}
    with pytest.raises(ConfigError, match=r"config.train_levels=\(2, 4\): must be increasing levels from 1 to 3"):
        options_of(levels=3, train_levels=(2, 4))


def test_channel_pruning_leaves_every_layer_a_share(workdir):
    lab = Lab(options_of()[1], workdir / "stages")
    weights, mask = lab.init(0).load(), lab.full_mask().load()
    scores = {path: np.arange(SIZES[path][0]) + (1000 if path.startswith("conv3") else 0) for path in SIZES}
    for floor, least in ((0.0, 1), (0.1, 4), (0.5, 16)):
        found = slim_mask(lab.setting, weights, mask, scores, 1000, floor=floor)
        assert mask_channels(found.mask["conv2/kernel"]) == least
        assert found.exhausted["conv2/kernel"] == f"down to {least} of 32 channels, as few as a layer may keep"
        assert ("conv3/kernel" in found.exhausted) == (floor == 0.5)  # which alone needs half of it too
    assert slim_mask(lab.setting, weights, mask, scores, 15_000).exhausted == {}


def test_layers_at_their_least_are_named(tmp_path):
    lab, weights, notes = small_lab(tmp_path)
    (tmp_path / "dense").mkdir()
    write_weights(tmp_path / "dense" / "last.safetensors", weights.load())
    trained = WeightsRef(Stage("train", "dense", tmp_path / "dense", False, {}), "last")
    full = lab.full_mask()
    few = stored(
        lab,
        tmp_path / "few",
        {path: np.arange(kept.size).reshape(kept.shape) < 99 for path, kept in full.load().items()},
    )
    for floor, least in ((0.0, 1), (0.25, 8)):
        notes.clear()
        found = slimmed(lab, trained, full, few, "magnitude", RefillOptions(), seed=0, floor=floor)
        layers = {layer["path"]: layer for layer in structure_of(found)["layers"]}
        spent = {path: layer["note"] for path, layer in layers.items() if layer["note"]}
        assert spent
        for path, note in spent.items():
            count = layers[path]["channels"]
            assert note == f"down to {count} of {SIZES[path][0]} channels, as few as a layer may keep"
            assert f"slim by magnitude, {path}: {note}" in notes
        assert min(layer["channels"] for layer in layers.values()) >= least


def mask_channels(kept):
    return int(np.asarray(kept).any((0, 1, 2)).sum())


def test_slim_masks_of_a_network_with_shortcuts(tmp_path):
    """Slim: the first convolution of a block is trimmed, outputs that meet a shortcut never; one channel stays."""
    lab = Lab(options_of(**{"model.name": "resnet20", "model.options": {}})[1], tmp_path, execute=False)
    params, state = (
        {path: np.ones(leaf.shape, np.float32) for path, leaf in paths.leaves(tree).items()}
        for tree in lab.setting.shapes
    )
    weights = Weights(paths.nest(params), paths.nest(state))
    mask = {path: np.ones(params[path].shape, bool) for path in params if path.endswith("kernel")}
    mask = {path: kept for path, kept in mask.items() if "stem" not in path and "head" not in path}
    scores = {path: np.arange(kept.shape[-1], dtype=float) for path, kept in mask.items()}
    new, *_ = slim_mask(lab.setting, weights, mask, scores, 0)
    trimmed = {
        path: np.flatnonzero(leaf.any((0, 1, 2))).tolist()
        for path, leaf in new.items()
        if not leaf.any((0, 1, 2)).all()
    }
    assert set(trimmed) == {path for path in mask if "conv1" in path}
    assert all(channels == [mask[path].shape[-1] - 1] for path, channels in trimmed.items())
    total = masks.count(mask)[0]
    some, count, _ = slim_mask(lab.setting, weights, mask, scores, total - 1)
    assert total - 2 * 9 * 64 <= count < total  # one channel, with what makes it and what reads it
    assert masks.count(some)[0] == count
    _, unchanged, _ = slim_mask(lab.setting, weights, mask, "magnitude", total)
    assert unchanged == total


def row(branch, level, accuracy, sparsity, share=None):
    found = {"branch": branch, "level": level, "test_accuracy": accuracy, "sparsity": sparsity}
    return {**found, "macs": 1 - sparsity, "macs_dense": 1.0, **({} if share is None else {"structured_share": share})}


def test_extreme_ticket_is_sparsest_not_below_dense():
    rows = [row("dense", 0, 0.7, 0.0), row("dense", 0, 0.9, 0.0)]
    rows += [row("imp", 1, 0.9, 0.2), row("imp", 1, 0.6, 0.2)]
    rows += [row("refill", 1, 0.8, 0.2, 1.0), row("refill", 1, 0.8, 0.2, 1.0), row("refill", 2, 0.81, 0.4, 1.0)]
    rows += [row("refill", 3, 0.79, 0.5, 1.0), row("refill_random", 3, 0.99, 0.5, 1.0)]
    rows += [row("regroup", 1, 0.9, 0.3, 0.0), row("regroup", 2, 0.9, 0.0, 1.0)]
    found = extreme_tickets(rows, "imp", [])
    assert found["dense"] == {"test_accuracy": 0.8, "n": 2}
    assert found["extreme"]["refill"] == {
        "level": 2, "n": 1, "test_accuracy": 0.81, "sparsity": 0.4, "macs_share": 0.6, "structured_share": 1.0,
        "settled": False,
    }  # fmt: skip
    assert found["winning"] == {"imp": [], "refill": [1, 2], "regroup": []}
    assert found["extreme"]["imp"] is None
    assert found["extreme"]["regroup"] is None


def test_win_is_settled_only_with_its_ticket():
    """Level 2 wins by a mean that a single seed makes; level 3 is surely below, and wins nothing."""
    gaps = {1: (0.020, 0.021, 0.019), 2: (0.050, -0.010, -0.010), 3: (-0.020, -0.021, -0.019)}
    rows = [row("dense", 0, 0.8 + 0.01 * seed, 0.0) | {"seed": seed} for seed in range(3)]
    rows += [
        row("refill", level, 0.8 + 0.01 * seed + gap, 0.2 * level, 1.0) | {"seed": seed}
        for level, found in gaps.items()
        for seed, gap in enumerate(found)
    ]
    compared = [dataclasses.asdict(one) for one in compare(rows, [Pair("refill", "dense", control_level=0)])]
    assert [one["settled"] for one in compared] == [True, False, True]
    found = extreme_tickets(rows, "imp", compared)
    assert (found["winning"], found["settled"]) == ({"refill": [1, 2]}, {"refill": [1]})
    assert (found["extreme"]["refill"]["level"], found["extreme"]["refill"]["settled"]) == (2, False)
    first = extreme_tickets([one for one in rows if one["level"] < 2], "imp", compared)
    assert first["extreme"]["refill"]["settled"]


def test_the_study_compares_seed_by_seed(run):
    seeds = (0, 1, 2)
    _, summary = run(
        **ONE | {"source": "omp", "methods": ("refill", "regroup"), "seeds": seeds, "random_tickets": True}
    )
    accuracy = {(row["branch"], row["seed"]): row["test_accuracy"] for row in summary["rows"]}
    pairs = [("refill", "refill_random"), ("regroup", "regroup_random"), ("omp", "dense")]
    pairs += [("refill", "dense"), ("regroup", "dense")]
    assert [(one["treatment"], one["control"]) for one in summary["comparisons"]] == pairs
    for one, (ticket, control) in zip(summary["comparisons"], pairs, strict=True):
        differences = [accuracy[ticket, seed] - accuracy[control, seed] for seed in seeds]
        assert (one["level"], one["n"], one["comparisons"]) == (1, 3, 5)
        assert one["mean"] == pytest.approx(sum(differences) / 3)
    above = {
        one["treatment"]
        for one in summary["comparisons"]
        if one["control"] == "dense" and one["settled"] and one["mean"] > 0
    }
    found = summary["structured"]
    assert found["settled"] == {
        branch: [1] if branch in above and levels else [] for branch, levels in found["winning"].items()
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "impp"}, "config.source='impp': must be one of imp, omp"),
        (
            {"methods": ("refil",)},
            r"config.methods\[0\]='refil': must be one of refill, refill_plus, regroup",
        ),
        ({"methods": ()}, r"config.methods=\(\): must be at least one of"),
        ({"channel_criterion": ("l3",)}, r"config.channel_criterion\[0\]='l3': must be one of bn_scale"),
        ({"source": "ticket"}, "config.ticket='' with source='ticket'"),
        ({"ticket": "somewhere"}, "config.ticket='somewhere' with source='imp'"),
        ({"source": "ticket", "ticket": "x"}, "config.levels=2: a ticket is one level; set 1"),
        ({"source": "omp", "group_aware": True}, "config.group_aware=True: needs source='imp', found 'omp'"),
        ({"source": "snip", "prune.criterion": "lamp"}, "config.prune.criterion='lamp': source='snip'"),
        ({"prune.granularity": "channel"}, "config.prune.granularity='channel': the masks to be structured"),
        ({"retrain": "remaining", "rewind_epochs": 0}, "needs rewind_epochs above 0"),
        ({"rewind_epochs": 2}, "config.rewind_epochs=2: must be less than the 2 epochs"),
        ({"refill.rate": 1.5}, "config.refill.rate=1.5: must be at most 1"),
        (
            {"regroup.min_rows_per_column": 4},
            "config.regroup: min_rows_per_column=4 with rule='row_budget': it needs",
        ),
        ({"regroup.rule": "rows"}, "config.regroup.rule='rows': must be one of row_budget"),
    ],
)
def test_wrong_options_are_one_line(changes, message):
    with pytest.raises(ConfigError, match=message) as error:
        options_of(**changes)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "train", "rewind", "prunable"),
    [
        (("resnet18", "cifar10", "paper"), (160, 128, 0.1, 1e-4), 8, 11_157_504),
        (("vgg16", "cifar10", "paper"), (160, 128, 0.1, 2e-4), 8, 14_708_736),
        (("vgg16", "cifar100", "upstream"), (160, 128, 0.1, 5e-4), 16, 14_710_464),
        (("resnet50", "tiny_imagenet", "paper"), (95, 32, 0.1, 5e-4), 5, None),
    ],
)
def test_recipes_of_the_paper_and_of_its_program(tmp_path, arguments, train, rewind, prunable):
    """Scope: stem, normalisation and classifier are not prunable; the program prunes a VGG's first convolution."""
    config = default_config("structured")
    apply_structured_recipe(config, *arguments)
    found = config.train
    assert (found.epochs, found.batch_size, found.lr, found.weight_decay) == train
    assert config.rewind_epochs == rewind
    assert config.levels == 9
    plan = make_plan(*resolve(config), tmp_path)
    assert len(plan.networks) == 1 + 9 * 7
    if prunable:
        assert sum(plan.lab.setting.prunable(config.prune.rules).values()) == prunable
    assert config.regroup.rule == ("upstream" if arguments[2] == "upstream" else "row_budget")
    with pytest.raises(ConfigError, match="config argument 'preset=code': must be one of paper, upstream"):
        apply_structured_recipe(config, "conv3", "digits", "code")
