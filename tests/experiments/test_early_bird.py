"""Early-bird tickets: whole small runs on digits, and what a draw does."""

from pathlib import Path

import numpy as np
import pytest

import jaxticket as jt
from jaxticket import analysis, storage
from jaxticket.core import masks, paths
from jaxticket.core.errors import ConfigError
from jaxticket.experiments import default_config, make_plan, resolve, run_experiment
from jaxticket.experiments.early_bird.monitors import ScaleMonitor
from jaxticket.lab.channel_tickets import all_channels, channel_ticket
from jaxticket.lab.lab import Lab
from jaxticket.lab.stages.references import read_weights
from tests.small import Notes, configured

pytestmark = [pytest.mark.feature("early birds")]

RATIOS = (0.3, 0.6)
EPOCHS, STEPS, BATCH = 6, 5, 256  # an epoch of digits is 1,294 images
CHANNELS = {"conv2_bn": 16, "conv3_bn": 32, "stem_bn": 8}
SMALL = {
    "model.name": "conv3",
    "train.epochs": EPOCHS,
    "train.batch_size": BATCH,
    "train.bn_l1": 0.003,
    "ratios": RATIOS,
    "window": 3,
    "epsilon": 0.08,
}


NARROW = {"model.options.width": 0.125, "model.options.norm_scale": 0.5}


def options_of(**changes):
    return configured("early_bird", SMALL | NARROW | changes)


@pytest.fixture(scope="session")
def workdir(tmp_path_factory):
    """One folder for all, so that equal networks are trained once."""
    return tmp_path_factory.mktemp("early_bird")


@pytest.fixture(scope="session")
def run(workdir):
    return lambda **changes: run_experiment(*options_of(**changes), workdir)


WHOLE = {"retrain": ("inherit", "rewind", "reinit"), "draw_epochs": (2,)}
BRANCHES = ("eb_inherit", "eb_rewind", "eb_reinit", "draw_2", "late")


def by_key(summary):
    return {(row["branch"], row["level"]): row for row in summary["rows"]}


def weights_of(workdir, row, name="last"):
    return read_weights(workdir / "stages" / row["stage"] / f"{name}.safetensors")


def test_rows_are_every_branch_at_every_ratio(run):
    _, summary = run(**WHOLE)
    rows = by_key(summary)
    assert set(rows) == {("dense", 0), *((branch, level) for branch in (*BRANCHES, "random") for level in (1, 2))}
    assert all(3 < summary["emergence"][str(ratio)] < EPOCHS for ratio in RATIOS)
    for (branch, level), row in rows.items():
        if not level:
            continue
        assert row["ratio"] == RATIOS[level - 1]
        emerged = summary["emergence"][str(row["ratio"])]
        assert row["draw_epoch"] == {"draw_2": 2, "late": EPOCHS}.get(branch, emerged)
        whole = branch in ("eb_rewind", "eb_reinit", "late")
        assert row["epochs"] == (EPOCHS if whole else EPOCHS - row["draw_epoch"])
        assert row["macs"] < row["macs_dense"]


def test_cost_of_training_is_dense_until_draw(run):
    """Training cost: two operations for a multiply-accumulate, three passes, all images that were seen."""
    _, summary = run(**WHOLE)
    for row in summary["rows"]:
        if not row["level"]:
            dense = row
            assert row["training_flops"] == 6 * row["macs_dense"] * BATCH * STEPS * EPOCHS
            continue
        macs = row["macs_dense"] * row["draw_epoch"] + row["macs"] * row["epochs"]
        assert row["training_flops"] == 6 * BATCH * STEPS * macs
        assert row["training_flops_share"] == pytest.approx(row["training_flops"] / dense["training_flops"])
    rows = by_key(summary)
    assert rows["eb_inherit", 2]["training_flops_share"] < 1 < rows["late", 2]["training_flops_share"]


