import itertools
import json

import numpy as np
import pytest

import jaxticket as jt
from jaxticket import models, storage
from jaxticket.core import paths
from jaxticket.core.errors import ConfigError
from jaxticket.core.keys import seed_key
from jaxticket.experiments import make_plan
from jaxticket.lab import seeds
from jaxticket.lab import setting as setting_module
from jaxticket.lab.stages.references import read_weights
from jaxticket.lab.training_cost import total
from tests.small_runs import made_from

pytestmark = [pytest.mark.feature("iterative magnitude pruning")]

PRUNABLE = 64 * 300 + 300 * 100


def masks_of(run):
    """The mask of every pruned level, from the tickets."""
    return [jt.load_ticket(run.folder / "tickets" / row["ticket"]).mask for row in run.rows if row["ticket"]]


def bits(tree):
    return {path: np.asarray(leaf).tobytes() for path, leaf in paths.leaves(tree).items()}


def test_rows_have_exact_counts_and_leave_head(small_run):
    assert [(row["branch"], row["level"], row["seed"]) for row in small_run.rows] == [
        ("dense", 0, 0),
        ("imp", 1, 0),
        ("imp", 2, 0),
        ("imp", 3, 0),
    ]
    alive = PRUNABLE
    for row in small_run.rows[1:]:
        alive -= round(0.2 * alive)
        assert row["kept"] == alive
        assert row["sparsity"] == (PRUNABLE - alive) / PRUNABLE
    assert set(small_run.rows[1]["layer_sparsity"]) == {"fc1/kernel", "fc2/kernel"}


def test_rows_report_what_was_trained(small_run):
    for row in small_run.rows:
        history = [
            line
            for line in map(json.loads, (small_run.folder / "metrics.jsonl").read_text().splitlines())
            if line["stage"] == row["stage"]
        ]
        assert [line["epoch"] for line in history] == [1, 2]
        assert row["train_loss"] == history[-1]["train_loss"]
        assert row["val_accuracy"] == history[-1]["val_accuracy"]
        assert row["epochs"] == 2
        assert 0.3 < row["test_accuracy"] < 1
        assert not row["cached"]


def test_masks_are_nested_and_weights_stay_pruned(small_run):
    masks = masks_of(small_run)
    for before, after in itertools.pairwise(masks):
        for path, kept in after.items():
            assert not (kept & ~before[path]).any()
    for row, mask in zip(small_run.rows[1:], masks, strict=True):
        trained = paths.leaves(read_weights(small_run.stage(row) / "last.safetensors").params)
        for path, kept in mask.items():
            assert (trained[path][~kept] == 0).all()
            assert (trained[path][kept] != 0).all()


def test_pruning_takes_the_smallest_trained_weights(small_run):
    dense = paths.leaves(read_weights(small_run.stage(small_run.rows[0]) / "last.safetensors").params)
    mask = masks_of(small_run)[0]
    removed = np.concatenate([np.abs(dense[path][~kept]) for path, kept in sorted(mask.items())])
    kept = np.concatenate([np.abs(dense[path][kept]) for path, kept in sorted(mask.items())])
    assert removed.max() <= kept.min()


def test_ticket_is_the_initial_weights_under_the_mask(small_run):
    ticket = jt.load_ticket(small_run.folder / "tickets" / "imp-2-0")
    network = ticket.meta["model"]
    model = models.create_model(network["name"], num_classes=network["num_classes"], **network["options"])
    key = seed_key(0, "init")
    init, _ = models.init_variables(model, key, tuple(network["image_shape"]))
    assert bits(ticket.params) == bits(jt.apply_mask(init, ticket.mask))
    assert ticket.meta["weights"] == "rewind"
    assert [row["level"] for row in ticket.meta["history"]] == [0, 1, 2]


