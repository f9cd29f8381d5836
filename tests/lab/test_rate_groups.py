"""Groups of parameters with rates, and how far they lead: counts alone, nothing is trained."""

import jax
import numpy as np
import pytest

from jaxticket import models
from jaxticket.core import masks, paths
from jaxticket.core.errors import ConfigError
from jaxticket.experiments import default_config, make_plan, resolve
from jaxticket.lab.mask_intersection import prune_groups
from jaxticket.lab.rate_groups import (
    RateGroup,
    counted_weights,
    prunable,
    rate_groups,
    removed_by_round,
    role_of,
    rounds_to,
)

pytestmark = [pytest.mark.feature("COLT")]

CONV = (("conv", 0.15),)
LTH = (("conv", 0.2),)
# Architecture -> convolution weights, normalisation scales, width of the features, and the greatest total sparsity
# in % with half and all of the classes of CIFAR-10, CIFAR-100 and Tiny-ImageNet.
CEILINGS = {
    "conv3": (370_368, 448, 256, (99.54, 99.19, 96.55, 93.43, 93.43, 87.76)),
    "alexnet": (2_468_544, 0, 256, (99.95, 99.90, 99.48, 98.97, 98.97, 97.97)),
    "resnet18": (11_159_232, 4_800, 512, (99.93, 99.91, 99.73, 99.50, 99.50, 99.05)),
    "densenet121": (6_862_528, 41_760, 1024, (99.32, 99.25, 98.66, 97.94, 97.94, 96.53)),
    "mobilenet_v2": (2_190_016, 17_088, 1280, (98.94, 98.65, 96.43, 93.79, 93.79, 88.91)),
    "shufflenet_v2": (1_234_330, 8_022, 1024, (98.95, 98.54, 95.42, 91.79, 91.79, 85.29)),
    "lenet5": (2_850, 0, 84, (18.66, 18.16, 14.96, 12.26, 12.26, 9.00)),
}
CLASSES = (5, 10, 50, 100, 100, 200)
_SHAPES = {}


def shapes(model, classes=10):
    """The abstract parameters of a network for 32x32 colour images, with a head of any size."""
    if model not in _SHAPES:
        variant = {"variant": "colt"} if "variant" in models.option_names(model) and model != "resnet18" else {}
        _SHAPES[model] = models.abstract_variables(models.create_model(model, num_classes=10, **variant), (32, 32, 3))[
            0
        ]
    leaves = paths.leaves(_SHAPES[model])
    head = {
        path: jax.ShapeDtypeStruct((*leaf.shape[:-1], classes), leaf.dtype)
        for path, leaf in leaves.items()
        if path.startswith("head/")
    }
    return paths.nest(leaves | head)


@pytest.mark.parametrize("model", CEILINGS)
def test_parameter_counts_and_ceilings(model):
    """Parameter counts, stop: what pruning convolutions alone can reach, for every architecture and head."""
    conv, scales, _, ceilings = CEILINGS[model]
    leaves = paths.leaves(shapes(model))
    by_role = {}
    for path, leaf in leaves.items():
        by_role[role_of(path, leaf)] = by_role.get(role_of(path, leaf), 0) + leaf.size
    assert (by_role["conv"], by_role.get("scale", 0)) == (conv, scales)
    for classes, ceiling in zip(CLASSES, ceilings, strict=True):
        params = shapes(model, classes)
        groups = rate_groups(params, CONV, "rates")
        assert 100 * prunable(groups) / counted_weights(params, groups) == pytest.approx(ceiling, abs=0.01)


def test_counted_weights_are_those_of_sparsity_total():
    params = shapes("conv3")
    for rates in (CONV, (("conv", 0.1), ("bias", 0.1))):
        groups = rate_groups(params, rates, "rates")
        chosen = {path for group in groups for path in group.sizes}
        none = {path: np.zeros(leaf.shape, bool) for path, leaf in paths.leaves(params).items() if path in chosen}
        assert prunable(groups) / counted_weights(params, groups) == masks.sparsity_total(params, none)


