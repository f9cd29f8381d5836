"""Functions that a traced function calls, such as those under `jit`, `remat` or with derivatives of their own."""

from typing import Any

_CALLS = ("checkpoint", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "jit", "pjit", "remat2")


def called(equation: Any) -> tuple[Any, tuple[Any, ...]] | None:
    """The jaxpr that an operation runs once on its operands, and its constants; None if it is no such call."""
    if equation.primitive.name not in _CALLS:
        return None
    inner = equation.params["jaxpr"] if "jaxpr" in equation.params else equation.params["call_jaxpr"]
    return getattr(inner, "jaxpr", inner), tuple(getattr(inner, "consts", ()))
