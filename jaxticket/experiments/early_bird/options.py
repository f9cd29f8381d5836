"""Options of the experiment with early-bird tickets."""

import dataclasses

from jaxticket.analysis.mask_convergence import RULES
from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option
from jaxticket.lab.options import ExperimentOptions
from jaxticket.lab.prune_options import PruneOptions

RETRAIN = ("inherit", "rewind", "reinit")


def distance_by_chance(ratio: float) -> float:
    """The mean distance of two random masks that both remove a share `ratio`: 2p(1 - p)."""
    return 2 * ratio * (1 - ratio)


@dataclasses.dataclass(frozen=True)
class EarlyBirdOptions(ExperimentOptions):
    """Tickets drawn early in training, when the mask that pruning would give has settled, and trained on.

    Attributes:
        kind: what is pruned: whole channels by the scale of their normalisation (`channel`), or single weights by
            magnitude (`unstructured`).
        ratios: shares of the channels, or of the weights, to remove; increasing. Level k of the rows is the k-th, level
            0 the dense network.
        rule: when a ticket emerges: the newest mask is near each of the `window` last ones (`latest_vs_window`), or
            each of the last `window` distances from one mask to the next is small (`consecutive`).
        window: number of masks, or of distances, that the rule considers.
        epsilon: the largest distance allowed, a share of the channels or weights.
        epsilon_scale: unit of `epsilon`: the distance itself (`none`, as in the paper), or the distance of two random
            masks of the ratio p, 2p(1 - p) (`chance`): 0.5 is then half of chance at every ratio.
        every_steps: optimizer steps between two measurements of the masks; 0 measures after every epoch.
        on_emerge: what the dense training does when the tickets of all ratios have emerged: `continue` to its end, to
            compare with, or `stop`; a dense network, if wanted, is then trained separately.
        retrain: where a drawn ticket continues from: the weights it was drawn from (`inherit`), the initial weights
            (`rewind`), or, as a control, other initial weights, a fresh draw for each ratio (`reinit`); each is a
            branch `eb_<name>`.
        schedule: for `inherit`, the `remaining` learning rates and epochs, or the `full` schedule again; a ticket drawn
            at the end of training, `rewind` and `reinit` always have the full one.
        draw_epochs: epochs after which tickets are also drawn, whether or not they have emerged: branches
            `draw_<epoch>`.
        draw_weights: for `draw_epochs`, the weights of the epoch itself (`exact`), or the best so far by validation
            accuracy.
        random: whether to train, for every ratio, as many channels of every layer as the early bird has, chosen at
            random (or weights, if `unstructured`), from the same weights, in the way of the first of `retrain`: branch
            `random`, the control for the choice of channels.
        late: whether to prune the trained dense network too and train it again by the full schedule: branch `late`.
        dense: whether the dense network is a row; it is trained anyway if something else needs it.
        min_channels: the fewest channels that a layer keeps.
        prune: for `unstructured`, its `scope` and `rules`; the rest is not used.
    """

    kind: str = option("channel", choices=("channel", "unstructured"))
    ratios: tuple[float, ...] = option((0.3, 0.5, 0.7), above=0, below=1, nonempty=True, increasing=True)
    rule: str = option("latest_vs_window", choices=RULES)
    window: int = option(5, minimum=1)
    epsilon: float = option(0.1, minimum=0, maximum=1)
    epsilon_scale: str = option("none", choices=("none", "chance"))
    every_steps: int = option(0, minimum=0, up_to="steps")
    on_emerge: str = option("continue", choices=("continue", "stop"))
    retrain: tuple[str, ...] = option(("inherit",), choices=RETRAIN, nonempty=True, unique=True)
    schedule: str = option("remaining", choices=("remaining", "full"))
    draw_epochs: tuple[int, ...] = option((), minimum=1, increasing=True, up_to="epochs")
    draw_weights: str = option("exact", choices=("exact", "best"))
    random: bool = option(True)
    late: bool = option(True)
    dense: bool = option(True)
    min_channels: int = option(1, minimum=1, only=("kind", "channel"))
    prune: PruneOptions = PruneOptions()

    def check(self, where: str) -> None:
        """Refuses what does not exist, does not go together or would not be used."""
        super().check(where)
        if self.rule == "latest_vs_window" and self.window < 2:
            raise ConfigError(f"config.window={self.window}: rule='latest_vs_window' compares at least 2 masks")
        if self.schedule == "full" and "inherit" not in self.retrain:
            raise ConfigError("config.schedule='full': only retrain=('inherit',) can have another; leave it")
        self._check_draws()
        if self.on_emerge == "stop" and self.seed_parallelism in ("vmap", "devices"):
            raise ConfigError(
                f"config.seed_parallelism={self.seed_parallelism!r}: with on_emerge='stop' seeds are trained one after "
                "the other; use 'auto'"
            )
        if self.kind == "channel" and self.prune.is_more_than("rules"):
            raise ConfigError("config.prune: kind='channel' ranks scales and reads only its rules; leave the rest")
        if self.kind == "unstructured" and self.prune.is_more_than("scope", "rules"):
            raise ConfigError("config.prune: kind='unstructured' ranks magnitudes, by scope and rules; leave the rest")

    @property
    def epsilons(self) -> float | tuple[float, ...]:
        """The largest distance; one for each ratio where it is measured in units of chance."""
        if self.epsilon_scale == "none":
            return self.epsilon
        return tuple(self.epsilon * distance_by_chance(ratio) for ratio in self.ratios)

    def _check_draws(self) -> None:
        if self.draw_epochs and self.on_emerge == "stop":
            raise ConfigError(f"config.draw_epochs={self.draw_epochs}: needs on_emerge='continue', found 'stop'")
        if self.draw_epochs and self.train.patience:
            raise ConfigError(
                f"config.draw_epochs={self.draw_epochs}: training may end before with "
                f"train.patience={self.train.patience}; set one of them to its default"
            )
        if self.draw_weights == "best":
            if not self.draw_epochs:
                raise ConfigError("config.draw_weights='best': only draw_epochs use it; give some, or leave it")
            if not self.data.val_fraction:
                raise ConfigError("config.draw_weights='best': needs config.data.val_fraction above 0, found 0")
