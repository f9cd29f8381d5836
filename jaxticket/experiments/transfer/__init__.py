"""Tickets found on one data set, trained on another."""
