"""COLT and its baseline: whole small runs on digits, and the checks of what every round does."""

import itertools
import json

import jax
import numpy as np
import pytest

import jaxticket as jt
from jaxticket import models
from jaxticket.analysis import compare
from jaxticket.core import masks, paths
from jaxticket.data.subsets import class_parts, take_classes
from jaxticket.experiments import default_config, resolve, run_experiment
from jaxticket.experiments.colt.analysis import PAIRS, compare_with_lth, ticket_rows
from jaxticket.experiments.colt.recipes import apply_colt_recipe
from jaxticket.lab.lab import Lab
from jaxticket.lab.mask_intersection import agreement, full_mask_stage, intersected, prune_groups, pruned_by_groups
from jaxticket.lab.random_masks import shuffled
from jaxticket.lab.rate_groups import RateGroup, rate_groups
from jaxticket.lab.stages.references import read_weights
from jaxticket.training.options import TrainOptions
from jaxticket.training.schedules import learning_rate
from tests.small import configured

pytestmark = [pytest.mark.feature("COLT")]

CONVS = {"stem/kernel", "conv2/kernel", "conv3/kernel"}
# Where convolutions do not matter, a network that compiles and trains in no time.
DENSE = {"model.name": "lenet300", "model.options": {}, "rates": (("dense", 0.15),), "lth": False, "evaluate": False}


SMALL = {
    "target": 0.0,
    "rounds": 2,
    "train.epochs": 2,
    "train.batch_size": 128,
    "train.milestones": (0.5,),
    "data.val_fraction": 0.0,
}


def options_of(**changes):
    return configured("colt", SMALL | changes, recipe=apply_colt_recipe)


@pytest.fixture(scope="session")
def workdir(tmp_path_factory):
    """One folder for all, so that what runs share is trained once."""
    return tmp_path_factory.mktemp("colt")


@pytest.fixture(scope="session")
def run(workdir):
    def run(**changes):
        return run_experiment(*options_of(**changes), workdir)

    return run


@pytest.fixture(scope="session")
def plain(run):
    """The folder of a run, and its rows by branch, level and part."""
    folder, summary = run()
    return folder, {(row["branch"], row["level"], row.get("part")): row for row in summary["rows"]}


def mask_of(folder, label):
    return jt.load_ticket(folder / "tickets" / label).mask


def test_every_round_has_its_networks(plain):
    _, rows = plain
    assert set(rows) == {
        ("dense", 0, None),
        *((branch, level, None) for branch in ("colt", "lth", "lth_matched") for level in (1, 2)),
    } | {("colt_part", level, part) for level in (0, 1, 2) for part in (1, 2)}
    for (branch, level, _), row in rows.items():
        assert row["ticket"] == (f"{branch}-{level}-0" if branch in ("colt", "lth") else None)
        assert row["test_accuracy"] > 0.6
        assert set(row["layer_sparsity"]) == CONVS


def test_rounds_are_nested_and_lth_keeps_rate(plain):
    """Monotone; groups: only convolutions ever change."""
    folder, rows = plain
    for branch in ("colt", "lth"):
        first, second = (mask_of(folder, f"{branch}-{level}-0") for level in (1, 2))
        assert set(first) == CONVS
        assert all((second[path] <= first[path]).all() for path in CONVS)
    total = 144 + 4608 + 18432
    assert [rows["lth", level, None]["kept"] for level in (1, 2)] == [total - 4637, total - 4637 - round(0.2 * 18547)]


def test_lth_at_colts_sparsities_prunes_as_fast(plain, workdir):
    """The control of the rounds: equally many weights in every round, from LTH's own magnitudes, the same start."""
    _, rows = plain
    lab = Lab(options_of()[1], workdir / "stages")
    before = full_mask_stage(lab, rate_groups(lab.setting.shapes.params, (("conv", 0.15),), "rates")).load()
    source = rows["dense", 0, None]
    for level in (1, 2):
        row = rows["lth_matched", level, None]
        assert row["kept"] == rows["colt", level, None]["kept"]
        assert row["stage"] != rows["colt", level, None]["stage"]
        weights = read_weights(workdir / "stages" / source["stage"] / "last.safetensors").params
        expected = jt.prune(before, jt.magnitude(weights, before), sparsity=row["sparsity"])
        trained = paths.leaves(read_weights(workdir / "stages" / row["stage"] / "last.safetensors").params)
        assert all((trained[path][~np.asarray(kept)] == 0).all() for path, kept in expected.items())
        assert all((trained[path][np.asarray(kept)] != 0).mean() > 0.99 for path, kept in expected.items())
        before, source = expected, row


