"""How much is left of a network after each pruning, counted without training, so that a plan finds what cannot be."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax

from jaxticket.core import masks
from jaxticket.core.errors import ConfigError
from jaxticket.core.granularity import Block
from jaxticket.core.scopes import least_kept
from jaxticket.core.types import Path
from jaxticket.lab.prune_options import PruneOptions
from jaxticket.lab.scoring import granularity_of
from jaxticket.lab.setting import Setting

# Where an experiment is told how often, or how much, it prunes.
_KEYS = ("levels", "ratios", "sparsities")


@dataclasses.dataclass(frozen=True)
class _Left:
    """What a mask leaves, in units of a granularity.

    Attributes:
        rules: by which it was made.
        shapes: of the prunable leaves.
        how: what was ranked, and how; None before the first pruning.
        alive: units left, of each leaf or of all that are ranked together; empty before the first pruning.
        rounds: of pruning.
    """

    rules: tuple[tuple[str, bool], ...]
    shapes: Mapping[Path, tuple[int, ...]]
    how: tuple[str, str] | None = None
    alive: tuple[int, ...] = ()
    rounds: int = 0


class Reach:
    """What the masks of a plan leave, by their keys; those that something else than pruning made are not known.

    Args:
        setting: the network, and the options that errors name.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._left: dict[str, _Left] = {}

    def begin(self, key: str, rules: tuple[tuple[str, bool], ...]) -> None:
        """The mask of that key keeps everything that `rules` let be pruned."""
        shapes = self._setting.shapes.params
        mask = jax.eval_shape(lambda: masks.full_mask(shapes, rules or masks.DEFAULT_RULES))
        self._left[key] = _Left(rules, {path: leaf.shape for path, leaf in mask.items()})

    def begin_channels(self, key: str, shapes: Mapping[Path, tuple[int, ...]]) -> None:
        """The mask of that key keeps all channels; `shapes` are those of the scales that rank them."""
        self._left[key] = _Left((), shapes)

    def prune(self, key: str, how: PruneOptions, *, sparsity: float | None = None, new: str = "") -> None:
        """The mask of the key `new` is that of `key` less a rate, or down to a sparsity.

        Raises:
            ConfigError: nothing would be removed, or left.
            MaskError: nothing is prunable.
        """
        left = self._left.get(key)
        ranking = ("each" if how.scope == "layer" else "all", _unit_of(how))
        if left is None or left.how not in (None, ranking):
            return
        if not left.shapes:
            self._setting.prunable(left.rules)  # says so
        sizes = _units(left.shapes, how)
        if ranking[0] == "all":
            sizes = [sum(sizes)]
        alive = list(left.alive or sizes)
        if sparsity is None:
            after = [count - round(how.rate * count) for count in alive]
        else:
            after = [min(count, size - round(sparsity * size)) for count, size in zip(alive, sizes, strict=True)]
        if after == alive or not sum(after):
            does = "would remove nothing from" if after == alive else "would leave nothing of"
            asked = f"rate {how.rate:.6g}" if sparsity is None else f"sparsity {sparsity:.6g}"
            in_rounds = sparsity is None or hasattr(self._setting.options, "levels")
            remedy = "less" if not sum(after) else "fewer rounds" if in_rounds else "more"
            raise ConfigError(
                f"{self._asked()}: {asked} {does} the {sum(alive):,} of {sum(sizes):,} {_name(how)} "
                f"left after {left.rounds} rounds; ask for {remedy}"
            )
        self._check_held(left.shapes, how, sum(sizes) - sum(after))
        self._left[new] = dataclasses.replace(left, how=ranking, alive=tuple(after), rounds=left.rounds + 1)

    def _check_held(self, shapes: Mapping[Path, tuple[int, ...]], how: PruneOptions, gone: int) -> None:
        """Refuses more than `max_layer_sparsity` lets go."""
        sizes = [math.prod(shape) for shape in shapes.values()]
        most = sum(sizes) - int(least_kept(sizes, how.max_layer_sparsity).sum())
        if how.max_layer_sparsity < 1 and how.granularity == "unstructured" and gone > most:
            raise ConfigError(
                f"config.prune.max_layer_sparsity={how.max_layer_sparsity}: lets {most:,} of {sum(sizes):,} weights "
                f"go, and {self._asked()} asks for {gone:,}; ask for less, or raise it"
            )

    def _asked(self) -> str:
        """The key that says how often, or how much, is pruned, with its value."""
        options = self._setting.options
        key = next((key for key in _KEYS if hasattr(options, key)), None)
        return f"config.{key}={getattr(options, key)!r}" if key else "config.prune"


def _unit_of(how: PruneOptions) -> str:
    """What is counted; of shares of weights, scales decide on channels until few enough weights are left."""
    return "unstructured" if how.criterion == "bn_scale" and how.ratio_of == "weights" else how.granularity


def _name(how: PruneOptions) -> str:
    return {"unstructured": "weights", "channel": "channels"}.get(_unit_of(how), "blocks")


def _units(shapes: Mapping[Path, tuple[int, ...]], how: PruneOptions) -> list[int]:
    """The number of units of every leaf.

    Raises:
        ConfigError: a block is larger than any leaf.
    """
    if _unit_of(how) == "unstructured":
        return [math.prod(shape) for shape in shapes.values()]
    if _unit_of(how) == "channel":
        return [shape[-1] for shape in shapes.values()]
    block: Any = granularity_of(how.granularity)
    assert isinstance(block, Block)
    sides = [(math.prod(shape[:-1]), shape[-1]) for shape in shapes.values()]
    highest, widest = max(height for height, _ in sides), max(width for _, width in sides)
    if block.rows > highest or block.cols > widest:
        raise ConfigError(
            f"config.prune.granularity={how.granularity!r}: no layer is so large; must be at most {highest} inputs and "
            f"{widest} outputs"
        )
    return [math.ceil(height / block.rows) * math.ceil(width / block.cols) for height, width in sides]
