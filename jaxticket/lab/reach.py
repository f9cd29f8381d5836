"""How much is left of a network after each pruning, counted without training, so that a plan finds what cannot be."""

import dataclasses
import functools
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jaxticket.core import masks
from jaxticket.core.errors import ConfigError
from jaxticket.core.granularities import find_granularity
from jaxticket.core.granularity import Block, Pattern, granularity_of, pool_units
from jaxticket.core.lazy import load_object
from jaxticket.core.scope_counts import UnitCounts, least_kept, numbers_of
from jaxticket.core.scopes import scope_of
from jaxticket.core.types import Mask, Path, Scores
from jaxticket.lab.prune_options import PruneOptions
from jaxticket.lab.setting import Setting

# The option of an experiment that says how often, or how much, it prunes.
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
        left, scope, ranking = self._left.get(key), scope_of(how.scope), (how.scope, how.units)
        if left is None or left.how not in (None, ranking):
            return
        if not left.shapes:
            self._setting.prunable(left.rules)  # says so
        paths, shapes, sizes = tuple(left.shapes), tuple(left.shapes.values()), _units(left.shapes, how)
        if scope.together:
            sizes = [sum(sizes)]
        alive = list(left.alive or sizes)
        counts = UnitCounts(np.array(alive, np.uint32), tuple(sizes), paths, shapes)
        rate = how.rate if sparsity is None else None
        after = (counts.kept - numbers_of(scope, counts, rate=rate, sparsity=sparsity)).tolist()
        granularity = granularity_of(how.units)
        if isinstance(granularity, Pattern):
            whole = {path: np.broadcast_to(np.True_, shape) for path, shape in left.shapes.items()}
            granularity.check(whole)
            fixed = [min(alive[0], sum(map(granularity.count, whole.values())))]
            if fixed not in (after, alive):
                raise ConfigError(
                    f"{self._asked()}: {how.units} leaves {fixed[0]:,} of {sizes[0]:,} weights, not {after[0]:,}; ask "
                    f"for sparsity {1 - fixed[0] / sizes[0]:.6g}"
                )
            after = fixed
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


def _name(how: PruneOptions) -> str:
    return find_granularity(how.units, "config.prune.granularity")[0].units


def _units(shapes: Mapping[Path, tuple[int, ...]], how: PruneOptions) -> list[int]:
    """The number of units of every leaf.

    Raises:
        ConfigError: a block is larger than any leaf.
        MaskError: the scope cannot compare them.
    """
    granularity, scope = granularity_of(how.units), scope_of(how.scope)
    if isinstance(granularity, Block):
        sides = [(math.prod(shape[:-1]), shape[-1]) for shape in shapes.values()]
        highest, widest = max(height for height, _ in sides), max(width for _, width in sides)
        if granularity.rows > highest or granularity.cols > widest:
            raise ConfigError(
                f"config.prune.granularity={how.granularity!r}: no layer is so large; must be at most {highest} inputs "
                f"and {widest} outputs"
            )
    mask: Mask = {path: jax.ShapeDtypeStruct(shape, bool) for path, shape in shapes.items()}
    scores: Scores = {path: jax.ShapeDtypeStruct(shape, jnp.float32) for path, shape in shapes.items()}
    if not isinstance(granularity, Pattern):
        mask, scores = jax.eval_shape(functools.partial(pool_units, granularity=granularity), mask, scores)
    if scope.ranks:
        jax.eval_shape(load_object(scope.ranks), mask, scores)
    return [math.prod(units.shape) for units in mask.values()]
