"""Aids for training a sparse network: soft activations, ghost skips, label smoothing, learned scales, schedules."""

from typing import TYPE_CHECKING

from jaxticket.core.lazy import lazy_exports

if TYPE_CHECKING:
    from jaxticket.recipes.annealing import annealed as annealed
    from jaxticket.recipes.annealing import soft_phase as soft_phase
    from jaxticket.recipes.ghost_skips import ghost_parameters as ghost_parameters
    from jaxticket.recipes.ghost_skips import ghost_plan as ghost_plan
    from jaxticket.recipes.ghost_skips import with_ghosts as with_ghosts
    from jaxticket.recipes.learned_scales import Rescaled as Rescaled
    from jaxticket.recipes.learned_scales import lrsi as lrsi
    from jaxticket.recipes.learned_scales import rescale as rescale
    from jaxticket.recipes.lrsi_options import LrsiOptions as LrsiOptions
    from jaxticket.recipes.smoothing import smoothed_targets as smoothed_targets
    from jaxticket.recipes.soft import SoftActivation as SoftActivation
    from jaxticket.recipes.soft import register as register
    from jaxticket.recipes.soft import soft_activation as soft_activation

__getattr__, __dir__, __all__ = lazy_exports(__name__)
