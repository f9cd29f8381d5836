"""A criterion of one's own: the weights that grew most in training stay (Zhou et al. 2019, "magnitude increase").

jaxticket run --config=tests/extending/criterion.py --workdir=runs
"""

import jaxticket as jt
from jaxticket.core.types import Mask, Params, Scores
from jaxticket.experiments import default_config
from jaxticket.lab.presets import apply_preset


def magnitude_increase(params: Params, mask: Mask, initial: Params) -> Scores:
    """|final weight| - |initial weight|, path -> float32 array of the leaf's shape."""
    final, first = jt.magnitude(params, mask), jt.magnitude(initial, mask)
    return {path: final[path] - first[path] for path in mask}


jt.criteria.register(jt.Criterion("magnitude_increase", magnitude_increase, needs=("initial", "trained")))


def get_config():
    config = default_config("oneshot")
    apply_preset(config, "lenet300", "digits")
    config.prune.criterion = "magnitude_increase"
    return config