def test_random_channels_are_as_many_in_every_layer(run, workdir):
    folder, summary = run(**WHOLE)
    rows = by_key(summary)
    differ = 0
    for level in (1, 2):
        random, early = rows["random", level], rows["eb_inherit", level]
        assert random["ticket"] is None
        assert random["epochs"] == early["epochs"]
        assert random["macs"] == early["macs"]
        assert random["sparsity"] == pytest.approx(early["sparsity"], abs=1e-9)
        mask = jt.load_ticket(folder / "tickets" / f"eb_inherit-{level}-0").mask
        after = paths.leaves(weights_of(workdir, random).params)
        for name in CHANNELS:
            alive = np.asarray(after[f"{name}/scale"]) != 0
            assert alive.sum() == mask[f"{name}/scale"].sum()
            differ += int((alive != mask[f"{name}/scale"]).sum())
    assert differ > 10
    pairs = {(one["treatment"], one["control"]) for one in summary["comparisons"]}
    assert {("eb_inherit", "random"), ("eb_inherit", "late"), ("draw_2", "late"), ("late", "dense")} <= pairs


def test_early_mask_is_compared_with_final_one(run):
    folder, summary = run(**WHOLE)
    for entry, (level, ratio) in zip(summary["final_mask"], enumerate(RATIOS, start=1), strict=True):
        early, late = (
            np.concatenate(
                [jt.load_ticket(folder / "tickets" / f"{branch}-{level}-0").mask[f"{name}/scale"] for name in CHANNELS]
            )
            for branch in ("eb_inherit", "late")
        )
        assert entry["overlap"] == pytest.approx((~early & ~late).sum() / (~early).sum())
        assert entry["overlap_by_chance"] == pytest.approx((~late).mean())
        assert entry["distance"] == pytest.approx((early != late).mean())
        one, other = (~early).mean(), (~late).mean()  # 2p(1 - p) where layers were held in neither
        assert one == pytest.approx(ratio, abs=0.05)
        by_chance = one * (1 - other) + other * (1 - one)
        assert entry["distance_scaled"] == pytest.approx(entry["distance"] / by_chance)
        if early.sum() == late.sum():  # equally many removed: the two say the same
            assert entry["distance"] == pytest.approx(2 * (~early).mean() * (1 - entry["overlap"]))


def test_epsilon_in_units_of_chance(run, workdir):
    _, summary = run(**WHOLE)
    stage = by_key(summary)["dense", 0]["stage"]
    scales = storage.load_arrays(workdir / "stages" / stage / "monitor.safetensors")["scales"]
    options = options_of(epsilon=0.25, epsilon_scale="chance")[1]
    assert options.epsilons == pytest.approx((0.25 * 0.42, 0.25 * 0.48))
    monitor = ScaleMonitor(RATIOS, window=3, epsilon=options.epsilons)
    distances = np.stack([analysis.mask_distances(analysis.channel_mask(scales, ratio)) for ratio in RATIOS])
    bands = {
        "distances": np.stack(
            [[[m[i, i - 1 - k] if i > k else 0 for k in range(EPOCHS)] for i in range(EPOCHS)] for m in distances]
        )
    }
    _, found = monitor.result({**bands, "scales": scales}, EPOCHS)
    for ratio, epsilon in zip(RATIOS, options.epsilons, strict=True):
        history = analysis.channel_mask(scales, ratio)
        assert found["emergence"][str(ratio)] == analysis.emergence(history, window=3, epsilon=epsilon)
    assert options_of()[1].epsilons == 0.08


