"""Each recipe has the network of its paper where that is not the one the name means elsewhere."""

import pytest

from jaxticket.experiments import default_config, resolve
from jaxticket.experiments.colt.recipes import apply_colt_recipe
from jaxticket.experiments.sanity.recipes import apply_sanity_recipe
from jaxticket.experiments.structured.recipes import apply_structured_recipe
from jaxticket.lab.presets import apply_preset
from jaxticket.lab.setting import Setting

pytestmark = [pytest.mark.feature("networks")]

RECIPES = {"sanity": apply_sanity_recipe, "structured": apply_structured_recipe, "colt": apply_colt_recipe}


def options_of(experiment, model, dataset, recipe=None):
    config = default_config(experiment)
    (recipe or RECIPES[experiment])(config, model, dataset)
    return resolve(config)[1]


@pytest.mark.parametrize(
    ("experiment", "model", "dataset", "parameters", "prunable", "tensors"),
    [
        # Ma et al. (2021): twice the usual width, its shortcuts not pruned; those of ResNet-20 are.
        ("sanity", "resnet32", "cifar10", 1_860_522, 1_843_200, 30),
        ("sanity", "resnet32", "cifar100", 1_872_132, 1_843_200, 30),
        ("sanity", "resnet20", "cifar10", 272_474, 269_824, 20),
        # Chen et al. (2022): WRN-32-2, its shortcuts pruned.
        ("structured", "resnet32", "cifar10", 1_860_522, 1_853_440, 32),
        ("structured", "wrn32", "cifar100", 1_872_132, 1_853_440, 32),
    ],
)
def test_prunable_weights(experiment, model, dataset, parameters, prunable, tensors):
    options = options_of(experiment, model, dataset)
    setting = Setting(options)
    assert setting.parameters == parameters
    found = setting.prunable(options.prune.prunable)
    assert (sum(found.values()), len(found)) == (prunable, tensors)
    if model != "resnet20":
        assert options.model.options == {"width": 2.0, "head_init": "gaussian_0.01"}


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("lenet5", 15_926),
        ("densenet121", 6_956_298),
        ("mobilenetv2", 2_254_090),
        ("mobilenet_v2", 2_254_090),
        ("shufflenet_v2", 1_268_646),
        ("resnet18", 11_173_962),
    ],
)
def test_networks_of_colt(model, parameters):
    options = options_of("colt", model, "cifar10")
    assert Setting(options).parameters == parameters
    assert options.model.options == ({} if model == "resnet18" else {"variant": "colt"})


def test_a_recipe_goes_by_the_name_proper():
    aliased, proper = (options_of("imp", name, "digits", apply_preset) for name in ("fc1", "lenet300"))
    assert aliased == proper
    assert options_of("colt", "fc1", "digits") == options_of("colt", "lenet300", "digits")


def test_stages_of_changed_network_are_not_found():
    def key(name):
        return Setting(options_of("imp", name, "digits", apply_preset)).network_key()

    assert key("lenet5")["network_version"] == 2
    assert "network_version" not in key("lenet300")
