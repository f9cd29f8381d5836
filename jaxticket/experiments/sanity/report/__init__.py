"""The sections that reports of the sanity checks have."""
