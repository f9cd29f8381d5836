"""From scattered to structured: whole channels and dense blocks in the place of single weights.

Functions that are named like their module are imported from there, or from `jaxticket`.
"""

from typing import TYPE_CHECKING

from jaxticket.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxticket.structure.budgets import PrunedChannels as PrunedChannels
    from jaxticket.structure.channels import ChannelGroups as ChannelGroups
    from jaxticket.structure.channels import Group as Group
    from jaxticket.structure.channels import Slice as Slice
    from jaxticket.structure.matrix import from_matrix as from_matrix
    from jaxticket.structure.matrix import kernel_rows as kernel_rows
    from jaxticket.structure.matrix import to_matrix as to_matrix
    from jaxticket.structure.regroup import Regrouped as Regrouped
    from jaxticket.structure.shrink import Shrunk as Shrunk
    from jaxticket.structure.shrinking.resized import fit_nnx as fit_nnx
    from jaxticket.structure.shrinking.resized import resized as resized

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "budgets": ("PrunedChannels",),
        "channels": ("ChannelGroups", "Group", "Slice"),
        "matrix": ("from_matrix", "kernel_rows", "to_matrix"),
        "regroup": ("Regrouped",),
        "shrinking.resized": ("fit_nnx", "resized"),
        "shrink": ("Shrunk",),
    },
)
