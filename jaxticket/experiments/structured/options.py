"""Options of the experiment with structured tickets."""

import dataclasses

from jaxticket.core.criteria import criteria_of_initial_weights
from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option
from jaxticket.lab.options import ExperimentOptions, check_train_levels
from jaxticket.lab.prune_options import PruneOptions
from jaxticket.structure.regroup.block_columns import RULES
from jaxticket.structure.regroup.options import RegroupOptions

_SOURCES = ("imp", "omp", "ticket")
METHODS = ("refill", "refill_plus", "regroup")
FEATURES = ("l1", "l2", "saliency")
SLIM = ("bn_scale", "magnitude", *FEATURES)


@dataclasses.dataclass(frozen=True)
class RefillOptions:
    """How survivors become whole channels.

    Attributes:
        criterion: which channels stay: by the `magnitude` of the kept weights, trained under the unstructured mask; by
            how many weights `remain`; or by the layer's output on training images, |F| (`l1`), F^2 (`l2`) or |F dL/dF|
            (`saliency`).
        rate: for `refill_plus`, the share of the other channels that stay as well; 0.2 fits the paper's figures.
        fractional: keep exactly as many weights as the unstructured mask, and so a part of the last channel.
        min_channels: the fewest channels that a layer keeps.
        images_per_class: training images per class for `l1`, `l2` and `saliency`.
    """

    criterion: str = option("magnitude", choices=("magnitude", "remain", *FEATURES))
    rate: float = option(0.2, above=0, maximum=1)
    fractional: bool = option(False)
    min_channels: int = option(1, minimum=1)
    images_per_class: int = option(10, minimum=1)


@dataclasses.dataclass(frozen=True)
class StructuredOptions(ExperimentOptions):
    """Tickets whose scattered weights become whole channels or dense blocks, rewound and trained again.

    Attributes:
        source: where the unstructured masks come from: rounds of magnitude pruning and rewinding (`imp`), one shot of
            `prune.criterion` on the dense network (`omp`), a criterion on the initial weights (`random`, `snip`,
            `grasp`, `synflow`, ...), or a saved `ticket`.
        ticket: the folder of the ticket, for the source `ticket`.
        levels: number of masks; level k has the share (1 - prune.rate)^k of the prunable weights. A ticket is level 1.
        prune: what a round removes.
        methods: how each mask becomes structured: `refill`, `refill_plus`, `regroup`, each a branch of the rows. The
            unstructured ticket, a branch named after its source, is always trained, for the scores and to compare with.
        refill: options of `refill` and `refill_plus`.
        regroup: options of `regroup` and `group_aware`.
        rewind_epochs: the epoch that all weights and statistics are rewound to; 0 for the initial weights.
        retrain: after a rewind, the `full` schedule or the `remaining` part of it.
        random_tickets: whether to train every structured mask from other initial weights too, by the full schedule, as
            a control: branch `<method>_random`.
        train_levels: the levels at which the structured tickets, their controls and the channel pruning are trained;
            empty for all. At the others only the unstructured mask is found, and with `imp` its network trained.
        group_aware: whether to run rounds of pruning too in which every mask is regrouped before it is trained: branch
            `imp_regroup`, with the source `imp`.
        group_aware_rule: how the columns of these masks are chosen, instead of `regroup.rule`: `budget` keeps as many
            weights as a round has left, while `row_budget` adds back about as many as a round removes.
        channel_criterion: baselines that prune channels of the dense network to the number of weights of the
            unstructured ticket, by the mean over a channel of |scale of the normalisation| (`bn_scale`), |w|
            (`magnitude`), |F| (`l1`), F^2 (`l2`) or |F dL/dF| (`saliency`): branches `slim_<criterion>`.
        channel_floor: the smallest share of its channels that channel pruning leaves a layer.
    """

    source: str = option("imp", choices=lambda: (*_SOURCES, *criteria_of_initial_weights()))
    ticket: str = ""
    levels: int = option(4, minimum=1)
    prune: PruneOptions = PruneOptions()
    methods: tuple[str, ...] = option(METHODS, choices=METHODS, unique=True)
    refill: RefillOptions = RefillOptions()
    regroup: RegroupOptions = RegroupOptions()
    rewind_epochs: int = option(1, minimum=0, within="epochs")
    retrain: str = option("full", choices=("full", "remaining"))
    random_tickets: bool = option(True)
    train_levels: tuple[int, ...] = option((), minimum=1, increasing=True)
    group_aware: bool = option(False)
    group_aware_rule: str = option("budget", choices=RULES, only=("group_aware", True))
    channel_criterion: tuple[str, ...] = option((), choices=SLIM, unique=True)
    channel_floor: float = option(0.1, minimum=0, maximum=1)

    @property
    def regroup_of_rounds(self) -> RegroupOptions:
        """How group-aware rounds regroup."""
        how = dataclasses.replace(self.regroup, rule=self.group_aware_rule)
        if self.group_aware_rule != "min_count":  # which alone uses these
            how = dataclasses.replace(how, min_rows_per_column=0, min_columns=0, until_empty=False)
        return how

    @property
    def scores_initial_weights(self) -> bool:
        """Whether the source is a criterion."""
        return self.source not in _SOURCES

    def is_trained(self, level: int) -> bool:
        """Whether everything is trained at a level."""
        return not self.train_levels or level in self.train_levels

    def check(self, where: str) -> None:
        """Refuses what does not exist, does not go together or would not be used."""
        super().check(where)
        if not (self.methods or self.group_aware or self.channel_criterion):
            raise ConfigError(f"config.methods=(): must be at least one of {', '.join(METHODS)}")
        if (self.source == "ticket") != bool(self.ticket):
            raise ConfigError(
                f"config.ticket={self.ticket!r} with source={self.source!r}: source='ticket' needs the folder of a "
                "ticket, and only that uses one"
            )
        check_train_levels(self.train_levels, self.levels)
        if self.source == "ticket" and self.levels != 1:
            raise ConfigError(f"config.levels={self.levels}: a ticket is one level; set 1")
        if self.group_aware and self.source != "imp":
            raise ConfigError(f"config.group_aware=True: needs source='imp', found {self.source!r}")
        if self.scores_initial_weights and self.prune.criterion != "magnitude":
            raise ConfigError(
                f"config.prune.criterion={self.prune.criterion!r}: source={self.source!r} sets it; leave it"
            )
        if self.prune.granularity != "unstructured":
            raise ConfigError(
                f"config.prune.granularity={self.prune.granularity!r}: the masks to be structured are 'unstructured'"
            )
        if self.retrain == "remaining" and not self.rewind_epochs:
            raise ConfigError("config.retrain='remaining': needs rewind_epochs above 0")
