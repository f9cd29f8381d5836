"""The sections that reports of early-bird tickets have."""
