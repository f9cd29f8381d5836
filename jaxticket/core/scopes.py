"""Scopes by name: which units are compared with each other, and how many of them are removed. It loads no JAX."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from jaxticket.core.errors import MaskError
from jaxticket.core.lazy import check_loadable, load_object
from jaxticket.core.registry import Registry
from jaxticket.core.types import Array, Mask, Number, Scores

# The name of a scope, or {regular expression: sparsity} over paths.
ScopeLike: TypeAlias = str | Mapping[str, Number]

_COUNTS = "jaxticket.core.scope_counts"


@dataclass(frozen=True)
class Scope:
    """A scope: which units are compared with each other, and how many of them are removed.

    Functions may be given by name, `package.module:function`, so that they are imported when they are needed.

    Attributes:
        name: by which it is chosen, `scope="layer"` or `config.prune.scope`.
        numbers: says how many units are removed from each group, `(counts, *, rate, sparsity) -> uint32 [groups]` with
            a `scope_counts.UnitCounts`, and one of the two shares None.
        together: whether the units of all leaves are one group, in which they are compared; else each leaf is one.
        ranks: what is compared instead of the scores, `(units, scores) -> scores`; None for the scores.

    Example:
        >>> def all_but_one(counts, *, rate, sparsity):
        ...     return np.maximum(counts.kept, 1) - 1
        >>> jt.scopes.register(jt.Scope("all_but_one", all_but_one)).name
        'all_but_one'
        >>> jt.prune({"w": np.ones(4, bool)}, {"w": np.arange(4.0)}, rate=0.5, scope="all_but_one")["w"].tolist()
        [False, False, False, True]
    """

    name: str
    numbers: str | Callable[..., Array]
    together: bool = False
    ranks: str | Callable[[Mask, Scores], Scores] | None = None

    def __post_init__(self) -> None:
        """Refuses what cannot be called."""
        check_loadable(f"scope {self.name!r}: numbers", self.numbers)
        if self.ranks is not None:
            check_loadable(f"scope {self.name!r}: ranks", self.ranks)


scopes: Registry[Scope] = Registry(
    "scope",
    Scope,
    lambda: (
        Scope("global", f"{_COUNTS}:same_share", together=True),
        Scope("layer", f"{_COUNTS}:same_share"),
        Scope("erk", f"{_COUNTS}:erdos_renyi_kernel"),
        Scope("output", f"{_COUNTS}:same_share", ranks=f"{_COUNTS}:ranks_within_outputs"),
    ),
)


def scope_of(scope: ScopeLike) -> Scope:
    """The scope of that name, or that of a dictionary {regular expression: sparsity}.

    Raises:
        MaskError: there is none of that name.
    """
    if isinstance(scope, Mapping):
        return Scope("rules", functools.partial(load_object(f"{_COUNTS}:sparsity_by_rules"), scope))
    if scope not in scopes:
        names = ", ".join(map(repr, scopes.names()))
        raise MaskError(f"scope={scope!r}: must be one of {names}, or a dictionary {{regular expression: sparsity}}")
    return scopes.get(scope)
