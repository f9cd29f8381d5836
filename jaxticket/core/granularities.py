"""Granularities by name, as a configuration writes them: `channel`, `block:16x128`. It loads no JAX."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxticket.core.errors import ConfigError
from jaxticket.core.registry import Registry

_OBJECTS = "jaxticket.core.granularity"


@dataclass(frozen=True)
class NamedGranularity:
    """A granularity that can be chosen by a text.

    Attributes:
        example: such a text; its numbers stand for any whole numbers from 1 on.
        make: gives the granularity for these numbers; or where that function is, `package.module:function`.
        units: what it calls its units, in the plural.
        fixed: whether it says itself how many weights are removed, so that no scope is given; see `Pattern`.

    Example:
        >>> rows = jt.NamedGranularity("rows:8", lambda number: jt.block(number, 10**9), "groups of rows")
        >>> jt.granularities.register(rows).name
        'rows'
        >>> scores = {"w": jnp.arange(8.0).reshape(4, 2)}
        >>> jt.prune({"w": jnp.ones((4, 2), bool)}, scores, sparsity=0.5, granularity="rows:2")["w"].tolist()
        [[False, False], [False, False], [True, True], [True, True]]
    """

    example: str
    make: str | Callable[..., Any]
    units: str
    fixed: bool = False

    @property
    def name(self) -> str:
        """What stands before the numbers."""
        return self.example.partition(":")[0]

    def numbers(self, text: str) -> tuple[int, ...] | None:
        """The numbers in a text that is like the example; None for every other."""
        found = re.fullmatch(re.sub(r"\d+", r"([1-9]\\d*)", re.escape(self.example)), text)
        return tuple(map(int, found.groups())) if found else None


granularities: Registry[NamedGranularity] = Registry(
    "granularity",
    NamedGranularity,
    lambda: (
        NamedGranularity("unstructured", f"{_OBJECTS}:Unstructured", "weights"),
        NamedGranularity("channel", f"{_OBJECTS}:channel", "channels"),
        NamedGranularity("block:16x128", f"{_OBJECTS}:block", "blocks"),
        NamedGranularity("n_of_m:2:4", f"{_OBJECTS}:n_of_m", "weights", fixed=True),
    ),
)


def find_granularity(text: str, what: str) -> tuple[NamedGranularity, tuple[int, ...]]:
    """The row of a text, and the numbers in it.

    Args:
        text: such as `block:16x128`.
        what: what it is the value of, for the message, `config.prune.granularity`.

    Raises:
        ConfigError: it is like none of the examples.
    """
    for row in granularities:
        numbers = row.numbers(text)
        if numbers is not None:
            return row, numbers
    *others, last = (repr(row.example) for row in granularities)
    raise ConfigError(f"{what}={text!r}: must be {', '.join(others)} or {last}, with any numbers")
