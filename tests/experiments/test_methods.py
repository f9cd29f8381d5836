"""One-shot, at initialisation, gradual, dynamic, ADMM: whole small runs of every experiment beside IMP."""

import numpy as np
import pytest

from jaxticket.core import masks, paths
from jaxticket.core.errors import ConfigError
from jaxticket.core.granularity import granularity_of
from jaxticket.data.splits import Split
from jaxticket.experiments import run_experiment
from jaxticket.lab.scoring_batches import scoring_images
from jaxticket.lab.stages.references import read_weights
from jaxticket.ticket import load_ticket
from tests.small import configured

pytestmark = [pytest.mark.feature("other methods")]

SPARSITIES = (0.5, 0.9)
TOTAL = 64 * 300 + 300 * 100  # lenet300 on digits, without its head


SMALL = {
    "sparsities": SPARSITIES,
    "train.epochs": 2,
    "train.batch_size": 128,
    "train.optimizer": "adam",
    "train.lr": 0.003,
}


def options_of(name, **changes):
    return configured(name, SMALL | changes)


@pytest.fixture(scope="session")
def workdir(tmp_path_factory):
    """One folder for all, so that the dense network is trained once."""
    return tmp_path_factory.mktemp("methods")


@pytest.fixture(scope="session")
def run(workdir):
    def run(name, **changes):
        folder, summary = run_experiment(*options_of(name, **changes), workdir)
        return folder, summary["rows"]

    return run


def mask_of(folder, row):
    return load_ticket(folder / "tickets" / row["ticket"]).mask


RUNS = [
    ("oneshot", {}, ["omp"]),
    ("oneshot", {"retrain": "lr_rewind", "rewind_epochs": 1}, ["omp"]),
    ("oneshot", {"retrain": "finetune", "finetune_epochs": 1}, ["omp"]),
    ("oneshot", {"prune.criterion": "snip", "prune.images_per_class": 3}, ["omp"]),
    ("oneshot", {"prune.criterion": "lamp", "prune.scope": "global"}, ["omp"]),
    ("oneshot", {"prune.criterion": "obd", "prune.images_per_class": 2}, ["omp"]),
    ("at_init", {"prune.rounds": 5}, ["random", "magnitude", "snip", "grasp", "synflow"]),
    ("gradual", {"every_steps": 3}, ["gmp"]),
    ("dynamic", {"every_steps": 3}, ["static", "set", "rigl"]),
    ("admm", {"admm.epochs": 2}, ["admm"]),
]
runs = pytest.mark.parametrize(("name", "changes", "branches"), RUNS, ids=lambda value: str(value)[:50])


@runs
def test_every_branch_reaches_every_sparsity_exactly(run, name, changes, branches):
    folder, rows = run(name, **changes)
    assert [row["branch"] for row in rows if row["level"] == 0] == ["dense"]
    sparse = [row for row in rows if row["level"]]
    assert {(row["branch"], row["level"]) for row in sparse} == {(b, level) for b in branches for level in (1, 2)}
    for row in sparse:
        assert row["kept"] == TOTAL - round(SPARSITIES[row["level"] - 1] * TOTAL)
        assert row["test_accuracy"] > 0.3
        mask = mask_of(folder, row)
        assert masks.count(mask)[0] == row["kept"]
        trained = read_weights(folder.parent / "stages" / row["stage"] / "last.safetensors").params
        for path, leaf in paths.leaves(trained).items():
            if path in mask:
                assert not leaf[~mask[path]].any()


@runs
def test_again_trains_nothing_and_finds_the_same(run, name, changes, branches):
    first, again = run(name, **changes)[1], run(name, **changes)[1]
    assert all(row["cached"] for row in again)
    assert [row["test_accuracy"] for row in first] == [row["test_accuracy"] for row in again]


def test_the_dense_network_is_shared_by_all(run):
    stages = {run(name, **changes)[1][0]["stage"] for name, changes, _ in RUNS if "rewind_epochs" not in changes}
    assert len(stages) == 1


def test_sparser_masks_of_one_network_are_nested(run):
    for name, changes in (("oneshot", {}), ("gradual", {"every_steps": 3})):
        folder, rows = run(name, **changes)
        half, tenth = (mask_of(folder, row) for row in rows[1:])
        if name == "oneshot":  # of the same trained weights
            assert all((tenth[path] <= half[path]).all() for path in half)


def test_where_a_pruned_network_goes_on_from(run, workdir):
    """Renda et al. (2020): rewound weights, trained weights with rewound rates, trained weights with the last rates."""

    def start_and_epochs(**changes):
        folder, rows = run("oneshot", **changes)
        start = load_ticket(folder / "tickets" / rows[1]["ticket"]).params["fc1"]["kernel"]
        return start, rows[1]["epochs"], rows[0]

    rewound, whole, dense = start_and_epochs()
    trained = read_weights(workdir / "stages" / dense["stage"] / "last.safetensors").params["fc1"]["kernel"]
    again, half, later = start_and_epochs(retrain="lr_rewind", rewind_epochs=1)
    assert np.array_equal(again[again != 0], trained[again != 0])
    entire, every, _ = start_and_epochs(retrain="full")
    assert np.array_equal(entire, start_and_epochs(retrain="lr_rewind")[0])
    assert np.array_equal(entire[entire != 0], trained[entire != 0])
    assert every == 2
    with pytest.raises(ConfigError, match=r"retrain=.full. does not rewind"):
        start_and_epochs(retrain="full", rewind_epochs=1)
    kept_trained, last, _ = start_and_epochs(retrain="finetune", finetune_epochs=1)
    assert (whole, half, last) == (2, 1, 1)
    assert np.array_equal(kept_trained[kept_trained != 0], trained[kept_trained != 0])
    assert not np.array_equal(rewound[rewound != 0], trained[rewound != 0])
    snapshot = read_weights(workdir / "stages" / later["stage"] / "snapshot.safetensors").params["fc1"]["kernel"]
    rewound_late, _, _ = start_and_epochs(retrain="rewind", rewind_epochs=1)
    assert np.array_equal(rewound_late[rewound_late != 0], snapshot[rewound_late != 0])