def test_running_again_trains_nothing(small_run, make_run, monkeypatch):
    monkeypatch.setattr(seeds, "run_requests", lambda *_, **__: pytest.fail("trained again"))
    again = make_run(small_run.workdir)
    assert again.folder == small_run.folder
    assert all(row["cached"] for row in again.rows)
    for row, first in zip(again.rows, small_run.rows, strict=True):
        assert {**row, "cached": None} == {**first, "cached": None}


def test_more_levels_train_only_the_new_ones(small_run, make_run):
    longer = make_run(small_run.workdir, levels=5)
    assert longer.folder != small_run.folder
    assert [row["cached"] for row in longer.rows] == [True] * 4 + [False] * 2


def test_damaged_stage_is_done_again_to_same_bits(small_run, make_run, tmp_path, capsys):
    row = small_run.rows[2]
    file = small_run.stage(row) / "last.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    again = make_run(small_run.workdir)
    assert [row["cached"] for row in again.rows] == [True, True, False, True]
    assert file.read_bytes() == content


def test_train_step_is_compiled_once(tmp_path, make_run, monkeypatch):
    trainers = []
    trainer = setting_module.Trainer

    def remember(*arguments):
        trainers.append(trainer(*arguments))
        return trainers[-1]

    monkeypatch.setattr(setting_module, "Trainer", remember)
    make_run(tmp_path, **{"seeds": (0, 1), "train.epochs": 1})
    # Validation and test split differ in size, so evaluation is compiled for each.
    assert [made.compilations for made in trainers] == [{"train_step": 1, "evaluate": 2}]


def test_without_reinit_level_goes_on_from_its_weights(small_run, make_run):
    none = make_run(small_run.workdir, reinit="none", levels=1)
    assert none.rows[0]["cached"]
    first, ticket = (jt.load_ticket(run.folder / "tickets" / "imp-1-0") for run in (small_run, none))
    assert bits(ticket.mask) == bits(first.mask)
    dense = read_weights(small_run.stage(small_run.rows[0]) / "last.safetensors")
    assert bits(ticket.params) == bits(jt.apply_mask(dense.params, ticket.mask))


def start_and_mask(run, row):
    """Keys of the weights and the mask that a row's training was given."""
    return tuple(made_from(run.stage(row))["inputs"][name] for name in ("start", "mask"))


def test_controls_train_tickets_masks_from_fresh_draws(small_run, make_run):
    """Level by level: a control that goes through rounds of its own is a ticket of its own initial weights."""
    run = make_run(small_run.workdir, reinit="random")
    tickets, controls = ([row for row in run.rows if row["branch"] == branch] for branch in ("imp", "rr_imp"))
    assert [row["stage"] for row in tickets] == [row["stage"] for row in small_run.rows[1:]]
    assert all(row["cached"] for row in tickets)
    assert [row["level"] for row in controls] == [1, 2, 3]
    assert {row["ticket"] for row in controls} == {None}
    starts = {start_and_mask(run, tickets[0])[0]}
    for ticket, control in zip(tickets, controls, strict=True):
        start, mask = start_and_mask(run, control)
        assert mask == start_and_mask(run, ticket)[1]
        starts.add(start)
        assert start.startswith("init-")
        kept = storage.load_arrays(run.workdir / "stages" / f"{mask}.safetensors")
        assert bits(kept) == bits(jt.load_ticket(run.folder / "tickets" / ticket["ticket"]).mask)
        trained = paths.leaves(read_weights(run.stage(control) / "last.safetensors").params)
        assert all(
            (trained[path][~here] == 0).all() and (trained[path][here] != 0).all() for path, here in kept.items()
        )
    draws = [read_weights(run.workdir / "stages" / f"{start}.safetensors").params["fc1"]["kernel"] for start in starts]
    assert len(draws) == 4
    for one, other in itertools.combinations(draws, 2):
        assert (one != other).mean() > 0.99


