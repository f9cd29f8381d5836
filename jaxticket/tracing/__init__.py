"""Looking into functions while they are traced: operations of a jaxpr, and calls of Linen modules.

Both know nothing of pruning. Functions are imported from their modules.
"""