def test_random_masks_have_the_densities_of_the_tickets(run, plain):
    _, summary = run(random_masks=True, lth=False)
    for level in (1, 2):
        (random,) = [row for row in summary["rows"] if (row["branch"], row["level"]) == ("random", level)]
        ticket = plain[1]["colt", level, None]
        assert random["layer_sparsity"] == ticket["layer_sparsity"]
        assert random["ticket"] is None
        assert random["stage"] != ticket["stage"]
    # Two rounds come to no sparsity of 50 %, but all of these have equally many weights in each.
    places = [(one["control"], one["level"], one["case"]) for one in summary["comparisons"]]
    assert places == [(control, level, {}) for control in ("lth_matched", "random") for level in (1, 2)]


def test_shuffled_masks_keep_every_layers_count():
    mask = {"a": np.arange(60).reshape(6, 10) < 15, "b": np.ones((3, 4), bool)}
    one, two = (shuffled(mask, jax.random.key(seed)) for seed in (0, 1))
    assert [int(found["a"].sum()) for found in (one, two)] == [15, 15]
    assert one["a"].shape == (6, 10)
    assert (one["a"] != two["a"]).any()
    assert (one["a"] != mask["a"]).any()
    assert bool(one["b"].all())


def test_tickets_are_compared_when_they_reach_sparsity():
    rows = [
        row(branch, level, seed, 1 - left**level, 0.9 + gain + 0.001 * seed * level, **more)
        for branch, left, gain, more in (
            ("colt", 0.7, 0.0, {}), ("colt_part", 0.7, 0.5, {"part": 1}),
            ("lth", 0.8, 0.01, {}), ("lth_matched", 0.7, 0.02, {}),
        )
        for seed in (0, 1, 2)
        for level in range(1, 9)
    ]  # fmt: skip
    found = compare(ticket_rows(rows), PAIRS)
    assert [(one.control, one.case["sparsity"]) for one in found] == [
        *(("lth_matched", sparsity) for sparsity in (0.5, 0.8, 0.9)), ("lth", 0.5), ("lth", 0.8),
    ]  # fmt: skip
    assert found[0].mean == pytest.approx(-0.02)
    assert {one.level for one in found} == {None}


def test_unreached_sparsity_is_compared_at_equal_weights():
    rows = [
        row(branch, level, 0, 1 - left**level, 0.9 + gain)
        for branch, left, gain in (("colt", 0.85, 0.0), ("lth_matched", 0.85, 0.02), ("lth", 0.6, 0.01))
        for level in (1, 2)
    ]
    found = compare(ticket_rows(rows), PAIRS)
    assert [(one.control, one.level, dict(one.case)) for one in found] == [
        ("lth_matched", 1, {}),
        ("lth_matched", 2, {}),
    ]
    assert found[0].mean == pytest.approx(-0.02)


def test_overlap_explains_what_is_kept(run, plain):
    folder, rows = plain
    for level in (1, 2):
        row, part = rows["colt", level, None], rows["colt_part", level, 1]
        assert row["overlap"] == part["overlap"]
        assert 0.15 < row["overlap"] < 1
        assert row["overlap_by_chance"] == pytest.approx(0.15)
        assert row["kept_measured"] == pytest.approx(row["kept_expected"], abs=1e-3)
        before = rows["colt_part", level - 1, 1]["kept"]
        assert row["kept"] == part["kept"] == round(row["kept_measured"] * before)
        assert row["sparsity_total"] < part["sparsity_total"]  # of a network with fewer classes
    notes = json.loads((folder / "summary.json").read_text())["colt_rounds"]
    assert [(note["seed"], note["level"], set(note["layers"])) for note in notes] == [(0, 1, CONVS), (0, 2, CONVS)]


