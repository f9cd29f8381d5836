"""The labels of tickets, `<branch>-<level>-<seed>`, with what else tells a row from others behind."""

import re


def parsed(label: str) -> tuple[str, int, int | None]:
    """Branch, level and seed of a label; of another text itself, 1 and None."""
    parts = re.match(r"(.+?)-(\d{1,9})-(\d{1,10})(?!\d)", label)
    return (parts[1], int(parts[2]), int(parts[3])) if parts else (label, 1, None)
