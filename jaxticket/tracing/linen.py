"""Calls of Flax modules while a network runs: seen, and changed on their way.

Nothing here imports Flax. A function can call no module before somebody has imported it, and until then there is
nothing to listen to. Of NNX modules, which know neither their names nor who listens, the layers are heard within
`audible`.
"""

import contextlib
import contextvars
import dataclasses
import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any


@dataclasses.dataclass(frozen=True, eq=False)
class ModuleCall:
    """One call of a method of a Linen module, or of an NNX layer.

    Attributes:
        module: the bound module; an NNX layer has Linen's `path` and `features` then, too.
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
        is_linen = isinstance(self.module, linen.Dense | linen.Conv)
        return self.method == "__call__" and (is_linen or getattr(self.module, "is_audible", False))

    def path(self, *names: str) -> str:
        """The slash path of the module, or of a variable of it, such as `path("kernel")`, within its collection."""
        return "/".join((*self.module.path, *names))

    def proceed(self) -> Any:
        """What the method returns for the arguments that it was called with."""
        return self.run(*self.args, **self.kwargs)


_LISTENERS: contextvars.ContextVar[tuple[Callable[[ModuleCall], Any], ...]] = contextvars.ContextVar(
    "listeners", default=()
)


@contextlib.contextmanager
def listen(on_call: Callable[[ModuleCall], Any]) -> Iterator[None]:
    """A context in which every call of a method of a Linen module returns what `on_call` returns; see `audible`.

    Args:
        on_call: it decides what runs: `call.proceed()` is the call as it is. Modules inside `nn.scan`, `nn.vmap` and
            `nn.remat` are called with traced values that must not leave them.
    """
    linen = sys.modules.get("flax.linen")

    def intercept(run: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], context: Any) -> Any:
        return on_call(ModuleCall(context.module, context.method_name, args, kwargs, run))

    before = _LISTENERS.set((*_LISTENERS.get(), on_call))
    try:
        with linen.intercept_methods(intercept) if linen else contextlib.nullcontext():
            yield
    finally:
        _LISTENERS.reset(before)


@contextlib.contextmanager
def audible(model: Any) -> Iterator[None]:
    """A context in which the calls of the dense and convolutional layers in an NNX module are heard."""
    nnx, heard = sys.modules["flax.nnx"], []
    if _LISTENERS.get():
        heard = [(path, one) for path, one in nnx.iter_modules(model) if isinstance(one, nnx.Linear | nnx.Conv)]
    for path, layer in heard:  # past NNX, which takes every attribute for a part of the model
        vars(layer).update(path=tuple(map(str, path)), features=layer.out_features, scope=None)
        object.__setattr__(layer, "__class__", _heard(type(layer)))
    try:
        yield
    finally:
        for _, layer in heard:
            object.__setattr__(layer, "__class__", type(layer).__mro__[1])
            for name in ("path", "features", "scope"):
                del vars(layer)[name]


@functools.cache
def _heard(kind: type) -> type:
    """The class of NNX layers, with calls that are told to who listens."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        run = functools.partial(kind.__call__, self)  # type: ignore[operator]
        for on_call in _LISTENERS.get():
            run = functools.partial(_tell, on_call, self, run)
        return run(*args, **kwargs)

    return type(kind.__name__, (kind,), {"__call__": call, "is_audible": True})


def _tell(on_call: Callable[[ModuleCall], Any], module: Any, run: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return on_call(ModuleCall(module, "__call__", args, kwargs, run))