def test_rewound_bit_by_bit(run, plain, workdir):
    """Rewind; shared start; transfer: theta0 where kept, exact zeros elsewhere, fresh statistics, whatever the data."""
    folder, rows = plain
    lab = Lab(options_of()[1], workdir / "stages")
    init = lab.init(0).load()
    for ticket in (jt.load_ticket(folder / "tickets" / f"{b}-{r}-0") for b in ("colt", "lth") for r in (1, 2)):
        assert ticket.mask.keys() == CONVS
        masked = paths.leaves(masks.apply_mask(init.params, ticket.mask))
        for path, leaf in paths.leaves(ticket.params).items():
            np.testing.assert_array_equal(leaf, masked[path])
        for path, leaf in paths.leaves(ticket.model_state).items():
            assert (leaf == (1 if path.endswith("var") else 0)).all()
    for (branch, level, part), row in rows.items():
        has_ticket = level and branch != "lth_matched"
        mask = mask_of(folder, f"{'lth' if branch == 'lth' else 'colt'}-{level}-0") if has_ticket else {}
        for name, leaf in paths.leaves(
            read_weights(workdir / "stages" / row["stage"] / "last.safetensors").params
        ).items():
            if name in mask:
                assert (leaf[~mask[name]] == 0).all(), (branch, level, part)


def test_other_classes_change_masks_and_never_weights(run):
    """Rewind: changing the partition's data changes masks, never the rewound values."""
    one, other = (
        jt.load_ticket(run(**DENSE, rounds=1, **changes)[0] / "tickets" / "colt_part-1-0-part1")
        for changes in ({}, {"data.class_order": "shuffled"})
    )
    assert any((one.mask[path] != other.mask[path]).any() for path in one.mask)
    for path, leaf in paths.leaves(one.params).items():
        both = one.mask[path] & other.mask[path] if path in one.mask else np.ones(leaf.shape, bool)
        assert both.sum() > 0.5 * both.size
        np.testing.assert_array_equal(leaf[both], paths.leaves(other.params)[path][both])


@pytest.mark.parametrize("model", ["lenet300", "conv3", pytest.param("resnet20", marks=pytest.mark.deep)])
def test_the_body_does_not_depend_on_the_classes(model):
    """Shared start: bitwise equal bodies with 5 and 10 outputs."""
    few, many = (
        paths.leaves(
            models.init_variables(models.create_model(model, num_classes=n), jax.random.key(3), (16, 16, 1))[0]
        )
        for n in (5, 10)
    )
    assert few.keys() == many.keys()
    for path in few:
        if path.startswith("head/"):
            assert few[path].shape != many[path].shape
        else:
            np.testing.assert_array_equal(few[path], many[path])


def test_all_parts_start_a_round_alike(workdir, monkeypatch):
    """Shared start: identical mask and weights for every part, the head included, and a fresh one for all classes."""
    asked = []
    train = Lab.train
    monkeypatch.setattr(
        Lab,
        "train",
        lambda lab, start, mask, **k: (
            asked.append((lab.options.data.part, start.key, mask.key)) or train(lab, start, mask, **k)
        ),
    )
    run_experiment(*options_of(), workdir)
    for level in range(3):
        one, two = ([entry[1:] for entry in asked if entry[0] == part][level] for part in ("1/2", "2/2"))
        assert one == two
    assert len({start for part, start, _ in asked if part != "full"}) == 1
    assert len({start for part, start, _ in asked if part == "full"}) == 1
    assert len({start for _, start, _ in asked}) == 2


