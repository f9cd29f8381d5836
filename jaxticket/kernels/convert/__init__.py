"""A trained, masked network rewritten with sparse layers: passes over it, and how they choose."""
