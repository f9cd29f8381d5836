"""Tickets on another data set: what is taken, what is new, in what order, and what is refused."""

import runpy
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxticket as jt
from jaxticket import models
from jaxticket.core import paths
from jaxticket.core.errors import ConfigError, MaskError, TicketError
from jaxticket.experiments import default_config, make_plan, resolve, run_experiment
from jaxticket.experiments.transfer.experiment import reused
from jaxticket.experiments.transfer.recipes import apply_source
from jaxticket.experiments.transfer.sources import find_sources
from jaxticket.lab.lab import Lab
from jaxticket.lab.stages.references import read_weights
from tests.small import configured

pytestmark = [pytest.mark.feature("transfer")]

MODEL = {"model.name": "conv3", "model.options": {"width": 0.25}}
TRAIN = {"train.epochs": 1, "train.batch_size": 128, "train.lr": 0.05, "data.val_fraction": 0.0}


def options_of(folders, **changes):
    return configured("transfer", {"sources": tuple(map(str, folders)), **MODEL, **TRAIN, **changes})


def make_ticket(folder, label, *, keep=0.7, classes=5, model="conv3", shape=(8, 8, 1), weights="rewind", **meta):
    """A ticket as an experiment leaves it, of initial weights under a random mask, with a tiny one among them."""
    options = MODEL["model.options"] if model == "conv3" else {}
    params, state = models.init_variables(
        models.create_model(model, num_classes=classes, **options), jax.random.key(5), shape
    )
    full = jt.full_mask(params)
    mask = jt.prune(full, jt.random_scores(params, full, jax.random.key(1)), sparsity=1 - keep)
    params = jax.tree.map(np.array, jt.apply_mask(params, mask))
    if model == "conv3":
        mask = {path: np.array(kept) for path, kept in mask.items()}
        mask["conv2/kernel"][1, 1, 0, 0] = True
        params["conv2"]["kernel"][1, 1, 0, 0] = 1e-8
    model_meta = {"name": model, "num_classes": classes, "image_shape": list(shape)}
    config = {"data": {"part": "1/2"}} if classes == 5 else {}
    meta = {"label": label, "weights": weights, "dataset": "digits", "model": model_meta, "config": config} | meta
    jt.save_ticket(folder / "tickets" / label, jt.Ticket(params, mask, state, meta))
    return folder / "tickets" / label


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A transfer of four tickets of half of the classes to all of them, with momentum and L2."""
    workdir = tmp_path_factory.mktemp("transfer")
    source = workdir / "colt-00000000"
    for label, keep in (("colt-2-0", 0.7), ("colt-10-0", 0.3), ("colt-1-0", 0.8), ("lth-1-0", 0.6)):
        make_ticket(source, label, keep=keep)
    make_ticket(source, "colt-1-1", keep=0.8)
    experiment, options = options_of([source], **{"train.weight_decay": 5e-4})
    folder, summary = run_experiment(experiment, options, workdir)
    return workdir, source, summary, folder


def test_tickets_are_taken_in_numeric_order(found):
    """Ticket order: by round, as a number, series after series; those of other seeds are left alone."""
    _, _, summary, folder = found
    rows = [(row["branch"], row.get("source"), row["level"]) for row in summary["rows"]]
    series = [("transfer", "colt-digits", level) for level in (1, 2, 10)] + [("transfer", "lth-digits", 1)]
    assert rows == [("dense", None, 0), *series]
    assert summary["complete"]
    assert not (folder / "tickets").exists()
    assert all(row["test_accuracy"] > 0.3 for row in summary["rows"])


def test_random_masks_have_the_densities_of_the_tickets(found):
    workdir, source, _, _ = found
    experiment, options = options_of(
        [source], **{"train.weight_decay": 5e-4, "random_masks": True, "branches": ("lth",)}
    )
    _, more = run_experiment(experiment, options, workdir)
    rows = {row["branch"]: row for row in more["rows"]}
    assert rows["transfer"]["cached"]
    assert rows["random"]["layer_sparsity"] == rows["transfer"]["layer_sparsity"]
    assert rows["random"]["stage"] != rows["transfer"]["stage"]
    assert [(one["treatment"], one["control"]) for one in more["comparisons"]] == [
        ("transfer lth-digits", "random lth-digits"), ("transfer lth-digits", "dense"),
    ]  # fmt: skip


def test_the_configuration_has_its_control(tmp_path):
    """Every ticket has a random mask of its layer densities beside it, unless that is taken back."""
    for label, keep in (("colt-1-0", 0.8), ("colt-2-0", 0.6)):
        make_ticket(tmp_path, label, keep=keep, model="lenet300")
    file = Path(__file__).resolve().parents[2] / "configs" / "transfer.py"
    config = runpy.run_path(str(file))["get_config"](f"dataset=digits,source={tmp_path}")
    labels = [stage.label for stage in make_plan(*resolve(config), tmp_path / "work").networks]
    tickets = [label for label in labels if label.startswith("colt-")]
    assert len(tickets) == 2
    assert sorted(labels) == sorted(["dense-0-0", *tickets, *(f"random like {label}" for label in tickets)])
    config.random_masks = False
    assert len(make_plan(*resolve(config), tmp_path / "work").networks) == 3


def test_body_is_tickets_and_head_is_new(found, tmp_path):
    """Transfer: body = theta0 * m bitwise, statistics as at initialisation, one fresh head for all tickets."""
    workdir, source, summary, _ = found
    lab = Lab(options_of([source])[1], workdir / "stages")
    fresh, heads = lab.init(0, stream="head").load(), []
    starts = [read_weights(file) for file in workdir.glob("stages/transfer-*/weights.safetensors")]
    assert len(starts) == 4
    tickets = [jt.load_ticket(folder) for folder in (source / "tickets").glob("*-0")]
    for start in starts:
        leaves = paths.leaves(start.params)
        body = {path: leaf for path, leaf in leaves.items() if not path.startswith("head/")}
        heads.append({path: leaf for path, leaf in leaves.items() if path.startswith("head/")})
        assert any(
            all(np.array_equal(leaf, paths.leaves(ticket.params)[path]) for path, leaf in body.items())
            for ticket in tickets
        )
        for path, leaf in paths.leaves(start.model_state).items():
            assert (leaf == (1 if path.endswith("var") else 0)).all()
    for head in heads:
        assert head["head/kernel"].shape == (64, 10)
        for path, leaf in head.items():
            np.testing.assert_array_equal(leaf, paths.leaves(fresh.params)[path])
    notes = summary["transfer"]
    assert {tuple(note["new"]) for note in notes} == {("head/bias", "head/kernel")}
    assert "stem/kernel" in notes[0]["reused"]


def test_zero_stays_zero_and_small_weights_learn(found):
    """Zero stays zero: with momentum and L2; an alive weight below 1e-6 is still updated."""
    workdir, source, summary, _ = found
    for row in summary["rows"][1:]:
        mask = jt.load_ticket(source / "tickets" / f"{row['source'].split('-')[0]}-{row['level']}-0").mask
        trained = paths.leaves(read_weights(workdir / "stages" / row["stage"] / "last.safetensors").params)
        assert all((trained[path][~mask[path]] == 0).all() for path in mask)
        assert abs(trained["conv2/kernel"][1, 1, 0, 0]) > 1e-6


def test_the_same_data_keeps_the_head(tmp_path):
    """Transfer: same data set and part keeps the head; a single ticket goes with every seed."""
    whole = make_ticket(tmp_path, "colt-3-0", classes=10)
    part = make_ticket(tmp_path, "colt_part-3-0-part2", case={"part": 2}, config={"partitions": 2})
    shuffled = make_ticket(tmp_path, "imp-1-4", config={"data": {"part": "1/2", "class_order": "shuffled"}})

    def new(ticket, **changes):
        plan = make_plan(*options_of([ticket], seeds=(3, 4), dense=False, **changes), tmp_path / "work")
        assert len(plan.networks) == 2
        (stage,) = {stage.label: stage for stage in plan.stages if stage.kind == "transfer"}.values()
        lab = Lab(options_of([ticket], **changes)[1], tmp_path / "work" / "stages")
        (source,) = find_sources(lab, lab.options)
        assert stage.label == ticket.name
        return reused(lab, source)["new"]

    both = ["head/bias", "head/kernel"]
    assert new(whole) == []
    assert new(whole, **{"data.part": "1/2"}) == both
    assert new(part) == both
    assert new(part, **{"data.part": "2/2"}) == []
    assert new(part, **{"data.part": "1/2"}) == both
    assert new(shuffled, **{"data.part": "1/2"}) == both
    assert new(shuffled, **{"data.part": "1/2", "data.class_order": "shuffled"}) == []
    assert new(whole, **{"data.name": "fashion_mnist"}) == both


@pytest.mark.parametrize(
    ("ticket", "changes", "error", "message"),
    [
        (
            {},
            {"data.name": "cifar10"},
            MaskError,
            r"stem/kernel is \(3, 3, 1, 16\) in the ticket of conv3 and \(3, 3, 3, 16",
        ),
        (
            {"model": "lenet300"},
            {"model.name": "lenet300", "model.options": {}, "data.name": "fashion_mnist"},
            MaskError,
            r"fc1/kernel is \(64, 300\) in .* its images are \(8, 8, 1\), these \(28, 28, 1\); set config.model to the",
        ),
        ({}, {"model.name": "lenet300", "model.options": {}}, MaskError, "conv2/bias is .* and absent in lenet300 on"),
        ({"weights": "trained"}, {}, TicketError, "holds trained weights, and only weights to start from are"),
        (
            {},
            {"sources": ("nowhere",)},
            ConfigError,
            r"config.sources: 'nowhere' is neither a ticket nor an experiment",
        ),
        ({}, {"branches": ("imp",)}, ConfigError, r"config.branches=\('imp',\): .* has tickets of colt$"),
        ({}, {"seeds": (7,)}, ConfigError, r"config.seeds=\(7,\): no ticket has seed 7; must be among \[0\]"),
        ({}, {"sources": ("a", "a")}, ConfigError, r"config.sources=\('a', 'a'\): must be different from each other"),
    ],
)
def test_what_does_not_fit_is_refused_at_start(tmp_path, ticket, changes, error, message):
    """Transfer: another number of channels, another input size, another network: nothing is trained."""
    make_ticket(tmp_path, "colt-1-0", **ticket)
    with pytest.raises(error, match=message) as raised:
        make_plan(*options_of([tmp_path], **changes), tmp_path / "work")
    assert "\n" not in str(raised.value)


def test_two_tickets_of_one_place_are_refused(tmp_path):
    for name in ("a", "b"):
        make_ticket(tmp_path / name, "colt-1-0")
    with pytest.raises(ConfigError, match="are of one series and round; name one"):
        make_plan(*options_of([tmp_path / "a", tmp_path / "b"]), tmp_path / "work")
    assert len(make_plan(*options_of([]), tmp_path / "work").networks) == 1
    with pytest.raises(ConfigError, match=r"config.sources=\(\): must be folders of tickets or of experiments"):
        run_experiment(*options_of([]), tmp_path / "work")


def test_a_source_says_what_the_network_is(tmp_path):
    config = default_config("transfer")
    config.seeds = (0, 1, 2)
    make_ticket(tmp_path, "colt-1-0", model="lenet300")
    for folder in (tmp_path, tmp_path / "tickets" / "colt-1-0"):
        apply_source(config, str(folder))
        assert (config.sources, config.model.name) == ((str(folder),), "lenet300")
        assert len(make_plan(*resolve(config), tmp_path / "work").networks) == 2
    assert config.seeds == (0,)
    for label in ("colt-1-2", "colt-1-10", "colt-2-2"):
        make_ticket(tmp_path, label, model="lenet300")
    apply_source(config, str(tmp_path))
    assert config.seeds == (0, 2, 10)  # those of the source, as numbers
    with pytest.raises(ConfigError, match="config argument 'source=nowhere': is neither a ticket nor an experiment"):
        apply_source(config, "nowhere")