def test_prune_and_and():
    """Prune + AND: two vectors, their masks, their intersection and their overlap."""
    w = {
        "a": np.array([0.9, -0.1, 0.4, -0.05, 0.3, -0.7, 0.02, 0.6, -0.2, 0.15], np.float32),
        "b": np.array([0.1, -0.6, 0.5, -0.04, 0.05, -0.8, 0.3, 0.7, -0.9, 0.2], np.float32),
    }
    groups, full = [RateGroup("w", 0.2, {"w": 10})], {"w": np.ones(10, bool)}
    a, b = (prune_groups(full, {"w": w[name]}, groups, "global") for name in "ab")
    assert ["".join("01"[int(k)] for k in mask["w"]) for mask in (a, b)] == ["1110110111", "1110011111"]
    both = masks.intersect(a, b)
    assert "".join("01"[int(k)] for k in both["w"]) == "1110010111"
    found = agreement(full, [a, b], groups)
    assert (found["overlap"], found["kept_measured"]) == (0.5, 0.7)
    assert found["kept_expected"] == pytest.approx(0.7)
    assert found["overlap_by_chance"] == pytest.approx(0.2)


def test_identical_parts_and_their_order(workdir):
    """Identical parts: equal weights give the mask of LTH at COLT's rate; the parts' order does not matter."""
    lab = Lab(options_of()[1], workdir / "stages")
    groups = rate_groups(lab.setting.shapes.params, (("conv", 0.15),), "rates")
    full, one, other = full_mask_stage(lab, groups), lab.init(0), lab.init(0, stream="reinit")
    pruned, different = (pruned_by_groups(lab, weights, full, groups, "global") for weights in (one, other))
    same = intersected(lab, full, [pruned, pruned], groups)
    assert all((same.load()[path] == pruned.load()[path]).all() for path in CONVS)
    assert same.stage.content["agreement"]["overlap"] == 1
    assert intersected(lab, full, [pruned], groups) is pruned
    both = intersected(lab, full, [pruned, different], groups).load()
    assert all((both[path] == (pruned.load()[path] & different.load()[path])).all() for path in CONVS)
    assert any((both[path] != pruned.load()[path]).any() for path in CONVS)
    keys = {intersected(lab, full, list(order), groups).key for order in itertools.permutations([pruned, different])}
    assert len(keys) == 1


def test_a_single_part_is_lth(run):
    """Identical parts: P = 1 is LTH, to the very stages."""
    _, summary = run(partitions=1, rates=(("conv", 0.2),), rounds=1)
    rows = {(row["branch"], row["level"]): row for row in summary["rows"]}
    assert rows["colt", 1]["stage"] == rows["lth", 1]["stage"] == rows["colt_part", 1]["stage"]
    assert rows["lth", 1]["cached"] or rows["lth", 1]["kept"] == 18547


def test_the_target_ends_it_and_again_trains_nothing(run, plain):
    """Stop: at the first round that reaches the target, whose ticket is trained."""
    _, summary = run(target=0.19, rounds=30)
    rows = summary["rows"]
    assert all(row["cached"] for row in rows)
    assert [(row["branch"], row["level"]) for row in rows if row["branch"] in ("colt", "lth")] == [
        ("colt", 1),
        ("lth", 1),
    ]
    total, _ = run(target=0.194, target_counts="total", rounds=30)
    labels = sorted(folder.name for folder in (total / "tickets").iterdir())
    assert labels == ["colt-1-0", "lth-1-0", "lth-2-0"]  # 20 % of the convolutions are less of all weights


def test_a_round_that_removes_nothing_is_the_last(run):
    """Stop: one survivor at a rate of 0.4."""
    _, summary = run(**DENSE | {"rates": (("head/bias", 0.4), ("dense", 0.0))}, rounds=50)
    kept = [row["kept"] for row in summary["rows"] if row["part"] == 1]
    assert kept[0] == 5
    assert kept[-1] <= 1
    assert all(a > b for a, b in itertools.pairwise(kept))


