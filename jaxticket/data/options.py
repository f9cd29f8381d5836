"""Which data set an experiment uses, where it is looked for and how much of it is kept for validation."""

import dataclasses

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option
from jaxticket.data import registry


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """Options of the data.

    Attributes:
        name: a registered data set; `jaxticket.data.names()` lists them.
        download: whether archives that are missing may be fetched from their public address.
        folder: where data sets are looked for and decoded copies are kept; empty: the environment variable
            JAXTICKET_DATA, else `~/.cache/jaxticket/data`.
        val_fraction: share of the official training images kept for validation, in [0, 1).
        val_seed: which ones; apart from all other seeds, so that replicates share one validation split.
    """

    name: str = option("digits")
    download: bool = option(False, hashed=False)
    folder: str = option("", hashed=False)
    val_fraction: float = option(0.1, minimum=0, below=1)
    val_seed: int = option(0, minimum=0)

    def check(self, where: str) -> None:
        """Refuses unknown data sets and fractions that leave nothing to train on; reads no data.

        Raises:
            ConfigError: naming the key, the value and what is allowed.
        """
        prefix = f"config.{where}." if where else "config."
        if self.name not in registry.names():
            raise ConfigError(f"{prefix}name={self.name!r}: {registry.unknown_name(self.name)}")
        try:
            registry.spec(self.name).split_sizes(self.val_fraction)
        except ConfigError as error:
            raise ConfigError(f"{prefix}{error}") from error
