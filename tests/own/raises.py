"""A file that cannot be executed."""

half = 1 / 0
