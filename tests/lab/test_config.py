import pytest

from jaxticket.core.errors import ConfigError
from jaxticket.experiments import config_hash, default_config, names, parse_arguments, resolve

pytestmark = [pytest.mark.feature("options and registries"), pytest.mark.smoke]


def hash_of(experiment, **changes):
    config = default_config(experiment)
    with config.unlocked():
        config.update_from_flattened_dict(changes)
    found, options = resolve(config)
    return config_hash(found.name, options)


# Folders of finished experiments are found by these; a change here orphans them. A new option must not change any.
@pytest.mark.parametrize(
    ("experiment", "changes", "expected"),
    [
        ("imp", {}, "a0ff2c43"),
        ("imp", {"levels": 10}, "b2b9459e"),
        ("imp", {"train.epochs": 0, "train.steps": 1000, "seeds": (0, 1, 2)}, "575996f0"),
        ("imp", {"prune.scope": "layer", "prune.rate": 0.5, "rewind_epochs": 2}, "26b721b8"),
        ("imp", {"model.name": "conv2", "data.name": "fashion_mnist"}, "b36dc482"),
        ("oneshot", {}, "0274f050"),
        ("at_init", {}, "89961b73"),
        ("gradual", {}, "8a7b5c52"),
        ("dynamic", {}, "5a571366"),
        ("admm", {}, "ddbd097c"),
        ("structured", {}, "4a61484e"),
        ("colt", {}, "25ef6a46"),
        ("colt", {"partitions": 5, "target": 0.99, "target_counts": "total"}, "10f8e28c"),
        ("transfer", {}, "a041881f"),
        ("early_bird", {}, "667b39fe"),
        ("imp", {"prune.criterion": "lamp", "data.part": "1/2", "data.augment.flip": True}, "6d71611f"),
        ("tost", {}, "50ba60b7"),
        ("train", {}, "11fd3161"),
        ("train", {"train.optimizer": "adamw", "train.weight_decay": 0.01, "seed": 3}, "494a42c2"),
    ],
)
def test_golden_hashes(experiment, changes, expected):
    assert hash_of(experiment, **changes) == expected


def test_what_is_not_computed_does_not_enter_hash():
    plain = hash_of("imp")
    assert hash_of("imp", name="other") == plain
    assert hash_of("imp", seed_parallelism="vmap") == plain
    assert hash_of("imp", **{"data.download": True, "data.folder": "/somewhere"}) == plain
    assert hash_of("imp", **{"train.checkpoint_epochs": 3, "train.steps_per_dispatch": 7}) == plain


def test_defaults_resolve_and_every_key_is_there():
    for name in names():
        config = default_config(name)
        experiment, options = resolve(config)
        assert experiment.name == name
        assert set(config) == {"experiment", *(field for field in vars(options))}


def test_a_seed_replaces_the_seeds():
    config = default_config("imp")
    config.seeds = (1, 2)
    assert resolve(config)[1].all_seeds == (1, 2)
    config.seed = 7
    assert resolve(config)[1].all_seeds == (7,)


def test_arguments_of_a_config_file():
    assert parse_arguments("model=conv2", model="lenet300", dataset="digits") == {
        "model": "conv2",
        "dataset": "digits",
    }
    assert parse_arguments(None, model="a") == parse_arguments("", model="a") == {"model": "a"}
    with pytest.raises(ConfigError, match=r"config argument 'modle=x': must be NAME=VALUE with the names of 'model=a'"):
        parse_arguments("modle=x", model="a")
