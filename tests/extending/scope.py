"""A scope of one's own: every layer keeps a number of weights in proportion to the square root of its size.

jaxticket run --config=tests/extending/scope.py --workdir=runs
"""

import jax
import numpy as np

import jaxticket as jt
from jaxticket.core.scope_counts import UnitCounts, share_out
from jaxticket.experiments import default_config
from jaxticket.lab.presets import apply_preset


def square_root(counts: UnitCounts, *, rate: float | None, sparsity: float | None) -> np.ndarray | jax.Array:
    """How many units are removed from each layer, uint32 [layers]; the total is exact."""
    left = counts.left(rate=rate, sparsity=sparsity)
    return counts.kept - share_out(left, [size**0.5 for size in counts.sizes], counts.kept)


jt.scopes.register(jt.Scope("square_root", square_root))


def get_config():
    config = default_config("oneshot")
    apply_preset(config, "lenet300", "digits")
    config.prune.scope = "square_root"
    return config