def test_masks_of_controls_follow_their_last_training(small_run, make_run):
    run = make_run(small_run.workdir, reinit="random", reinit_masks="own")
    assert [row["branch"] for row in run.rows] == ["dense", *["rr_imp"] * 3]
    assert len({start_and_mask(run, row)[0] for row in run.rows}) == 4
    first = start_and_mask(small_run, small_run.rows[1])[1]
    assert start_and_mask(run, run.rows[1])[1] == first  # of the same dense network
    for before, row in itertools.pairwise(run.rows):
        pruned = paths.leaves(read_weights(run.stage(before) / "last.safetensors").params)
        mask = storage.load_arrays(run.workdir / "stages" / f"{start_and_mask(run, row)[1]}.safetensors")
        gone = {path: (pruned[path] != 0) & ~kept for path, kept in mask.items()}
        largest = max(np.abs(pruned[path][here]).max(initial=0) for path, here in gone.items())
        assert largest <= min(np.abs(pruned[path][kept]).min() for path, kept in mask.items())
        assert sum(here.sum() for here in gone.values()) == before["kept"] - row["kept"]


def test_controls_of_rewound_tickets_train_by_full_schedule(small_run, make_run):
    run = make_run(small_run.workdir, reinit="random", rewind_steps=3, retrain="remaining", levels=1)
    _, ticket, control = run.rows
    configs = [made_from(run.stage(row)) for row in (ticket, control)]
    assert [config["config"]["start_step"] for config in configs] == [3, 0]
    assert [config["inputs"]["start"].partition("-")[0] for config in configs] == ["train", "init"]
    assert configs[0]["inputs"]["mask"] == configs[1]["inputs"]["mask"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reinit_masks": "own"}, "config.reinit_masks=own: only read with reinit 'random', found 'init'"),
        ({"reinit": "none", "rewind_steps": 3}, "config.reinit='none': does not rewind"),
        ({"reinit": "random", "reinit_masks": "own", "rewind_steps": 3}, "config.reinit_masks='own': nothing is rew"),
    ],
)
def test_reinit_that_would_not_be_used_is_refused(make_run, tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        make_run(tmp_path, **changes)


def test_rewinding_starts_every_level_at_that_step(tmp_path, make_run):
    run = make_run(tmp_path, rewind_steps=3, retrain="remaining", levels=2)
    assert [row["kept"] for row in run.rows[1:]] == [39360, 31488]
    short = make_run(tmp_path, **{"train.epochs": 0, "train.steps": 3, "levels": 1})
    at_three = read_weights(short.stage(short.rows[0]) / "last.safetensors")
    for level in (1, 2):
        ticket = jt.load_ticket(run.folder / "tickets" / f"imp-{level}-0")
        assert bits(ticket.params) == bits(jt.apply_mask(at_three.params, ticket.mask))
    history = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in history if line["level"] == 1] == [10, 20]


def test_rewinding_by_epochs_is_rewinding_by_their_steps(tmp_path, make_run):
    by_epochs = make_run(tmp_path, rewind_epochs=1, levels=1)
    by_steps = make_run(tmp_path, rewind_steps=10, levels=1)
    assert all(row["cached"] for row in by_steps.rows)
    assert by_epochs.folder != by_steps.folder


def test_layer_scope_and_random_control(small_run, make_run):
    layer = make_run(small_run.workdir, **{"prune.scope": "layer", "levels": 1})
    assert layer.rows[1]["layer_sparsity"] == pytest.approx({"fc1/kernel": 0.2, "fc2/kernel": 0.2}, abs=1e-12)
    random = make_run(small_run.workdir, **{"prune.criterion": "random", "levels": 2})
    assert [row["kept"] for row in random.rows] == [row["kept"] for row in small_run.rows[:3]]
    first, second = masks_of(random)
    again = make_run(small_run.workdir, **{"prune.criterion": "random", "levels": 1})
    assert bits(masks_of(again)[0]) == bits(first)
    gone = first["fc1/kernel"] & ~second["fc1/kernel"]
    assert abs(gone.sum() / first["fc1/kernel"].sum() - 0.2) < 0.02


