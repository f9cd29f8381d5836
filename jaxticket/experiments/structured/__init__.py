"""Structured tickets: refill and regroup beside their controls."""
