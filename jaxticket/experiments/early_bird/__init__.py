"""Early-bird tickets, drawn while the network trains."""