def test_emergence_is_that_of_the_stored_history(run, workdir):
    folder, summary = run(**WHOLE)
    dense = by_key(summary)["dense", 0]
    stored = np.load(folder / "mask_distance_p0.3.npy")
    scales = storage.load_arrays(workdir / "stages" / dense["stage"] / "monitor.safetensors")["scales"]
    assert scales.shape == (EPOCHS, sum(CHANNELS.values()))
    trained = paths.leaves(weights_of(workdir, dense).params)
    last = np.concatenate([np.abs(trained[f"{name}/scale"]) for name in sorted(CHANNELS)])
    assert np.array_equal(scales[-1], last)
    for ratio in RATIOS:
        history = analysis.channel_mask(scales, ratio)
        assert summary["emergence"][str(ratio)] == analysis.emergence(history, window=3, epsilon=0.08)
    np.testing.assert_allclose(stored, analysis.mask_distances(analysis.channel_mask(scales, 0.3)), atol=1e-6)
    shown = summary["mask_distance"][0]["rows"]["0.3"]
    assert [len(line) for line in shown] == list(range(EPOCHS))
    assert shown[4][1] == pytest.approx(stored[4, 1], abs=1e-4)
    assert sorted(path.name for path in folder.glob("*.npy")) == ["mask_distance_p0.3.npy", "mask_distance_p0.6.npy"]


def test_drawn_channels_have_smallest_scale_and_stay_zero(run, workdir):
    """Counts: exactly `round(p * N)` channels go, and with scale and bias all that makes or reads them alone."""
    folder, summary = run(**WHOLE)
    rows, dense = by_key(summary), by_key(summary)["dense", 0]
    trained = paths.leaves(weights_of(workdir, dense).params)
    scales = np.concatenate([np.abs(trained[f"{name}/scale"]) for name in sorted(CHANNELS)])
    for level, ratio in enumerate(RATIOS, start=1):
        mask = jt.load_ticket(folder / "tickets" / f"late-{level}-0").mask
        kept = np.concatenate([mask[f"{name}/scale"] for name in sorted(CHANNELS)])
        note = next(n for n in summary["channels"] if (n["branch"], n["level"]) == ("late", level))
        assert {layer["path"]: layer["before"] for layer in note["layers"]} == CHANNELS
        assert [layer["after"] for layer in note["layers"]] == [
            int(mask[f"{name}/scale"].sum()) for name in sorted(CHANNELS)
        ]
        if not any(layer["held"] for layer in note["layers"]):
            assert np.array_equal(kept, analysis.channel_mask(scales, ratio))
        stem, conv2, conv3 = (mask[f"{name}_bn/scale"] for name in ("stem", "conv2", "conv3"))
        assert np.array_equal(mask["stem/kernel"].any((0, 1, 2)), stem)
        assert np.array_equal(mask["conv2/kernel"][0, 0], stem[:, None] & conv2)
        assert np.array_equal(mask["conv3/kernel"][1, 2], conv2[:, None] & conv3)
        assert np.array_equal(mask["head/kernel"].any(1), conv3)
        assert np.array_equal(mask["conv2_bn/bias"], conv2)
        for branch in BRANCHES:
            own = jt.load_ticket(folder / "tickets" / f"{branch}-{level}-0").mask
            after = paths.leaves(weights_of(workdir, rows[branch, level]).params)
            assert not any(np.asarray(after[path])[~kept].any() for path, kept in own.items())
        a, b, c = int(stem.sum()), int(conv2.sum()), int(conv3.sum())
        assert rows["late", level]["macs"] == 64 * 9 * a + 16 * 9 * a * b + 4 * 9 * b * c + c * 10
        # Kernels, biases and normalisations of three convolutions; head.
        parameters = 12 * a + 9 * a * b + 3 * b + 9 * b * c + 3 * c + 10 * c + 10
        assert rows["late", level]["parameters_shrunk"] == parameters


def test_rewound_and_new_weights_are_whole_networks(run, workdir):
    """Copies (check 12): every leaf of a rewound ticket is the initial one times the mask, classifier and
    normalisations too; other weights are another draw; inherited ones those of the moment of the draw."""
    folder, _ = run(**WHOLE)
    lab = Lab(options_of()[1], workdir / "stages", execute=False)
    for branch, level, stream in (("eb_rewind", 1, "init"), ("eb_reinit", 2, "reinit 2"), ("eb_reinit", 1, "reinit 1")):
        ticket, start = jt.load_ticket(folder / "tickets" / f"{branch}-{level}-0"), lab.init(0, stream=stream).load()
        wanted = paths.leaves(masks.apply_mask(start.params, ticket.mask))
        assert all(np.array_equal(leaf, wanted[path]) for path, leaf in paths.leaves(ticket.params).items())
        for path, leaf in paths.leaves(ticket.model_state).items():
            assert np.array_equal(leaf, paths.leaves(start.model_state)[path])
    inherited = jt.load_ticket(folder / "tickets" / "eb_inherit-1-0")
    assert inherited.mask.keys() == ticket.mask.keys()
    assert not np.array_equal(inherited.params["head"]["kernel"], start.params["head"]["kernel"])


