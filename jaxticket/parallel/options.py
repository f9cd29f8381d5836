"""Options of the layout of one network on several devices."""

import dataclasses

from jaxticket.core.errors import ConfigError
from jaxticket.core.options import option
from jaxticket.core.rules import check_expressions


@dataclasses.dataclass(frozen=True)
class MeshOptions:
    """The devices that train one network together; results are equal to float tolerance on any number of them.

    Attributes:
        data: number of groups of devices that a batch is divided over, each with a whole copy of the network; 0 for
            all, or in a single process for as many as divide the batch. On the CPU of a single process, several devices
            are only used if you ask for them.
        fsdp: number of devices in a group that the parameters and the optimizer's moments are divided over.
        rules: ordered pairs (regular expression of a parameter's whole path, axis to divide or -1 for none). Parameters
            that no rule matches are divided along their longest axis that `fsdp` divides; vectors and small arrays are
            not.
    """

    data: int = option(0, minimum=0)
    fsdp: int = option(1, minimum=1)
    rules: tuple[tuple[str, int], ...] = ()

    def check(self, where: str) -> None:
        """Refuses rules that are no regular expressions, or that divide nothing."""
        check_expressions(self.rules, f"{where}.rules")
        if self.rules and self.fsdp == 1:
            raise ConfigError(f"config.{where}.rules={self.rules}: only read with {where}.fsdp above 1, found 1")