def test_unreachable_levels_are_refused_before_anything_runs(tmp_path, make_run):
    with pytest.raises(ConfigError, match=r"config\.levels=60: rate 0\.2 would remove nothing from the 2 of 49,200"):
        make_run(tmp_path, levels=60)
    assert list(tmp_path.iterdir()) == []


def test_plan_knows_what_is_cached_and_writes_nothing(small_run, tmp_path):
    plan = make_plan(small_run.experiment, small_run.options, small_run.workdir)
    assert all(stage.cached for stage in plan.stages)
    assert plan.folder == small_run.folder
    empty = make_plan(small_run.experiment, small_run.options, tmp_path / "nothing")
    assert not any(stage.cached for stage in empty.stages)
    assert [stage.key for stage in empty.stages] == [stage.key for stage in plan.stages]
    assert not (tmp_path / "nothing").exists()
    assert [stage.work for stage in empty.networks] == ["20 steps"] * 4


def test_checksums_of_ticket_are_those_of_its_files(small_run):
    folder = small_run.folder / "tickets" / "imp-1-0"
    stored = storage.read_json(folder / "ticket.json")
    assert storage.checksum(folder / "ticket.safetensors") in json.dumps(stored)


def test_every_level_is_compared_with_the_dense_network(small_run):
    assert [(one["treatment"], one["control"], one["level"]) for one in small_run.summary["comparisons"]] == [
        ("imp", "dense", level) for level in (1, 2, 3)
    ]
    rows = {row["level"]: row["test_accuracy"] for row in small_run.rows}
    for one in small_run.summary["comparisons"]:
        assert one["mean"] == rows[one["level"]] - rows[0]
        assert (one["n"], one["p"], one["settled"], one["comparisons"]) == (1, None, False, 3)


def test_controls_at_some_levels_only(small_run, make_run):
    run = make_run(small_run.workdir, reinit="random", train_levels=(1, 3))
    assert [row["level"] for row in run.rows if row["branch"] == "rr_imp"] == [1, 3]
    assert [row["level"] for row in run.rows if row["branch"] == "imp"] == [1, 2, 3]
    for changes, message in (
        ({"train_levels": (4,)}, r"config.train_levels=\(4,\): must be increasing levels from 1 to 3"),
        ({"train_levels": (2,), "reinit": "init"}, r"config.train_levels=\(2,\): only read for the control"),
    ):
        with pytest.raises(ConfigError, match=message):
            make_run(small_run.workdir, **{"reinit": "random"} | changes)


def test_plan_ends_with_what_all_of_it_costs(small_run, tmp_path):
    plan = make_plan(small_run.experiment, small_run.options, tmp_path)
    cost = total(stage.cost for stage in plan.networks)
    assert (cost.networks, cost.steps) == (4, 4 * 20)
    assert cost.macs == 3 * (64 * 300 + 300 * 100 + 100 * 10) * 128 * cost.steps
    stages = [small_run.workdir / "stages" / stage.id for stage in plan.stages]
    folders = [*stages, small_run.folder / "tickets"]
    files = [file for folder in folders for file in folder.rglob("*.safetensors")]
    assert cost.disk == pytest.approx(sum(file.stat().st_size for file in files), rel=0.5)
    assert str(total([])) == "0 networks, 0 steps, 0 multiply-accumulates, about 0.0 MB on disk"


def test_trained_weights_are_kept_where_asked_for(small_run, make_run):
    """Of a finished experiment too, whose folder is the same."""
    assert not (small_run.folder / "trained").exists()
    run = make_run(small_run.workdir, keep_trained=True)
    assert run.folder == small_run.folder
    for row, label in zip(run.rows, ("dense-0-0", "imp-1-0", "imp-2-0", "imp-3-0"), strict=True):
        ticket = jt.load_ticket(run.folder / "trained" / label)
        assert ticket.meta["weights"] == "trained"
        assert jt.count(ticket.mask)[0] == row["kept"]
        assert bits(ticket.params) == bits(read_weights(run.stage(row) / "last.safetensors").params)
    assert not (run.folder / "tickets" / "dense-0-0").exists()