def test_again_trains_nothing_and_finds_the_same(run):
    first, again = run(**WHOLE)[1], run(**WHOLE)[1]
    assert all(row["cached"] for row in again["rows"])
    for section in ("emergence", "early_bird", "channels", "mask_distance"):
        assert first[section] == again[section]


def test_stopping_at_the_emergence_draws_the_same_tickets(run):
    folder, summary = run(**WHOLE)
    stopped, other = run(on_emerge="stop", late=False, dense=False)
    assert other["emergence"] == summary["emergence"]
    assert {row["branch"] for row in other["rows"]} == {"eb_inherit", "random"}
    for level in (1, 2):
        one, two = (jt.load_ticket(f / "tickets" / f"eb_inherit-{level}-0") for f in (folder, stopped))
        assert all(np.array_equal(one.mask[path], two.mask[path]) for path in one.mask)
        assert (
            by_key(summary)["eb_inherit", level]["test_accuracy"] == by_key(other)["eb_inherit", level]["test_accuracy"]
        )


def test_tickets_start_from_the_weights_at_their_emergence(run, workdir):
    """Early-bird check 12, copies: what is drawn from is of its epoch, whatever training did later."""
    _, summary = run(**WHOLE)
    lab = Lab(options_of(**WHOLE)[1], workdir / "stages")
    init, full = lab.init(0), all_channels(lab)
    monitor = ScaleMonitor(RATIOS, window=3, epsilon=0.08)
    whole = lab.train(init, full, seed=0, label="whole", monitor=monitor, save_epochs=(2,))
    assert whole.stage.cached
    for ratio in RATIOS:
        epoch = summary["emergence"][str(ratio)]
        snapshot = lab.train(init, full, seed=0, label="again", snapshot_step=epoch * STEPS).snapshot
        for tree in (0, 1):
            one, other = (paths.leaves(ref.load()[tree]) for ref in (whole.kept(f"p{ratio}"), snapshot))
            assert all(np.array_equal(leaf, other[path]) for path, leaf in one.items())


def test_single_weights(run):
    _, summary = run(kind="unstructured", every_steps=2, rule="consecutive", window=2, ratios=(0.6,))
    rows = by_key(summary)
    assert set(rows) == {("dense", 0), ("eb_inherit", 1), ("random", 1), ("late", 1)}
    assert rows["random", 1]["layer_sparsity"] == rows["eb_inherit", 1]["layer_sparsity"]
    assert rows["late", 1]["kept"] == rows["eb_inherit", 1]["kept"] == 5760 - round(0.6 * 5760)
    emerged = summary["emergence"]["0.6"]
    assert rows["eb_inherit", 1]["draw_epoch"] == emerged
    assert emerged * STEPS % 2 == 0
    assert rows["eb_inherit", 1]["epochs"] == EPOCHS - int(emerged)
    assert "channels" not in summary
    assert summary["mask_distance"][0]["epochs_per_look"] == 0.4
    assert summary["mask_distance"][0]["rows"]["0.6"][5][:4] == [None] * 4


def test_without_emergence_tickets_are_drawn_at_end(workdir):
    notes = Notes()
    how = options_of(epsilon=0.0, ratios=(0.3,), late=False, dense=False, random=False)
    _, summary = run_experiment(*how, workdir, progress=lambda _: notes)
    (row,) = summary["rows"]
    assert summary["emergence"] == {"0.3": None}
    assert (row["emerged"], row["draw_epoch"], row["epochs"]) == (False, EPOCHS, EPOCHS)
    assert any("no ticket of 30% emerges; it is drawn at the end" in note for note in notes.notes)


