"""Networks by name: what exists, what is refused, and that asking costs no import of JAX."""

import dataclasses
import inspect
import subprocess
import sys

import jax
import pytest
from flax import linen as nn

from jaxticket import models
from jaxticket.core.errors import ConfigError
from jaxticket.core.options import chosen, option, parse
from jaxticket.experiments import default_config, make_plan, resolve
from jaxticket.models import ModelOptions, create_model, names, registry
from jaxticket.models.architecture import ACTIVATIONS, DTYPES, INITS
from jaxticket.models.initializers import SCHEMES
from jaxticket.models.layers import activation

pytestmark = [pytest.mark.feature("networks"), pytest.mark.smoke]


def test_names_are_sorted_and_aliases_mean_same_network():
    assert names() == sorted(names())
    assert set(names()) >= {"lenet300", "lenet5", "conv2"}
    assert "fc1" not in names()
    assert create_model("fc1", 10) == create_model("lenet300", num_classes=10)
    assert not set(registry.aliases()) & set(names())


@pytest.mark.parametrize(
    ("alias", "name", "options"),
    [  # as the programs of the five lines of work call them
        ("fc1", "lenet300", {}),
        ("vgg16_bn", "vgg16", {}),
        ("resnet20s", "resnet20", {}),
        ("res20s", "resnet20", {}),
        ("res18", "resnet18", {"variant": "cifar"}),
        ("wrn32", "resnet32", {"width": 2.0, "head_init": "gaussian_0.01"}),
        ("resnet", "preresnet", {"block": "basic"}),
        ("resnetb", "preresnet", {}),
        ("densenet", "densenet121", {}),
        ("mobilenet", "mobilenet_v1", {}),
        ("mobilenetv1", "mobilenet_v1", {}),
        ("mobilenetv2", "mobilenet_v2", {}),
        ("shufflenetv2", "shufflenet_v2", {}),
    ],
)
def test_names_of_the_originals(alias, name, options):
    assert create_model(alias, 10) == create_model(name, 10, **options)
    assert parse(ModelOptions, {"name": alias}, "model") == ModelOptions(name, options)
    assert chosen(ModelOptions(alias)) == chosen(ModelOptions(name, options))


def test_what_is_given_goes_before_alias():
    assert ModelOptions("wrn32", {"width": 1.0}).options == {"width": 1.0, "head_init": "gaussian_0.01"}
    assert create_model("wrn32", 10, width=1.0).network.width == 1.0


@pytest.mark.parametrize("name", names())
def test_options_are_fields_of_the_class(name):
    row = models.network(name)
    fields = {field.name for field in dataclasses.fields(row.factory)}
    assert set(models.option_names(name)) == fields - set(row.fixed)
    assert set(row.fixed) <= fields
    assert create_model(name, num_classes=7) == row.factory(**row.fixed).module(7)
    assert all(f"    {option}: " in inspect.getdoc(kind) for option, kind in declared(row))


def declared(row):
    """Every option with the class that declares it first, whose docstring says what it is."""
    bases = [kind for kind in reversed(row.factory.__mro__) if dataclasses.is_dataclass(kind)]
    first = {}
    for kind in bases:
        for field in dataclasses.fields(kind):
            first.setdefault(field.name, kind)
    return [(name, first[name]) for name in models.option_names(row.name)]


class Mine(nn.Module):
    num_classes: int
    depth: int
    width: float = option(1.0, above=0)

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.num_classes, name="head")(x.reshape(x.shape[0], -1))


def test_networks_of_users():
    models.register(models.Network("mine", Mine, fixed={"depth": 2}, aliases={"wide": {"width": 2.0}}))
    assert "mine" in models.names()
    assert models.option_names("wide") == ["width"]
    assert create_model("wide", 3, dtype="float32") == Mine(3, 2, 2.0)
    with pytest.raises(ConfigError, match=r"width=-1\.0: must be more than 0"):
        create_model("mine", 3, width=-1)
    with pytest.raises(ConfigError, match=r"config.model.options.depth: no such key"):
        create_model("mine", 3, depth=3)
    with pytest.raises(ConfigError, match=r"config.train.compute_dtype: mine has no option dtype"):
        create_model("mine", 3, dtype="bfloat16")
    with pytest.raises(ConfigError, match="its option 'depth' has no default"):
        models.register(models.Network("other", Mine))


