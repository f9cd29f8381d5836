"""Aids in experiments: what comes out is the plain network, and what is off changes nothing."""

import functools

import jax
import numpy as np
import pytest

import jaxticket as jt
from jaxticket import models, recipes
from jaxticket.core import paths
from jaxticket.core.errors import ConfigError
from jaxticket.core.options import parse
from jaxticket.experiments import default_config, make_plan, resolve, run_experiment
from jaxticket.lab.aid_options import AidOptions
from jaxticket.lab.aids import NetworkAid
from jaxticket.lab.lab import Lab
from jaxticket.lab.stages.references import read_weights
from jaxticket.models.initialize import init_variables
from jaxticket.training.state import Weights

pytestmark = [pytest.mark.feature("aids of training")]

ALL = {
    "aids.activation": "swish",
    "aids.ghost_skips": True,
    "aids.label_smoothing": 0.1,
    "aids.rescale_init": True,
    "aids.rescale_init_options.iterations": 3,
}


def options_of(experiment="imp", model="lenet300", **changes):
    config = default_config(experiment)
    config.model.name = model
    config.train.epochs, config.train.batch_size, config.train.lr = 2, 256, 0.05
    if experiment == "imp":
        config.levels, config.prune.rate = 1, 0.5
    with config.unlocked():
        config.model.options["width"] = 0.125
        config.update_from_flattened_dict(changes)
    return resolve(config)


@pytest.fixture(scope="session")
def workdir(tmp_path_factory):
    return tmp_path_factory.mktemp("aids")


def train_keys(experiment, options, workdir):
    return [stage.id for stage in make_plan(experiment, options, workdir).networks]


def test_with_every_aid_on_plain_network_comes_out(workdir):
    """ToST check 20: iterative pruning with soft activations, ghost skips, smoothing and learned scales."""
    experiment, options = options_of(**ALL)
    folder, summary = run_experiment(experiment, options, workdir)
    lab = Lab(options, workdir / "stages", execute=False)
    model = models.create_model("lenet300", num_classes=10, width=0.125)
    plain = paths.leaves(models.abstract_variables(model, (8, 8, 1))[0]).keys()
    for row in summary["rows"]:
        weights = read_weights(workdir / "stages" / row["stage"] / "last.safetensors")
        assert paths.leaves(weights.params).keys() == plain
        assert not weights.model_state
        images = lab.setting.trainer.batches.for_evaluation(lab.setting.dataset.test.images)
        logits = models.apply_model(model, weights.params, weights.model_state, images, train=False)[0]
        assert row["test_accuracy"] == (np.asarray(logits).argmax(-1) == lab.setting.dataset.test.labels).mean()
        assert row["best_epoch"] == 2  # only what follows the aids counts
    ticket = jt.load_ticket(folder / "tickets" / "imp-1-0")
    kept = {path: np.asarray(paths.leaves(weights.params)[path]) != 0 for path in ticket.mask}
    assert all((kept[path] <= own).all() for path, own in ticket.mask.items())
    assert sum(own.sum() for own in kept.values()) == sum(own.sum() for own in ticket.mask.values()) == row["kept"]
    # What the ticket starts from are the scaled weights: each tensor a multiple of the initial one.
    init = paths.leaves(lab.init(0).load().params)
    scaled = paths.leaves(ticket.params)
    for path in ("fc1/kernel", "fc2/kernel"):
        kept = scaled[path] != 0
        ratios = scaled[path][kept] / init[path][kept]
        assert np.ptp(ratios) < 1e-4
        assert abs(ratios[0] - 1) > 1e-3


def test_aids_end_with_logits_of_plain_network():
    """ToST check 20, one step before they are dropped: the schedules have come to the plain network by themselves."""
    model = models.create_model("conv3", num_classes=10, width=0.125)
    weights = Weights(*init_variables(model, jax.random.key(0), (8, 8, 1)))
    images = jax.random.normal(jax.random.key(1), (4, 8, 8, 1))
    for kind in ("swish", "pswish"):
        aid = NetworkAid(model, (8, 8, 1), AidOptions(activation=kind, ghost_skips=True, ghost_share=0.25), 20)
        assert aid.steps == 10
        own = Weights(*aid.begin(*weights, jax.random.key(2)))
        apply = jax.jit(functools.partial(aid.apply, train=True))
        plain = jax.jit(functools.partial(models.apply_model, model, train=True))(*weights, images)[0]
        np.testing.assert_allclose(apply(own, *weights, images, np.int32(10))[0], plain, atol=1e-6)
        assert np.abs(apply(own, *weights, images, np.int32(0))[0] - plain).max() > 1e-3


