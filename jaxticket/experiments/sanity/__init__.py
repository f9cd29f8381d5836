"""Sanity checks: is a winning ticket really winning?"""
