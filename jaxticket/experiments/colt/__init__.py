"""Cyclic overlapping lottery tickets."""