def test_what_is_off_changes_no_key(workdir):
    keys = train_keys(*options_of(), workdir)
    assert train_keys(*options_of(**{"aids.ghost_share": 0.3, "aids.betas": (2.0, 9.0)}), workdir) == keys
    soft = train_keys(*options_of(**{"aids.activation": "mish"}), workdir)
    assert not set(soft) & set(keys)
    smooth = train_keys(*options_of(**{"aids.label_smoothing": 0.1}), workdir)
    by_hand = {"train.label_smoothing": 0.1, "train.label_smoothing_kind": "off_target"}
    assert smooth == train_keys(*options_of(**by_hand), workdir)


def test_late_run_is_in_phase_of_its_step(workdir):
    """After a rewind to the end of the aids, training is that without them, bit for bit."""
    rewound = {"rewind_epochs": 1, "retrain": "remaining", "aids.activation": "swish", "aids.ghost_skips": True}
    _, summary = run_experiment(*options_of(**rewound), workdir)
    _, options = options_of(**rewound)
    aided = Lab(options, workdir / "stages", execute=False)
    plain = Lab(options, workdir / "stages").variant(aids=AidOptions())
    init, full = aided.init(0), aided.full_mask()
    dense = aided.train(init, full, seed=0, label="", snapshot_step=aided.setting.duration.steps_per_epoch)
    mask = aided.prune(dense.weights, full, options.prune, seed=0)
    again = plain.train(dense.snapshot, mask, seed=0, label="", start_step=aided.setting.duration.steps_per_epoch)
    stages = workdir / "stages"
    files = [stages / stage / "last.safetensors" for stage in (summary["rows"][1]["stage"], again.stage.id)]
    assert files[0] != files[1]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_aids_that_stay_are_kept_without_ticket(workdir):
    permanent = {"aids.activation": "swish", "aids.ghost_skips": True, "aids.permanent": True, "reinit": "none"}
    folder, summary = run_experiment(*options_of(**permanent), workdir)
    assert [(row["ticket"], row["permanent_aids"]) for row in summary["rows"]] == [(None, True)] * 2
    assert not (folder / "tickets").exists()
    weights = read_weights(workdir / "stages" / summary["rows"][1]["stage"] / "last.safetensors")
    assert weights.params["ghost"]["fc2"]["kernel"].shape == (38, 13)
    assert weights.model_state["ghost"]["fc2"].keys() == {"mean", "var"}


def test_what_cannot_be_is_refused_in_the_plan(workdir):
    def refused(message, model="lenet300", **changes):
        with pytest.raises(ConfigError, match=message):
            make_plan(*options_of("train", model, **changes), workdir)

    refused(r"aids.activation='swish': is a soft ReLU.* is 'tanh'; set config.model.options.activation to 'relu'",
            **{"aids.activation": "swish", "model.options.activation": "tanh"})  # fmt: skip
    refused(r"aids.ghost_layers='conv': no layer of this LeNet300",
            **{"aids.ghost_skips": True, "aids.ghost_layers": "conv"})  # fmt: skip
    refused(r"aids.label_smoothing=0.1: config.train.label_smoothing=0.2 is set too",
            **{"aids.label_smoothing": 0.1, "train.label_smoothing": 0.2})  # fmt: skip
    refused(
        r"train.label_smoothing_kind='off_target': needs train.label_smoothing above 0",
        **{"train.label_smoothing_kind": "off_target"},
    )


def test_a_registered_activation_has_its_source_in_key():
    recipes.register(recipes.SoftActivation("leaky", lambda x, beta: jax.nn.leaky_relu(x)))
    own = parse(AidOptions, {"activation": "leaky"}, "aids").key()
    assert own["activation"] == "leaky"
    assert own["source"]
    assert "source" not in AidOptions(activation="swish").key()
