"""Options of a training run: duration, optimizer, learning-rate schedule, loss, and which weights count."""

import dataclasses
import math
from collections.abc import Iterator

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option
from jaxticket.core.spans import EVERY, Length, Span, check_spans
from jaxticket.recipes.choices import SMOOTHINGS
from jaxticket.training.objectives import LOSSES, METRICS, Loss

SCHEDULES = ("constant", "milestones", "step", "cosine", "cosine_restarts", "cyclic", "plateau")


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """Options of one training run; the same for every level of an experiment.

    Attributes:
        epochs: passes over the training split; 0 if you set `steps` instead.
        steps: optimizer steps; 0 if you set `epochs`.
        batch_size: images per step. An epoch is `training images // batch_size` steps over a fresh permutation, so
            the images left over differ from epoch to epoch.
        optimizer: `sgd`, `adam` and `adadelta` add the decay to the gradient (coupled L2, as PyTorch does); `adamw`
            decouples it.
        lr: the learning rate after warm-up.
        momentum: the momentum of `sgd`.
        nesterov: whether the momentum of `sgd` is Nesterov's.
        weight_decay: L2 factor on every parameter.
        clip_norm: the largest global norm of the gradient, of all kept weights together; a larger one is scaled down to
            it, before decay and momentum. 0 for no limit.
        accumulate_steps: batches whose gradients are averaged into one update. Epochs, `steps` and schedules count
            batches, and normalisations see one at a time; gradients that fill no update at the end change nothing.
        ema_decay: evaluate, prune and store an exponential moving average of the weights instead of the weights
            themselves: those of k updates ago count this to the power of k. 0 for none.
        loss: what is trained on, a registered loss or `FILE.py:FUNCTION`: `cross_entropy` of classes,
            `mean_squared_error`, `mean_absolute_error` or `huber` of numbers, `sigmoid_cross_entropy` of several labels
            at once.
        score: the metric that stands for accuracy, higher is better, registered or `FILE.py:FUNCTION`; empty:
            `accuracy` of classes, else that of the loss, `r2` of numbers.
        metrics: other metrics that rows have, such as `accuracy_per_class` or `FILE.py:FUNCTION`.
        bn_l1: strength of an L1 penalty on the scales of normalisations, by its subgradient (network slimming, Liu et
            al. 2017, section 3); 1e-4 is usual. The reported loss is without it.
        schedule: `constant`; `milestones` (times `gamma` at each); `step` (times `gamma` every `step_epochs`); `cosine`
            (to `min_lr` at the end); `cosine_restarts` (again and again, Loshchilov and Hutter 2017); `cyclic`
            (triangles from `min_lr`, Smith 2017); `plateau` (times `gamma` when the validation loss, or the training
            loss where there is no validation split, has stopped falling).
        milestones: when the learning rate is multiplied by `gamma`: as shares of the length of training, all below 1,
            or as numbers of epochs, all at least 1; fractions are allowed.
        gamma: the factor of `milestones`, `step` and `plateau`.
        step_epochs: epochs between two drops of `step`.
        restart_epochs: length of the first cosine of `cosine_restarts`.
        restart_factor: each further cosine is this many times as long as the one before it.
        cycle_up_epochs: epochs in which the rate of `cyclic` rises to `lr`.
        cycle_down_epochs: epochs in which it falls back to `min_lr`.
        plateau_patience: how many evaluations in a row may bring no loss lower by a ten-thousandth before
            `plateau` drops at the next.
        min_lr: the lowest learning rate of `cosine`, `cosine_restarts`, `cyclic` and `plateau`.
        warmup_epochs: length of the linear warm-up from `warmup_lr` to `lr`; it does not move the milestones.
        warmup_steps: the same in steps; set only one of the two.
        warmup_lr: the learning rate at step 0 of a warm-up.
        lr_update: change the learning rate with every `step`, or only between epochs (`epoch`); a warm-up by epochs
            then reaches `lr` in its last epoch.
        label_smoothing: share of the target that is taken from the label, in [0, 1).
        label_smoothing_kind: how that share is spread: over all classes equally, the label's own too (`uniform`), or
            over the others only (`off_target`; Jaiswal et al. 2022).
        smoothing_schedule: keep that share `constant`, or lower it in a straight line to 0 at the end (`linear`).
        compute_dtype: dtype of activations and gradients; parameters and moments stay float32.
        patience: end training after this many evaluations in a row without a lower validation loss; 0 for never.
        select_checkpoint: which weights are reported and pruned: the `last` ones, or those of the epoch with the best
            validation accuracy (`best_val`).
        report: which weights the numbers of a row are measured on, if not on those of `select_checkpoint` (`selected`);
            it does not change what is pruned.
        eval_epochs: epochs between evaluations on the validation split; the last epoch always has one.
        save_epochs: epochs, counted from 1, after which the weights of every network are saved, and with them the best
            ones so far by validation accuracy. A run that ends before such an epoch, or begins after it, has no such
            weights.
        checkpoint_epochs: epochs between checkpoints; 0 makes one at the first epoch's end after a minute has passed.
        steps_per_dispatch: optimizer steps per call of the compiled loop; 0 chooses by model and device.

    Example:
        >>> from jaxticket import training
        >>> training.TrainOptions(epochs=3, optimizer="adam", lr=1e-3).total_steps(steps_per_epoch=10)
        30
    """

    epochs: int = option(20, minimum=0)
    steps: int = option(0, minimum=0)
    batch_size: int = option(128, minimum=1)
    optimizer: str = option("sgd", choices=("sgd", "adam", "adamw", "adadelta"))
    lr: float = option(0.1, above=0)
    momentum: float = option(0.9, minimum=0, below=1)
    nesterov: bool = option(False)
    weight_decay: float = option(0.0, minimum=0)
    clip_norm: float = option(0.0, minimum=0)
    accumulate_steps: int = option(1, minimum=1, up_to="steps")
    ema_decay: float = option(0.0, minimum=0, below=1)
    loss: str = option("cross_entropy", choices=LOSSES.names)
    score: str = option("", choices=lambda: ["", *METRICS.names()])
    metrics: tuple[str, ...] = option((), choices=METRICS.names, unique=True)
    bn_l1: float = option(0.0, minimum=0)
    schedule: str = option("constant", choices=SCHEDULES)
    milestones: tuple[float, ...] = option((), above=0, increasing=True, only=("schedule", "milestones"))
    gamma: float = option(0.1, above=0, maximum=1)
    step_epochs: float = option(30.0, above=0, within="epochs", only=("schedule", "step"))
    restart_epochs: float = option(5.0, above=0, within="epochs", only=("schedule", "cosine_restarts"))
    restart_factor: float = option(2.0, minimum=1, maximum=1000, only=("schedule", "cosine_restarts"))
    cycle_up_epochs: float = option(5.0, above=0, within="epochs", only=("schedule", "cyclic"))
    cycle_down_epochs: float = option(10.0, above=0, within="epochs", only=("schedule", "cyclic"))
    plateau_patience: int = option(10, minimum=0, only=("schedule", "plateau"))
    min_lr: float = option(0.0, minimum=0, only=("schedule", "cosine", "cosine_restarts", "cyclic", "plateau"))
    warmup_epochs: float = option(0.0, minimum=0, within="epochs")
    warmup_steps: int = option(0, minimum=0, within="steps")
    warmup_lr: float = option(0.0, minimum=0)
    lr_update: str = option("step", choices=("step", "epoch"))
    label_smoothing: float = option(0.0, minimum=0, below=1)
    label_smoothing_kind: str = option("uniform", choices=SMOOTHINGS)
    smoothing_schedule: str = option("constant", choices=("constant", "linear"))
    compute_dtype: str = option("float32", choices=("float32", "bfloat16"))
    patience: int = option(0, minimum=0)
    select_checkpoint: str = option("last", choices=("last", "best_val"))
    report: str = option("selected", choices=("selected", "last", "best_val"))
    eval_epochs: int = option(1, minimum=1, every="epochs")
    save_epochs: tuple[int, ...] = option((), minimum=1, up_to="epochs", increasing=True)
    checkpoint_epochs: int = option(0, minimum=0, hashed=False, every="epochs")
    steps_per_dispatch: int = option(0, minimum=0, hashed=False)

    @property
    def loss_row(self) -> Loss:
        """The loss."""
        return LOSSES.get(self.loss, "train.loss")

    @property
    def trains(self) -> bool:
        """Whether there is any step; without one a network is only evaluated."""
        return bool(self.epochs or self.steps)

    @property
    def computed(self) -> "TrainOptions":
        """These options without what the weights of a training do not depend on: what is kept of it and reported."""
        return dataclasses.replace(self, save_epochs=(), report=TrainOptions.report)

    @property
    def without_metrics(self) -> "TrainOptions":
        """These options without what is measured besides."""
        return dataclasses.replace(self, metrics=())

    @property
    def evaluated(self) -> "TrainOptions":
        """These options without what no evaluation depends on."""
        kept = ("batch_size", "compute_dtype", "loss", "score", "metrics")
        return TrainOptions(**{name: getattr(self, name) for name in kept})

    @property
    def reported(self) -> str:
        """Which weights the numbers of a row are of: `last` or `best_val`."""
        return self.select_checkpoint if self.report == "selected" else self.report

    def total_steps(self, steps_per_epoch: int) -> int:
        """Optimizer steps of a run."""
        return self.steps or self.epochs * steps_per_epoch

    def length(self, steps_per_epoch: int | None = None) -> dict[str, float]:
        """How long a run is, by unit: `epochs`, `steps` and `evaluations`.

        What is not known yet is left out, and all of it where nothing is trained.

        Args:
            steps_per_epoch: None where the data is not known; of training by steps nothing else is known then.
        """
        known: dict[str, float] = {}
        if not self.trains:
            return known
        if self.steps or steps_per_epoch is not None:
            known["steps"] = self.total_steps(steps_per_epoch or 0)
        if not self.steps or steps_per_epoch is not None:
            known["epochs"] = self.steps / (steps_per_epoch or 1) if self.steps else self.epochs
            known["evaluations"] = math.ceil(math.ceil(known["epochs"]) / self.eval_epochs)
        return known

    def milestone_steps(self, steps_per_epoch: int, total_steps: int) -> tuple[int, ...]:
        """The numbers of optimizer steps after which the milestones act."""
        return tuple(round(at * (total_steps if at < 1 else steps_per_epoch)) for at in self.milestones)

    def spans(self, length: Length, where: str) -> Iterator[Span]:
        """Durations that are checked against the length of training, besides each key by itself."""
        if "epochs" not in length:
            return
        epochs, evaluations = length["epochs"], length["evaluations"]
        if self.patience:
            # The first evaluation has nothing to be compared with, and after the last one training is over anyway.
            yield Span(f"{where}.patience", self.patience, self.patience + 1, evaluations, "evaluations")
        if self.schedule == "plateau":
            key, waits = f"{where}.plateau_patience", self.plateau_patience
            yield Span(key, waits, waits + 2, evaluations, "evaluations")
        if self.schedule == "cyclic":
            key, whole = f"{where}.cycle_down_epochs", self.cycle_up_epochs + self.cycle_down_epochs
            yield Span(key, self.cycle_down_epochs, whole, epochs, "epochs", EVERY)
        for at in self.milestones:
            if at >= 1:
                remedy = "give shares of training, such as (0.5, 0.75), or earlier epochs"
                yield Span(f"{where}.milestones", self.milestones, at, epochs, "epochs", remedy=remedy)

    def check_length(self, steps_per_epoch: int, where: str = "train") -> None:
        """Refuses what does not fit into training, or would not act in it, once the number of steps is known.

        Raises:
            ConfigError: naming the key, its value and what training has.
        """
        if not self.trains:
            return
        check_spans(self, self.length(steps_per_epoch), where)
        total = self.total_steps(steps_per_epoch)
        drops = self.milestone_steps(steps_per_epoch, total)
        if self.lr_update == "epoch":
            drops = tuple(math.ceil(step / steps_per_epoch) * steps_per_epoch for step in drops)
        if sorted({0, *drops, total}) != [0, *drops, total]:
            raise ConfigError(
                f"config.{where}.milestones={self.milestones}: come to the steps {', '.join(map(str, drops))} of "
                f"{total}, must come to different ones before the end; train longer, or give fewer"
            )
        warmup = self.warmup_steps or round(self.warmup_epochs * steps_per_epoch)
        if drops and warmup > drops[0]:
            key = "warmup_steps" if self.warmup_steps else "warmup_epochs"
            raise ConfigError(
                f"config.{where}.{key}={getattr(self, key)}: {warmup} steps, must have ended at the first of "
                f"{where}.milestones={self.milestones}, {drops[0]} steps; shorten it, or train longer"
            )

    def check(self, where: str) -> None:
        """Refuses combinations that contradict each other."""
        if self.epochs and self.steps:
            raise ConfigError(
                f"config.{where}.steps={self.steps}: {where}.epochs={self.epochs} is set too; set one of them to 0"
            )
        if self.warmup_epochs and self.warmup_steps:
            raise ConfigError(
                f"config.{where}.warmup_steps={self.warmup_steps}: {where}.warmup_epochs is set too; set one to 0"
            )
        if self.nesterov and (self.optimizer != "sgd" or not self.momentum):
            raise ConfigError(
                f"config.{where}.nesterov=True: needs optimizer='sgd' and momentum above 0, "
                f"found {self.optimizer!r} and {self.momentum}"
            )
        if self.schedule == "milestones" and not self.milestones:
            raise ConfigError(f"config.{where}.milestones=(): schedule='milestones' needs at least one, such as (0.5,)")
        for key in ("label_smoothing_kind", "smoothing_schedule"):
            if getattr(self, key) != getattr(TrainOptions, key) and not self.label_smoothing:
                raise ConfigError(
                    f"config.{where}.{key}={getattr(self, key)!r}: needs {where}.label_smoothing above 0, found 0"
                )
        columns = [METRICS.get(name, f"{where}.metrics").column for name in self.metrics]
        if twice := [name for name in columns if columns.count(name) > 1 or name in ("loss", "accuracy_pruned")]:
            raise ConfigError(
                f"config.{where}.metrics={self.metrics}: rows have a column test_{twice[0]} already; rename it"
            )
        if self.label_smoothing and self.loss != TrainOptions.loss:
            raise ConfigError(
                f"config.{where}.label_smoothing={self.label_smoothing}: smooths the labels of cross_entropy, found "
                f"{where}.loss={self.loss!r}; set it to 0"
            )
        if self.min_lr >= self.lr:
            raise ConfigError(f"config.{where}.min_lr={self.min_lr}: must be less than lr={self.lr}")
        if len({at < 1 for at in self.milestones}) > 1:
            raise ConfigError(
                f"config.{where}.milestones={self.milestones}: must be all shares of training below 1, such as "
                "(0.5, 0.75), or all epochs from 1 on, such as (80, 120)"
            )
        if self.trains:
            check_spans(self, self.length(), where)
