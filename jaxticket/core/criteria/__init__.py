"""Criteria: a score for every prunable weight, higher = keep; one file for each close family."""
