"""Criteria by name: a score for every prunable weight, higher = keep; one file for each close family.

A criterion is a function and a row of this table, which says where the function is and what it needs. Importing the
table loads no JAX.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from jaxticket.core.errors import ConfigError
from jaxticket.core.lazy import check_loadable, load_object
from jaxticket.core.options import must_be_one_of
from jaxticket.core.registry import Registry

# What a criterion may need beside weights and a mask -> the arguments of its function that bring it.
NEEDS = {
    "key": ("key",),  # a random key
    "data": ("apply_fn", "batches"),  # the network as a function, and training images with labels
    "loss": ("loss_fn",),  # (outputs, targets) -> scalar, what is trained on; None is cross entropy
    "shape": ("apply_fn", "input_shape"),  # the network as a function, and the shape of an input
    "layer_inputs": ("input_norms",),  # path -> the norms of the inputs of a layer, over training images
    "initial": ("initial",),  # the weights before training
    "trained": (),  # weights that were trained: of others its scores say nothing
}

# What it may rank, and what a network may normalise by while it is scored: see `Criterion`.
RANKS, STATISTICS = ["weights", "scales"], ["batch", "running", "initial"]


@dataclass(frozen=True)
class Criterion:
    """A criterion: where its function is, and what it needs.

    The function is called with keyword arguments: `params` (a tree), `mask` (path -> bool array), and those that its
    needs bring. It returns path -> float array, higher = keep, of the paths and shapes of the mask.

    Attributes:
        name: by which it is chosen, `config.prune.criterion`.
        scores: the function, or where it is: `package.module:function`, which is imported when it is needed.
        needs: keys of `NEEDS`.
        prunes: a function that prunes by itself where one scoring is not enough, in rounds with new scores of all
            weights together: it takes `sparsity` and `rounds` too, and returns the mask.
        ranks: `weights`, or `scales`: of normalisations, which rank the channels that they scale.
        statistics: what the network normalises by while it is scored: those of the `batch`, as in training, for those
            that it tracks say nothing at initialisation; the `running` ones, so that images count one by one; or the
            `initial` ones, with which normalisations change nothing.

    Example:
        >>> def squared(params, mask):
        ...     return {path: score**2 for path, score in jt.magnitude(params, mask).items()}
        >>> jt.criteria.register(jt.Criterion("squared", squared)).name
        'squared'
        >>> params = {"fc": {"kernel": jnp.array([[3.0, -2.0]])}}
        >>> jt.criteria.get("squared")(params=params, mask=jt.full_mask(params))["fc/kernel"].tolist()
        [[9.0, 4.0]]
    """

    name: str
    scores: str | Callable[..., Any]
    needs: tuple[str, ...] = ()
    prunes: str | Callable[..., Any] = ""
    ranks: str = "weights"
    statistics: str = "batch"

    def __post_init__(self) -> None:
        """Refuses what cannot be called, a need that nothing brings, and words that say nothing."""
        who = f"criterion {self.name!r}:"
        check_loadable(f"{who} scores", self.scores)
        if self.prunes != "":
            check_loadable(f"{who} prunes", self.prunes)
        if isinstance(self.needs, str):
            raise ConfigError(f"{who} needs={self.needs!r}: must be a tuple, such as {(self.needs,)}")
        known = {"ranks": RANKS, "statistics": STATISTICS}
        said = [("needs", need, list(NEEDS)) for need in self.needs]
        said += [(key, getattr(self, key), allowed) for key, allowed in known.items()]
        for key, value, allowed in said:
            if value not in allowed:
                raise ConfigError(f"{who} {key}={value!r}: {must_be_one_of(value, allowed)}")

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the functions take beside weights and mask, each once."""
        return tuple(dict.fromkeys(argument for need in self.needs for argument in NEEDS[need]))

    @property
    def sees_images(self) -> bool:
        """Whether its scores depend on training images."""
        return bool({"data", "layer_inputs"} & set(self.needs))

    def __call__(self, **given: Any) -> Any:
        """The scores, path -> float array."""
        return load_object(self.scores)(**given)


def _own() -> Iterator[Criterion]:
    where = f"{__name__}."
    yield Criterion("magnitude", where + "magnitude:magnitude")
    yield Criterion("random", where + "random:random_scores", ("key",))
    yield Criterion("lamp", where + "lamp:lamp")
    yield Criterion("bn_scale", where + "bn_scale:bn_scale", ("trained",), ranks="scales")
    yield Criterion(
        "synflow", where + "synflow:synflow", ("shape",), where + "synflow:synflow_prune", statistics="initial"
    )
    yield Criterion("snip", where + "snip:snip", ("data", "loss"))
    yield Criterion("grasp", where + "grasp:grasp", ("data", "loss"))
    yield Criterion("obd", where + "obd:obd", ("data", "loss"), statistics="running")
    yield Criterion("movement", where + "movement:movement_of_batches", ("data", "loss"))
    yield Criterion("wanda", where + "wanda:wanda", ("layer_inputs",), statistics="running")


def _of_function(name: str, scores: Callable[..., Any]) -> Criterion:
    """The criterion that a function is, which needs what its arguments are named after."""
    import inspect  # takes a while, and few need it

    wanted = [one.name for one in inspect.signature(scores).parameters.values() if one.default is one.empty]
    more = {argument for argument in wanted if argument not in ("params", "mask")}
    needs = tuple(need for need, brought in NEEDS.items() if brought and more >= {*brought})
    known = {argument for need in needs for argument in NEEDS[need]}
    if more != known or "params" not in wanted or "mask" not in wanted:
        may = "; ".join(", ".join(brought) for brought in NEEDS.values() if brought)
        raise ConfigError(
            f"criterion {name!r}: takes ({', '.join(wanted)}); must take params, mask and what it needs of {may}"
        )
    return Criterion(name, scores, needs)


criteria: Registry[Criterion] = Registry("criterion", Criterion, _own, make=_of_function)


def criteria_of_initial_weights() -> list[str]:
    """The names of those that can score weights that were not trained."""
    return [row.name for row in criteria if not {"trained", "initial"} & set(row.needs)]
