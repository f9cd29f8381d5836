"""jaxticket finds, trains, judges and runs sparse neural networks in JAX."""
