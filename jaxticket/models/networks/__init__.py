"""The package's own networks: a new file here registers what it defines, and is found."""
