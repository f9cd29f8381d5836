"""Sparse products as Pallas kernels for GPUs of the Hopper generation."""
