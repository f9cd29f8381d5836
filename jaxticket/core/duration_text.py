"""Times as people read them, the same on the terminal and on pages."""


def duration_text(seconds: float | None) -> str:
    """A time: `1.2 s`, `42 s`, `3 min 20 s`, `2 h 05 min`; a dash where it is not known."""
    if seconds is None:
        return "\N{EN DASH}"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
