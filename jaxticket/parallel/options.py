"""Options of the layout of one network on several devices."""

import dataclasses

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option
from jaxticket.core.rules import check_expressions


@dataclasses.dataclass(frozen=True)
class MeshOptions:
    """The devices that train one network together; results are equal to float tolerance on any number of them.

    Attributes:
        data: over how many groups of devices a batch is divided, each of which holds the whole network; 0 for all, or
            in a single process for as many as divide the batch. On the CPU of a single process several devices are only
            used when they are asked for.
        fsdp: over how many devices of a group the parameters and the optimizer's moments are divided.
        rules: ordered pairs (regular expression of a parameter's whole path, axis that is divided or -1 for none). What
            no rule names is divided along its longest axis that `fsdp` divides; vectors and small leaves are not.
    """

    data: int = option(0, minimum=0)
    fsdp: int = option(1, minimum=1)
    rules: tuple[tuple[str, int], ...] = ()

    def check(self, where: str) -> None:
        """Refuses rules that are no regular expressions, or that divide nothing."""
        check_expressions(self.rules, f"{where}.rules")
        if self.rules and self.fsdp == 1:
            raise ConfigError(f"config.{where}.rules={self.rules}: only read with {where}.fsdp above 1, found 1")
