"""The choices that aids of training have, for options that load nothing heavy."""

SOFT_ACTIVATIONS = ("swish", "pswish", "mish", "gelu", "softplus", "elu", "lisht")
SMOOTHINGS = ("off_target", "uniform")
GHOST_LAYERS = ("auto", "conv", "dense")
GHOST_STARTS = ("constant", "bn_gamma0")
