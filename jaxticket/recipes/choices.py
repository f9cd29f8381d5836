"""The choices that aids of training have, for options that load nothing heavy."""

SMOOTHINGS = ("off_target", "uniform")
GHOST_LAYERS = ("auto", "conv", "dense")
GHOST_STARTS = ("constant", "bn_gamma0")
