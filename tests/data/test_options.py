import pytest

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import chosen, parse
from jaxticket.data import DataOptions, names
from jaxticket.data.own.schemes import forms

pytestmark = [pytest.mark.feature("data sets"), pytest.mark.smoke]


def test_defaults():
    options = parse(DataOptions, {})
    assert (options.name, options.val_fraction, options.val_seed) == ("digits", 0.1, 0)
    assert options.download is False
    assert options.folder == ""


def test_only_what_is_computed_is_hashed():
    where = parse(DataOptions, {"folder": "/data", "download": True})
    assert chosen(where) == {}
    what = parse(DataOptions, {"name": "mnist", "val_fraction": 0.2, "val_seed": 3})
    assert chosen(what) == {"name": "mnist", "val_fraction": 0.2, "val_seed": 3}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"name": "mnits"},
            f"config.data.name='mnits': must be one of {', '.join([*names(), *forms()])}; did you mean 'mnist'?",
        ),
        ({"name": "?"}, f"config.data.name='?': must be one of {', '.join([*names(), *forms()])}"),
        ({"val_fraction": 1.0}, "config.data.val_fraction=1.0: must be less than 1"),
        ({"val_fraction": -0.1}, "config.data.val_fraction=-0.1: must be at least 0"),
        (
            {"val_fraction": 0.9999},
            "config.data.val_fraction=0.9999: leaves none of the 1,437 training images of digits; it must be smaller",
        ),
        ({"val_seed": -1}, "config.data.val_seed=-1: must be at least 0"),
        ({"nam": "mnist"}, "config.data.nam: no such key; did you mean 'name'?"),
    ],
)
def test_mistakes_are_one_line(values, message):
    with pytest.raises(ConfigError) as error:
        parse(DataOptions, values, "data")
    assert str(error.value) == message
