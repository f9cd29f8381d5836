"""Sparse products as Pallas kernels for TPUs."""
