import dataclasses
import re

import pytest

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option
from jaxticket.core.spans import Span, check_spans

pytestmark = [pytest.mark.feature("schedules and gradual pruning")]


@dataclasses.dataclass(frozen=True)
class Inner:
    at: tuple[float, ...] = option((), within="epochs")


@dataclasses.dataclass(frozen=True)
class Outer:
    rewind: int = option(0, within="steps")
    keep: tuple[int, ...] = option((), up_to="epochs")
    look: int = option(1, every="epochs")
    mode: str = "a"
    of_b: float = option(5.0, within="epochs", only=("mode", "b"))
    inner: Inner = Inner()

    def spans(self, length, where):
        yield Span("both", self.look, self.look + self.rewind, length["steps"], "steps")


LENGTH = {"epochs": 2.5, "steps": 10}


@pytest.mark.parametrize(
    "changes", [{}, {"rewind": 8}, {"keep": (1, 2)}, {"look": 3}, {"inner": Inner((0.2, 2.4))}, {"of_b": 9.0}]
)
def test_what_fits_passes(changes):
    check_spans(Outer(**changes), LENGTH, "some")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewind": 10}, "config.some.rewind=10: must be less than the 10 steps of training; lower it"),
        ({"keep": (1, 3)}, "config.some.keep=(1, 3): must be at most the 2 epochs of training"),
        ({"look": 4}, "config.some.look=4: must be at most the 3 epochs of training"),
        ({"inner": Inner((0.2, 2.5))}, "config.some.inner.at=(0.2, 2.5): must be less than the 2.5 epochs"),
        ({"inner": Inner((0.1,))}, "config.some.inner.at=(0.1,): is less than a step of training"),
        ({"mode": "b"}, "config.some.of_b=5.0: must be less than the 2.5 epochs"),
        ({"rewind": 9}, "config.both=1: must be less than the 10 steps of training"),
    ],
)
def test_what_does_not_fit_is_named(changes, message):
    with pytest.raises(ConfigError, match=re.escape(message)) as error:
        check_spans(Outer(**changes), LENGTH, "some")
    assert "\n" not in str(error.value)


def test_what_is_not_known_yet_is_not_checked():
    options = dataclasses.make_dataclass("Options", [("rewind", int, option(99, within="steps"))], frozen=True)
    check_spans(options(), {"epochs": 1})