def test_criteria_differ_and_images_are_chosen_by_seed(run):
    folder, rows = run("at_init", **{"prune.rounds": 5})
    found = {row["branch"]: mask_of(folder, row)["fc1/kernel"] for row in rows if row["level"] == 2}
    names = sorted(found)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            assert not np.array_equal(found[one], found[other]), (one, other)


def test_dynamic_masks_move_but_keep_their_layers(run):
    folder, rows = run("dynamic", **{"every_steps": 3})
    static, moved, rigl = (row for row in rows if row["level"] == 2)
    assert static["layer_sparsity"] == moved["layer_sparsity"] == rigl["layer_sparsity"]
    assert static["layer_sparsity"]["fc2/kernel"] != static["layer_sparsity"]["fc1/kernel"]  # ERK
    first, second, third = (mask_of(folder, row)["fc1/kernel"] for row in (static, moved, rigl))
    assert not np.array_equal(first, second)
    assert not np.array_equal(second, third)


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"prune.granularity": "channel"}, None),
        ({"prune.granularity": "channel", "prune.rules": ((".*kernel", True), (".*", False))}, None),
        ({"prune.granularity": "block:4x5"}, None),
        ({"prune.scope": "layer"}, {"fc1/kernel": 0.5, "fc2/kernel": 0.5}),
        ({"prune.max_layer_sparsity": 0.55, "prune.scope": "global"}, None),
    ],
)
def test_scopes_and_granularities_of_an_experiment(run, changes, kept):
    folder, rows = run("oneshot", sparsities=(0.5,), **changes)
    mask = mask_of(folder, rows[1])
    if "channel" in changes.values():
        assert sorted(mask) == ["fc1/kernel", "fc2/kernel"]  # the channels of the head are the classes
        assert all(kept.all(axis=0)[kept.any(axis=0)].all() for kept in mask.values())
    if "block:4x5" in changes.values():
        blocks = mask["fc1/kernel"].reshape(16, 4, 60, 5)
        assert np.array_equal(blocks.all(axis=(1, 3)), blocks.any(axis=(1, 3)))
    if kept:
        assert rows[1]["layer_sparsity"] == kept
    if "prune.max_layer_sparsity" in changes:
        assert max(rows[1]["layer_sparsity"].values()) <= 0.55
        assert masks.sparsity(mask) == 0.5


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("oneshot", {"sparsities": (0.9, 0.5)}, r"config.sparsities=\(0.9, 0.5\): must be increasing"),
        ("oneshot", {"finetune_epochs": 1}, "config.finetune_epochs=1: .*found 'rewind'"),
        ("oneshot", {"rewind_epochs": 2}, "config.rewind_epochs=2: must be less than the 2 epochs"),
        ("oneshot", {"prune.granularity": "blocks"}, "config.prune.granularity='blocks': must be 'unstructured'"),
        ("oneshot", {"prune.scope": "erk", "prune.max_layer_sparsity": 0.9}, "needs scope='global', found 'erk'"),
        ("oneshot", {"prune.criterion": "synflow", "prune.scope": "layer"}, "is global and unstructured"),
        ("at_init", {"methods": ("snipp",)}, r"config.methods\[0\]='snipp': must be one of"),
        ("gradual", {"begin": 0.8}, "config.begin=0.8: must be less than end=0.75"),
        ("gradual", {"prune.criterion": "random"}, "config.prune: gradual pruning by magnitude"),
        ("dynamic", {"methods": ("rigl", "x")}, r"config.methods\[1\]='x': must be one of static, set, rigl"),
        ("dynamic", {"prune.criterion": "magnitude"}, "config.prune.criterion='magnitude': the first mask is 'random'"),
        ("admm", {"prune.rate": 0.5}, "config.prune: ADMM ranks magnitudes"),
    ],
)
def test_wrong_options_are_one_line(name, changes, message):
    with pytest.raises(ConfigError, match=message) as error:
        options_of(name, **changes)
    assert "\n" not in str(error.value)


def test_scoring_images_are_balanced_and_random():
    labels = np.repeat(np.arange(3), (50, 4, 20)).astype(np.int32)
    split = Split(np.zeros((74, 1, 1, 1), np.uint8), labels)
    rows = scoring_images(split, 5, 3, seed=1)
    assert np.bincount(labels[rows]).tolist() == [5, 4, 5]
    assert len(set(rows)) == 14
    assert not np.array_equal(rows, scoring_images(split, 5, 3, seed=2))
    assert np.array_equal(rows, scoring_images(split, 5, 3, seed=1))
    assert not np.array_equal(labels[rows], np.sort(labels[rows]))


def test_granularities_by_name():
    assert type(granularity_of("unstructured")).__name__ == "Unstructured"
    assert type(granularity_of("channel")).__name__ == "Channel"
    found = granularity_of("block:16x128")
    assert (found.rows, found.cols) == (16, 128)


def test_a_layer_with_nothing_left_is_reported(run, workdir):
    notes = []

    class Notes:
        def __getattr__(self, name):
            return notes.append if name == "note" else lambda *args, **kwargs: None

    experiment, options = options_of("at_init", methods=("magnitude",), sparsities=(0.99998,), dense=False)
    run_experiment(experiment, options, workdir / "empty", progress=lambda count: Notes())
    assert any("nothing is left of fc" in note for note in notes)