def test_emergence_at_last_look_is_not_early(workdir):
    notes = Notes()
    changes = {"epsilon": 1.0, "window": EPOCHS, "rule": "latest_vs_window", "ratios": (0.3,), "random": False}
    _, summary = run_experiment(*options_of(**changes), workdir, progress=lambda _: notes)
    assert summary["emergence"] == {"0.3": EPOCHS}
    assert [entry["at_end"] for entry in summary["early_bird"]] == [True]
    assert sum("so nothing was early" in note for note in notes.notes) == 1
    eb, late = (row for row in summary["rows"] if row["branch"] in ("eb_inherit", "late"))
    assert (eb["kept"], eb["test_accuracy"]) == (late["kept"], late["test_accuracy"])


def test_an_empty_layer_keeps_its_largest_channels(workdir):
    """Empty layer (check 11): the channel of largest |scale| stays, and the layer is named."""
    lab = Lab(options_of()[1], workdir / "stages")
    weights, full = lab.init(0).load(), all_channels(lab).load()
    scales = {
        "stem_bn": [1e-3, -9e-3, *[2e-3] * 6],
        "conv2_bn": np.linspace(1, 2, 16),
        "conv3_bn": np.linspace(1, 2, 32),
    }
    found = {f"{name}/scale": np.asarray(values, np.float32) for name, values in scales.items()}
    weights = weights._replace(params=paths.replace(weights.params, found))
    for least, kept in ((1, [1]), (2, [1, 7])):
        mask, layers = channel_ticket(lab.setting, weights, full, 0.3, least)
        assert np.flatnonzero(mask["stem_bn/scale"]).tolist() == kept
        assert [layer["path"] for layer in layers if layer["held"]] == ["stem_bn"]
        assert [layer["after"] for layer in layers if layer["path"] == "stem_bn"] == [least]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "blocks"}, "config.kind='blocks': must be one of channel, unstructured"),
        ({"ratios": (0.5, 0.3)}, r"config.ratios=\(0.5, 0.3\): must be increasing"),
        ({"retrain": ("inherit", "random")}, r"config.retrain\[.\]=.*must be one of inherit, rewind, reinit"),
        ({"window": 1}, "config.window=1: rule='latest_vs_window' compares at least 2"),
        ({"window": 7}, "config.window=7: .*needs 7 looks, and training has 6"),
        ({"rule": "consecutive", "window": 6}, "config.window=6: .*needs 7 looks"),
        ({"schedule": "full", "retrain": ("rewind",)}, "config.schedule='full'"),
        ({"draw_epochs": (2, 9)}, "config.draw_epochs=.*at most the 6 epochs"),
        ({"draw_epochs": (2,), "on_emerge": "stop"}, "config.draw_epochs=.*needs on_emerge='continue'"),
        ({"draw_weights": "best"}, "config.draw_weights='best': only draw_epochs"),
        ({"on_emerge": "stop", "seed_parallelism": "vmap"}, "config.seed_parallelism='vmap'"),
        ({"prune.criterion": "snip"}, "config.prune: kind='channel'"),
        ({"kind": "unstructured", "prune.granularity": "channel"}, "config.prune: kind='unstructured'"),
        ({"kind": "unstructured", "min_channels": 2}, "config.min_channels=2"),
        ({"model.name": "lenet300"}, "config.kind='channel': .*lenet300 has none"),
        ({"train.schedule": "linear"}, "config.train.schedule='linear'"),
        ({"train.optimizer": "lion"}, "config.train.optimizer='lion'"),
    ],
)
def test_invalid_combinations_fail_before_training(changes, message, tmp_path):
    """Invalid combinations (check 20), in one line."""
    config = default_config("early_bird")
    with config.unlocked():
        config.update_from_flattened_dict(SMALL | changes)

    def plan():
        make_plan(*resolve(config), tmp_path)

    with pytest.raises(ConfigError, match=message) as caught:
        plan()
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["oneshot", "imp"])
def test_share_without_early_bird_is_late_ticket(run, workdir, name):
    """One shot and the first round of several prune the very channels that `late` does, and say how many."""
    config = default_config(name)
    config.prune.update(criterion="bn_scale", granularity="channel", ratio_of="channels", rate=RATIOS[0])
    config.update({"levels": 2} if name == "imp" else {"sparsities": RATIOS, "retrain": "full"})
    with config.unlocked():
        config.model.options["width"] = 0.125
        config.model.options["norm_scale"] = 0.5
        config.update_from_flattened_dict({k: v for k, v in SMALL.items() if k.startswith(("model", "train"))})
    _, summary = run_experiment(*resolve(config), workdir)
    sparse = [row for row in summary["rows"] if row["level"]]
    total = sum(CHANNELS.values())
    assert all(row["channels_dense"] == total for row in sparse)
    _, birds = run(**WHOLE)
    left = [sum(layer["after"] for layer in note["layers"]) for note in birds["channels"] if note["branch"] == "late"]
    assert sparse[0]["channels"] == left[0] == total - round(RATIOS[0] * total)
    # Layers that would have no channel left keep their largest, so that more can be left than were asked for.
    asked = total - round((1 - 0.7**2) * total) if name == "imp" else left[1]
    assert asked <= sparse[1]["channels"] <= asked + len(CHANNELS)
    late = by_key(birds)["late", 1]
    assert sparse[0]["layer_sparsity"] == late["layer_sparsity"]
    assert sparse[0]["kept"] == late["kept"]


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (
            "early_bird",
            {"ratios": (0.005, 0.5)},
            "config.ratios=.*: sparsity 0.005 would remove nothing from the 56 of 56",
        ),
        ("early_bird", {"ratios": (0.5, 0.995)}, "sparsity 0.995 would leave nothing of .* channels .*; ask for less"),
        (
            "oneshot",
            {"sparsities": (0.005,)},
            "config.sparsities=.* 56 of 56 channels left after 0 rounds; ask for more",
        ),
        ("imp", {"levels": 9}, "config.levels=9: .* remove nothing from the 1 of 56 .* 4 rounds; ask for fewer rounds"),
        ("imp", {"prune.rate": 0.95}, "config.levels=8: .* would leave nothing of the 3 of 56 .*; ask for less"),
    ],
)
def test_channels_that_cannot_go_are_refused_by_plan(name, changes, message, tmp_path):
    config = default_config(name)
    if name != "early_bird":
        config.prune.update(criterion="bn_scale", granularity="channel", ratio_of="channels", rate=0.6)
    kept = {k: v for k, v in SMALL.items() if name == "early_bird" or k.startswith(("model", "train"))}
    with config.unlocked():
        config.model.options["width"] = 0.125
        config.update_from_flattened_dict(kept | changes)
    with pytest.raises(ConfigError, match=message):
        make_plan(*resolve(config), tmp_path)
    assert not list(tmp_path.iterdir())


def test_shares_of_channels_are_of_scales():
    for changes, message in (
        ({"criterion": "magnitude", "granularity": "channel"}, "config.prune.ratio_of='channels': ranks the scales"),
        ({"rules": ((".*", True),)}, "config.prune.ratio_of='channels': ranks the scales of all"),
    ):
        config = default_config("oneshot")
        config.prune.update(**{"criterion": "bn_scale", "granularity": "channel", "ratio_of": "channels"} | changes)
        with pytest.raises(ConfigError, match=message):
            resolve(config)
    config = default_config("oneshot")
    config.prune.update(criterion="bn_scale", granularity="channel", ratio_of="channels")
    with pytest.raises(ConfigError, match=r"lenet300 has none; set .* or config.prune.ratio_of='weights'"):
        make_plan(*resolve(config), Path("unused"))