def test_partition():
    """Partition: contiguous ranges, relabelled, together the whole."""
    assert [part.tolist() for part in class_parts(10, 2)] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert [part.tolist() for part in class_parts(10, 5)] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    for classes in (100, 200):
        assert [len(part) for part in class_parts(classes, 2)] == [classes // 2] * 2
    data = jt.data.load("digits")
    for split in (data.train, data.test):
        parts = [take_classes(split, classes) for classes in class_parts(10, 5)]
        assert sum(part.size for part in parts) == split.size
        assert all(set(part.labels.tolist()) == {0, 1} for part in parts)


def test_learning_rate_of_the_recipe():
    """LR: warm-up within the first epoch, a fifth from epochs 21, 31 and 46."""
    config = default_config("colt")
    apply_colt_recipe(config, "resnet18", "cifar10")
    train = resolve(config)[1].train
    assert (train.optimizer, train.lr, train.weight_decay, train.epochs, train.batch_size) == (
        "sgd",
        0.1,
        5e-4,
        50,
        256,
    )
    rate = learning_rate(train, steps_per_epoch=4, total_steps=200)
    assert [float(rate(step)) for step in range(4)] == pytest.approx([0, 0.025, 0.05, 0.075])
    first = [float(rate(4 * epoch)) for epoch in range(1, 50)]
    assert first == pytest.approx([0.1] * 20 + [0.02] * 10 + [0.004] * 15 + [0.0008] * 4)
    for warmup, step, expected in ((0.0, 0, 0.1), (3.0, 12, 0.1), (3.0, 4, 0.1 / 3)):
        plain = TrainOptions(lr=0.1, warmup_epochs=warmup)
        assert float(learning_rate(plain, steps_per_epoch=4, total_steps=200)(step)) == pytest.approx(expected)
    apply_colt_recipe(config, "conv3", "cifar100")
    assert (config.train.optimizer, config.train.lr, config.train.weight_decay) == ("adam", 1e-3, 1e-4)
    apply_colt_recipe(config, "alexnet", "tiny_imagenet")
    assert (config.train.lr, config.data.augment.rotation, config.data.augment.crop_padding) == (0.01, 20.0, 0)


def row(branch, level, seed, sparsity, accuracy, **more):
    return {"branch": branch, "level": level, "seed": seed, "sparsity": sparsity, "test_accuracy": accuracy, **more}


def test_rounds_to_a_sparsity():
    rows = [
        row(b, r, s, 1 - k**r, 0.9 - r / 100)
        for b, k in (("colt", 0.7), ("lth", 0.8))
        for s in (0, 1)
        for r in (1, 2, 3, 4)
    ]
    found = {(entry["branch"], entry["sparsity"]): entry for entry in compare_with_lth(rows)}
    assert set(found) == {("colt", 0.5), ("lth", 0.5)}
    assert found["colt", 0.5] == {"sparsity": 0.5, "branch": "colt", "n": 2, "rounds": 2.0, "test_accuracy": 0.88}
    assert found["lth", 0.5]["rounds"] == 4
    parts = [row("colt_part", r, 0, 1 - 0.7**r, 0.9, part=p) for p in (1, 2) for r in (1, 2)]
    assert compare_with_lth(parts) == [
        {"sparsity": 0.5, "branch": "colt", "n": 1, "rounds": 2.0, "test_accuracy": None}
    ]
    assert compare_with_lth([row("dense", 0, 0, 0.0, 0.9)]) == []


@pytest.mark.slow
@pytest.mark.deep
def test_toy_end_to_end(tmp_path):
    """Toy end-to-end: 99 % in 15 to 18 rounds, LTH in 21, overlap between 0.15 and 0.45, accuracy at 93 %."""
    changes = {
        "data.val_fraction": 0.1,
        "train.epochs": 8,
        "train.batch_size": 64,
        "train.milestones": (0.5, 0.75, 0.875),
        "lth": False,
        "lth_matched": False,
    }
    search = {"target": 0.99, "rounds": 30, "evaluate": False}
    _, found = run_experiment(*options_of(**changes, **search), tmp_path)
    rows = [row for row in found["rows"] if row["part"] == 1]
    assert 15 <= rows[-1]["level"] <= 18
    assert rows[-2]["sparsity"] < 0.99 <= rows[-1]["sparsity"]
    overlaps = [row["overlap"] for row in rows[1:]]
    assert 0.15 < min(overlaps) <= max(overlaps) < 0.45
    _, tickets = run_experiment(*options_of(**changes, target=0.93, rounds=30), tmp_path)
    accuracy = {row["branch"]: row["test_accuracy"] for row in tickets["rows"] if row["branch"] != "colt_part"}
    assert accuracy["colt"] > accuracy["dense"] - 0.015
