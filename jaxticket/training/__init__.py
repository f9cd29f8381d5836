"""Training: one compiled step for every level of an experiment, and the loop around it."""

from typing import TYPE_CHECKING

from jaxticket.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxticket.training.aids import Aid as Aid
    from jaxticket.training.checkpointing import epoch_saves as epoch_saves
    from jaxticket.training.early_stopping import EarlyStopping as EarlyStopping
    from jaxticket.training.interrupts import InterruptedRun as InterruptedRun
    from jaxticket.training.interrupts import Interrupts as Interrupts
    from jaxticket.training.loop import train_runs as train_runs
    from jaxticket.training.monitors import Monitor as Monitor
    from jaxticket.training.objectives import Loss as Loss
    from jaxticket.training.objectives import Metric as Metric
    from jaxticket.training.objectives import register_loss as register_loss
    from jaxticket.training.objectives import register_metric as register_metric
    from jaxticket.training.options import TrainOptions as TrainOptions
    from jaxticket.training.run_spec import RunResult as RunResult
    from jaxticket.training.run_spec import RunSpec as RunSpec
    from jaxticket.training.scores import weighted_mean as weighted_mean
    from jaxticket.training.state import Keys as Keys
    from jaxticket.training.state import TrainState as TrainState
    from jaxticket.training.state import Weights as Weights
    from jaxticket.training.trainer import Trainer as Trainer

__getattr__, __dir__, __all__ = lazy_exports(__name__)
