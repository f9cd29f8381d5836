"""Pure functions on pytrees: paths, masks, scores, selection, schedules and Optax adapters."""
