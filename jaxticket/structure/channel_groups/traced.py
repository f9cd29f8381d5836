"""What is known of a value while the operations of a function are followed, and what the rules for them share."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.extend.core import JaxprEqn

from jaxticket.core.types import Path
from jaxticket.structure.channel_groups.channels import Role
from jaxticket.structure.channel_groups.union_find import Labels, UnionFind
from jaxticket.tracing.jaxpr import result_shapes

Origin = frozenset[tuple[Path, int]]
NO_ORIGIN: Origin = frozenset()

_RANK: dict[Role, int] = {"vector": 0, "input": 1, "output": 2}


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """An array of the traced function.

    Attributes:
        shape: its shape.
        axes: labels of each axis; an axis of size 1 has none, for it may be broadcast.
        origins: for each axis the axes of leaves that it consists of; empty for what depends on an input.
        from_input: whether it depends on an input, so that it is data and no weight.
        scalar: the number that it is, where it is a single one known while tracing.
        scales: numbers that it has been multiplied with or divided by.
        contracted: labels of the axes that were summed over in the product of two data that it comes from.
    """

    shape: tuple[int, ...]
    axes: tuple[Labels, ...]
    origins: tuple[Origin, ...]
    from_input: bool = False
    scalar: float | None = None
    scales: frozenset[float] = frozenset()
    contracted: tuple[np.ndarray, ...] = ()

    @property
    def is_weight(self) -> bool:
        """Whether it is computed from parameters alone."""
        return not self.from_input and any(self.origins)


@dataclasses.dataclass
class Trace:
    """What following a function fills.

    Attributes:
        ids: identities of all positions.
        roles: what the axes of the leaves are used as.
        parts: tables [parts, size] of labels, the parts of an axis that must lose as many channels each.
    """

    ids: UnionFind = dataclasses.field(default_factory=UnionFind)
    roles: dict[tuple[Path, int], Role] = dataclasses.field(default_factory=dict)
    parts: list[np.ndarray] = dataclasses.field(default_factory=list)

    def mark(self, value: Value, axis: int, role: Role) -> None:
        """Notes the role of the leaves' axes that an axis of a value consists of; the highest of several stays."""
        for origin in value.origins[axis]:
            if _RANK[role] > _RANK[self.roles.get(origin, "vector")]:
                self.roles[origin] = role

    def pin_all(self, values: Sequence[Value], reason: str) -> None:
        """None of the channels of the values can go."""
        for value in values:
            for labels in value.axes:
                self.ids.pin(labels, reason)

    def fixed_value(self, shape: Sequence[int], reason: str) -> Value:
        """A value of which no axis can change."""
        return new_value(shape, [self.ids.fixed(size, reason) for size in shape], [NO_ORIGIN] * len(shape), [], True)


Rule = Callable[[Trace, Any, Sequence[Value]], list[Value]]


def new_value(
    shape: Sequence[int],
    axes: Sequence[Labels],
    origins: Sequence[Origin],
    operands: Sequence[Value],
    from_input: bool = False,
) -> Value:
    """A value of which some axes are known; it depends on an input if an operand does."""
    from_input = from_input or any(operand.from_input for operand in operands)
    return Value(
        shape=tuple(shape),
        axes=tuple(None if size == 1 else labels for size, labels in zip(shape, axes, strict=True)),
        origins=(NO_ORIGIN,) * len(shape) if from_input else tuple(origins),
        from_input=from_input,
    )


def rearranged(operand: Value, shape: Sequence[int], axes: Sequence[Labels], origins: Sequence[Origin]) -> Value:
    """The elements of one value in another arrangement, or elsewhere cut or repeated: what was computed stays known."""
    value = new_value(shape, axes, origins, [operand])
    return dataclasses.replace(value, scalar=operand.scalar, scales=operand.scales, contracted=operand.contracted)


def pin_unknown(trace: Trace, equation: JaxprEqn, operands: Sequence[Value]) -> list[Value]:
    """Whatever it does, the channels that it touches cannot go."""
    reason = f"they go through {equation.primitive.name}, for which there is no rule"
    trace.pin_all(operands, reason)
    return [trace.fixed_value(shape, reason) for shape in result_shapes(equation)]


def comes_from_size(scale: float, size: int) -> bool:
    """Whether a number may have been computed from a size: the size, its square or fourth root, or one over these."""
    if not (scale and math.isfinite(scale)) or size < 2:
        return False
    magnitude = max(abs(scale), 1 / abs(scale))
    return any(math.isclose(magnitude, size**power, rel_tol=4e-3) for power in (1, 0.5, 0.25))
