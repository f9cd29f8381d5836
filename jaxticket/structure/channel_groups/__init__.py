"""How `channel_groups` follows the channels of parameters through a jaxpr."""
