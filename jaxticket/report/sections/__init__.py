"""The parts of a report's page, each a function of the study."""
