"""The sections that reports of structured tickets have."""