@pytest.mark.parametrize(
    ("model", "classes", "lth", "identical"),
    [
        ("resnet18", 5, 22, 30),
        ("resnet18", 10, 22, 30),
        ("resnet18", 50, 23, 32),
        ("resnet18", 100, 25, 34),
        ("alexnet", 10, 22, 30),
        ("alexnet", 50, 25, 35),
        ("conv3", 5, 25, 34),
        ("conv3", 10, 32, 43),
        ("densenet121", 5, 28, 38),
        ("densenet121", 10, 30, 41),
    ],
)
def test_rounds_to_the_published_stop(model, classes, lth, identical):
    """Stop, computed rounds until 99.1 % of all weights: LTH at 0.2, COLT at 0.15 with identical masks."""
    params = shapes(model, classes)
    for rates, rounds in ((LTH, lth), (CONV, identical)):
        groups = rate_groups(params, rates, "rates")
        assert rounds_to(groups, "global", 0.991, counted_weights(params, groups)) == rounds


def test_stop_of_resnet18():
    """Stop: 98.91 % in round 23, 99.03 in 24, 99.12 in 25; with half the classes 99.08 in 31 and 99.18 in 32."""
    for rates, classes, rounds in ((LTH, 100, {23: 98.91, 24: 99.03, 25: 99.12}), (CONV, 50, {31: 99.08, 32: 99.18})):
        params = shapes("resnet18", classes)
        groups = rate_groups(params, rates, "rates")
        removed = list(removed_by_round(groups, "global"))
        weights = counted_weights(params, groups)
        assert {level: round(100 * removed[level - 1] / weights, 2) for level in rounds} == rounds


def test_rounding():
    """Rounding: half to even, and few survivors stall."""
    for rate, sizes in ((0.15, {10: 2, 20: 3, 30: 4, 50: 8, 70: 10}), (0.2, {3: 1})):
        for size, removed in sizes.items():
            assert next(removed_by_round([RateGroup("", rate, {"w": size})], "global")) == removed
    for rate, size in ((0.15, 3), (0.15, 1), (0.2, 2)):
        assert not list(removed_by_round([RateGroup("", rate, {"w": size})], "global"))
    # Each layer stalls by itself.
    group = [RateGroup("", 0.15, {"a": 10, "b": 3})]
    assert list(removed_by_round(group, "layer"))[-1] < list(removed_by_round(group, "global"))[-1]


def test_groups_by_role_and_path():
    """Groups: convolutions alone by default; the hidden layer of fc1 is dense even with 100 classes."""
    (only,) = rate_groups(shapes("conv3"), CONV, "rates")
    assert set(only.sizes) == {"stem/kernel", "conv2/kernel", "conv3/kernel"}
    rates = (("stem/.*", 0.0), ("dense", 0.2), ("head", 0.1), ("conv|conv2/kernel", 0.15), ("scale|bias", 0.05))
    groups = {group.rule: set(group.sizes) for group in rate_groups(shapes("lenet5"), rates, "rates")}
    assert groups == {
        "dense": {"fc1/kernel", "fc2/kernel"},
        "head": {"head/kernel"},
        "conv|conv2/kernel": {"conv2/kernel"},
        "scale|bias": {"conv2/bias", "fc1/bias", "fc2/bias", "head/bias"},
    }
    fc1 = paths.leaves(shapes("lenet300", 100))
    assert {path: role_of(path, leaf) for path, leaf in fc1.items() if path.endswith("kernel")} == {
        "fc1/kernel": "dense", "fc2/kernel": "dense", "head/kernel": "head"
    }  # fmt: skip


