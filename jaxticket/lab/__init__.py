"""What experiments are made of: stages, seeds, settings, rows."""
