"""What the losses of a run so far say about how it goes on."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxticket.training.early_stopping import EarlyStopping
from jaxticket.training.options import TrainOptions
from jaxticket.training.schedules import plateau_factor


def is_spent(options: TrainOptions, history: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the patience with the validation loss is at its end."""
    if not options.patience:
        return False
    stopping = EarlyStopping(options.patience)
    return any(stopping.update(loss) for loss in _losses(history, "val_loss"))


def learning_rate_factor(options: TrainOptions, history: Sequence[Mapping[str, Any]]) -> float:
    """What the learning rate is multiplied with from now on, beyond its schedule."""
    if options.schedule != "plateau":
        return 1.0
    names = ("val_loss", "train_objective", "train_loss")
    return plateau_factor(options, next(filter(None, (_losses(history, name) for name in names)), []))


def _losses(history: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [record[name] for record in history if record.get(name) is not None]