def test_groups_are_ranked_apart():
    """Groups: each loses its own share, however small its weights are."""
    rng = np.random.default_rng(0)
    params = {
        name: {"kernel": scale * rng.normal(size=shape).astype(np.float32)}
        for name, shape, scale in (("fc1", (10, 10), 1), ("head", (5, 10), 1e-3), ("stem", (1, 1, 10, 20), 1e3))
    }
    groups = rate_groups(params, (("dense", 0.2), ("head", 0.1), ("conv", 0.15)), "rates")
    mask = {path: np.ones(leaf.shape, bool) for path, leaf in paths.leaves(params).items()}
    for scope in ("global", "layer"):
        new = prune_groups(mask, params, groups, scope)
        gone = {path: int((~np.asarray(kept)).sum()) for path, kept in new.items()}
        assert gone == {"fc1/kernel": 20, "head/kernel": 5, "stem/kernel": 30}
        for path, leaf in paths.leaves(params).items():
            kept = np.asarray(new[path])
            assert np.abs(leaf[~kept]).max() < np.abs(leaf[kept]).min()


def plan_of(tmp_path, **changes):
    config = default_config("colt")
    with config.unlocked():
        config.update_from_flattened_dict(changes)
    return make_plan(*resolve(config), tmp_path)


HALF = {"model.name": "conv3", "data.name": "cifar100", "target_counts": "total", "rounds": 100}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            HALF | {"target": 0.991, "lth": False},
            r"config.target=0.991: pruning by rates surely reaches 0.9655 of total sparsity in conv3 with 50 classes, "
            r"and can never exceed 0.9655; lower the target",
        ),
        (HALF | {"target": 0.95}, r"config.target=0.95: pruning by lth_rates surely reaches 0.934\d of total sparsity"),
        (HALF | {"target": 1.0, "target_counts": "prunable"}, r"can never exceed 1.0000"),
        ({}, r"config.rates: rule 'conv' matches nothing; there are fc1/bias.*, or roles: dense, head, bias"),
        (
            {"partitions": 3},
            r"config.partitions=3: part='1/3': 10 classes of digits make no 3 equal parts; use 2, 5, 10",
        ),
        ({"data.part": "1/2"}, r"config.data.part='1/2': partitions are made of all classes; set 'full'"),
        ({"rates": (("conv", 1.0),)}, r"config.rates: the rate of 'conv' is 1.0; must be at least 0 and less than 1"),
        ({"rates": (("dense", 0.15), ("headd", 0.1))}, r"config.rates: rule 'headd' matches nothing; there are"),
        ({"rates": (("dense", 0.15), ("de.*", 0.1), ("head", 0.1))}, r"config.rates: rule 'de\.\*' comes too late"),
        ({"lth_rates": (("conv(", 0.1),)}, r"config.lth_rates: rule 'conv\(' is not a regular expression"),
        ({"rates": ()}, r"config.rates=\(\): must have a rate above 0"),
    ],
)
def test_what_cannot_be_is_refused_at_the_start(tmp_path, changes, message):
    """Unreachable target: an error with the ceiling, never an endless loop; so is a network without convolutions."""
    with pytest.raises(ConfigError, match=message) as error:
        plan_of(tmp_path, **changes)
    assert "\n" not in str(error.value)


def test_plan_has_all_possible_rounds(tmp_path):
    changes = {"model.name": "conv3", "target": 0.9, "rounds": 100}
    # 16 rounds of COLT with identical masks and 11 of LTH, whose first network is the dense one.
    by_label = [stage.label for stage in plan_of(tmp_path, **changes).networks]
    assert sum(label.startswith("colt-") and "part" in label for label in by_label) == 2 * (1 + 15)
    assert sum(label.startswith("colt-") and "part" not in label for label in by_label) == 15
    assert sum(label.startswith(("lth-", "dense-")) for label in by_label) == 1 + 11
    few = plan_of(tmp_path, **changes | {"rounds": 2, "evaluate": False, "lth": False, "partitions": 5})
    assert len(few.networks) == 5 * 3
