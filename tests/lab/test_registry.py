"""An experiment is refused as soon as it is defined."""

import pytest

from jaxticket.core.errors import ConfigError
from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.registry import Experiment
from jaxticket.lab.row import Column

pytestmark = [pytest.mark.feature("options and registries"), pytest.mark.smoke]

RIGHT = {"name": "own", "title": "Own", "question": "?", "options": ExperimentOptions, "run": print}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"columns": (Column("seed", "S"),)}, "columns: 'seed' is a value that its row has already; choose another"),
        ({"columns": (Column("zz", "A"), Column("zz", "B"))}, "columns: 'zz' is a value"),
        ({"columns": ("zz",)}, "columns has 'zz'; must be a Column"),
        ({"columns": Column("zz", "Z")}, r"columns=Column\(.*: must be a tuple"),
        ({"sections": print}, "sections=<built-in function print>: must be a tuple"),
        ({"sections": (5,)}, r"a section=5: must be a function, or where one is, package\.module:function"),
        ({"run": None}, "run=None: must be a function"),
        ({"recipes": 5}, "recipes=5: must be a function"),
        ({"options": dict}, "options=<class 'dict'>: must be a subclass of ExperimentOptions"),
        ({"options": ExperimentOptions()}, r"options=ExperimentOptions\(.*: must be a subclass"),
    ],
)
def test_what_is_of_another_kind_is_refused(said, message):
    with pytest.raises(ConfigError, match=f"experiment 'own': {message}"):
        Experiment(**{**RIGHT, **said})
