"""Where images come from: one file for each format or archive."""
