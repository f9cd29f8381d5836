"""ToST: sparse networks from any mask, trained with soft activations, ghost skips, smoothed labels, learned scales.

    jaxticket run --config=tost:model=lenet300,dataset=digits

Arguments: `model`, `dataset`, and `preset`: `default`, or `upstream` (as the authors' program: swish and ghost skips
stay to the end, learned scales come before the mask). `--config.sources='("lt","snip")'` takes other masks, of `rp`,
`omp`, `gmp`, `tp`, `snip`, `grasp`, `synflow` and `lt`; `--config.treatments='("soft+ghost",)'` other combinations;
`--config.analyse=True` compares how silent networks with several activations are.

As given above, 111 networks: three masks at two sparsities, six treatments, three seeds, and the dense ones.
"""

from jaxticket.experiments import recipe_config


def get_config(argument=None):
    return recipe_config("tost", argument, seeds=(0, 1, 2))
