"""What a training run is told: duration, optimizer, learning-rate schedule, loss, and which weights count."""

import dataclasses

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """Options of one training run; the same for every level of an experiment.

    Attributes:
        epochs: passes over the training split; 0 when `steps` is given instead.
        steps: optimizer steps; 0 when `epochs` is given.
        batch_size: images per step. An epoch is `training images // batch_size` steps over a fresh permutation, so
            the images left over differ from epoch to epoch.
        optimizer: `sgd` and `adam` add the decay to the gradient (coupled L2, as PyTorch does); `adamw` decouples it.
        lr: the learning rate after warm-up.
        momentum: of `sgd`.
        nesterov: whether the momentum of `sgd` is Nesterov's.
        weight_decay: L2 factor on every parameter.
        schedule: `constant`, `milestones` (times `gamma` at each) or `cosine` (to 0 at the end).
        milestones: epochs after which the learning rate is multiplied by `gamma`; fractions are allowed.
        gamma: the factor of `milestones`.
        warmup_epochs: length of the linear warm-up from `warmup_lr` to `lr`; milestones stay where they are.
        warmup_steps: the same in steps; at most one of the two is not 0.
        warmup_lr: the learning rate at step 0 of a warm-up.
        lr_every: whether the learning rate moves with every `step`, or stands still within an `epoch`; a warm-up by
            epochs has reached `lr` in its last one.
        label_smoothing: share of the target spread evenly over all classes, in [0, 1).
        compute_dtype: of activations and gradients; parameters and moments stay float32.
        select: which weights are reported and pruned: the `last`, or those of the epoch with the `best_val` accuracy.
        eval_epochs: epochs between evaluations on the validation split; the last epoch always has one.
        checkpoint_epochs: epochs between checkpoints; 0 makes one at the first epoch's end after a minute has passed.
        steps_per_dispatch: optimizer steps per call of the compiled loop; 0 chooses for model and device.
    """

    epochs: int = option(20, minimum=0)
    steps: int = option(0, minimum=0)
    batch_size: int = option(128, minimum=1)
    optimizer: str = option("sgd", choices=("sgd", "adam", "adamw"))
    lr: float = option(0.1, above=0)
    momentum: float = option(0.9, minimum=0, below=1)
    nesterov: bool = option(False)
    weight_decay: float = option(0.0, minimum=0)
    schedule: str = option("constant", choices=("constant", "milestones", "cosine"))
    milestones: tuple[float, ...] = option((), above=0)
    gamma: float = option(0.1, above=0, maximum=1)
    warmup_epochs: float = option(0.0, minimum=0)
    warmup_steps: int = option(0, minimum=0)
    warmup_lr: float = option(0.0, minimum=0)
    lr_every: str = option("step", choices=("step", "epoch"))
    label_smoothing: float = option(0.0, minimum=0, below=1)
    compute_dtype: str = option("float32", choices=("float32", "bfloat16"))
    select: str = option("last", choices=("last", "best_val"))
    eval_epochs: int = option(1, minimum=1)
    checkpoint_epochs: int = option(0, minimum=0, hashed=False)
    steps_per_dispatch: int = option(0, minimum=0, hashed=False)

    def check(self, where: str) -> None:
        """Refuses combinations that contradict each other."""
        if self.epochs and self.steps:
            raise ConfigError(
                f"config.{where}.steps={self.steps}: {where}.epochs={self.epochs} is set too; set one of them to 0"
            )
        if not self.epochs and not self.steps:
            raise ConfigError(f"config.{where}.epochs=0: set epochs or steps to at least 1")
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
            raise ConfigError(f"config.{where}.milestones=(): schedule='milestones' needs at least one epoch")
        if self.milestones and self.schedule != "milestones":
            raise ConfigError(
                f"config.{where}.milestones={self.milestones}: only schedule='milestones' uses them, "
                f"found {self.schedule!r}"
            )
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ConfigError(
                f"config.{where}.milestones={self.milestones}: must be increasing epochs, such as (80, 120)"
            )
        if self.epochs and self.warmup_epochs > self.epochs:
            raise ConfigError(
                f"config.{where}.warmup_epochs={self.warmup_epochs}: must be at most epochs={self.epochs}"
            )
        if self.steps and self.warmup_steps > self.steps:
            raise ConfigError(f"config.{where}.warmup_steps={self.warmup_steps}: must be at most steps={self.steps}")
