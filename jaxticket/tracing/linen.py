"""Calls of Flax Linen modules while a network runs: seen, and changed on their way.

Nothing here imports Flax. A function can call no Linen module before somebody has imported it, and until then there
is nothing to listen to.
"""

import dataclasses
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any


@dataclasses.dataclass(frozen=True, eq=False)
class ModuleCall:
    """One call of a method of a Linen module.

    Attributes:
        module: the bound module.
        method: the name of the method, such as `__call__`.
        args: its positional arguments.
        kwargs: its keyword arguments.
        run: (*args, **kwargs) -> what the method returns.
    """

    module: Any
    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    run: Callable[..., Any]

    @property
    def inputs(self) -> Any:
        """What a layer or a normalisation is given: its first argument."""
        return self.args[0] if self.args else next(iter(self.kwargs.values()))

    @property
    def is_layer(self) -> bool:
        """Whether a dense or convolutional layer, or a subclass of one, is called."""
        linen = sys.modules["flax.linen"]
        return self.method == "__call__" and isinstance(self.module, linen.Dense | linen.Conv)

    def path(self, *names: str) -> str:
        """The slash path of the module, or of a variable of it, such as `path("kernel")`, within its collection."""
        return "/".join((*self.module.path, *names))

    def proceed(self) -> Any:
        """What the method returns for the arguments that it was called with."""
        return self.run(*self.args, **self.kwargs)


def listen(on_call: Callable[[ModuleCall], Any]) -> AbstractContextManager[Any]:
    """A context in which every call of a method of a Linen module returns what `on_call` returns.

    Args:
        on_call: it decides what runs: `call.proceed()` is the call as it is. Modules inside `nn.scan`, `nn.vmap` and
            `nn.remat` are called with traced values that must not leave them.
    """
    linen = sys.modules.get("flax.linen")
    if linen is None:
        return nullcontext()

    def intercept(run: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], context: Any) -> Any:
        return on_call(ModuleCall(context.module, context.method_name, args, kwargs, run))

    return linen.intercept_methods(intercept)
