"""Stages: expensive calls whose results are kept on disk, found again by the content of their inputs."""
