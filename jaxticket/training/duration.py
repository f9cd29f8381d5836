"""How long a training run is."""

import dataclasses
import math

from jaxticket.core.errors import ConfigError
from jaxticket.training.options import TrainOptions


@dataclasses.dataclass(frozen=True)
class Duration:
    """The length of a run: steps in an epoch, and in all.

    Example:
        >>> from jaxticket.training import TrainOptions
        >>> Duration.of(TrainOptions(epochs=3, batch_size=16), images=70)
        Duration(steps_per_epoch=4, total_steps=12)
    """

    steps_per_epoch: int
    total_steps: int

    @classmethod
    def of(cls, options: TrainOptions, images: int) -> "Duration":
        """The duration of training on `images` images.

        Raises:
            ConfigError: a batch holds more images than there are, or something of the options lies past the end.
        """
        if options.batch_size > images:
            raise ConfigError(
                f"config.train.batch_size={options.batch_size}: must be at most the {images} training images"
            )
        per_epoch = images // options.batch_size
        options.check_length(per_epoch)
        return cls(per_epoch, options.total_steps(per_epoch))

    @property
    def epochs(self) -> int:
        """Epochs, the last one counted even where it is cut short."""
        return math.ceil(self.total_steps / self.steps_per_epoch)
