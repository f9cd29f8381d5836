"""Sparse products as XLA operations, on any device."""
