"""From scattered to structured: whole channels and dense blocks instead of single weights.

Functions that are named like their module are imported from there, or from `jaxticket`.
"""

from typing import TYPE_CHECKING

from jaxticket.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxticket.structure.channel_groups.channels import ChannelGroup as ChannelGroup
    from jaxticket.structure.channel_groups.channels import ChannelGroups as ChannelGroups
    from jaxticket.structure.channel_groups.channels import ChannelSlice as ChannelSlice
    from jaxticket.structure.matrix import from_matrix as from_matrix
    from jaxticket.structure.matrix import to_matrix as to_matrix
    from jaxticket.structure.prune_channels import PrunedChannels as PrunedChannels
    from jaxticket.structure.regroup.regroup import Regrouped as Regrouped
    from jaxticket.structure.shrink.resized import fit_nnx as fit_nnx
    from jaxticket.structure.shrink.resized import resized as resized
    from jaxticket.structure.shrink.shrink import Shrunk as Shrunk

__getattr__, __dir__, __all__ = lazy_exports(__name__)