class Wrong(nn.Module):
    num_classes: int
    gives: str = "more"

    @nn.compact
    def __call__(self, x):
        x = x if self.gives == "images" else x.reshape(x.shape[0] if self.gives != "one" else 1, -1)
        logits = nn.Dense(self.num_classes + {"fewer": -1, "more": 1}.get(self.gives, 0), name="head")(x)
        return (logits, logits) if self.gives == "two" else logits


@pytest.mark.parametrize(
    ("gives", "found"),
    [
        ("fewer", r"gives logits \[60, 9\] for 60 images; must be \[60, 10\]"),
        ("more", r"gives logits \[60, 11\]"),
        ("images", r"gives logits \[60, 8, 8, 10\]"),
        ("one", r"gives logits \[1, 10\]"),
        ("two", "gives a tuple"),
    ],
)
def test_logits_must_be_a_number_per_class(gives, found, tmp_path):
    with registry.NETWORKS.restored():
        models.register(models.Network("wrong", Wrong))
        config = default_config("imp")
        config.model.name = "wrong"
        config.model.options = {"gives": gives}
        config.data.name = "digits"
        with pytest.raises(ConfigError, match=f"^network 'wrong': {found}") as error:
            make_plan(*resolve(config), tmp_path)
        assert "\n" not in str(error.value)


def test_every_activation_dtype_and_scheme_of_table_exists():
    assert set(INITS) == set(SCHEMES)
    assert all(callable(activation(name)) for name in ACTIVATIONS)
    assert all(jax.numpy.dtype(name).name == name for name in DTYPES)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lenet30", {}, "config.model.name='lenet30': must be one of .*lenet300.*; did you mean 'lenet300'"),
        ("zzz", {}, "config.model.name='zzz': must be one of .*lenet5"),
        ("shufflenetv1", {}, "must be one of .*shufflenet_v2.*; did you mean 'shufflenetv2'"),
        ("VGG16-BN", {}, "did you mean 'vgg16_bn'"),
        ("lenet5", {"paddin": "same"}, "config.model.options.paddin: no such key; did you mean 'padding'"),
        ("lenet5", {"padding": "SAME"}, "config.model.options.padding='SAME': must be one of valid, same"),
        ("lenet5", {"batch_norm": 1}, "config.model.options.batch_norm=1: must be True or False"),
        ("conv2", {"width": 0}, "config.model.options.width=0: must be at least 1"),
        (
            "conv2",
            {"activation": "rulu"},
            "config.model.options.activation='rulu': must be one of relu, relu6, swish",
        ),
        ("conv2", {"activation": None}, "config.model.options.activation=None: must be one of relu"),
        ("lenet300", {"init": "he"}, "config.model.options.init='he': must be one of glorot_normal"),
    ],
)
def test_mistakes_are_one_line_errors(name, options, message):
    for attempt in (
        lambda: create_model(name, 10, **options),
        lambda: parse(ModelOptions, {"name": name, "options": options}, "model"),
    ):
        with pytest.raises(ConfigError, match=message) as error:
            attempt()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("num_classes", [0, -1, True, 2.0, "10"])
def test_num_classes_must_be_a_count(num_classes):
    with pytest.raises(ConfigError, match=r"num_classes=.*at least 1"):
        create_model("lenet300", num_classes)


def test_a_configuration_takes_neither_functions_nor_a_dtype():
    with pytest.raises(ConfigError, match=r"options\.activation=.*must be a name, not a function"):
        parse(ModelOptions, {"options": {"activation": jax.nn.relu}}, "model")
    with pytest.raises(ConfigError, match=r"options\.dtype: .*config\.train\.compute_dtype"):
        parse(ModelOptions, {"options": {"dtype": "bfloat16"}}, "model")


def test_default_model_options_leave_hashes_alone():
    assert chosen(ModelOptions()) == {}
    parsed = parse(ModelOptions, {"name": "lenet5", "options": {"padding": "same"}}, "model")
    assert chosen(parsed) == {"name": "lenet5", "options": {"padding": "same"}}


def test_checking_a_configuration_imports_neither_jax_nor_flax():
    code = (
        "import sys; import jaxticket.models as m; from jaxticket.models.options import ModelOptions;"
        "from jaxticket.core.options import parse;"
        "parse(ModelOptions, {'name': 'lenet5', 'options': {'padding': 'same'}}, 'model'); m.names();"
        "sys.exit(any(name in sys.modules for name in ('jax', 'flax', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
