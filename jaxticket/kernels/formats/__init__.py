"""Sparse weights: how the kept part of a kernel is stored."""
