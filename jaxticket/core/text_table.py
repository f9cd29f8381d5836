"""Tables as plain text, for what is read by programs too or printed before anything heavy is loaded."""

from collections.abc import Collection, Sequence


def text_table(rows: Sequence[Sequence[str]], *, left: Collection[int] = ()) -> list[str]:
    """A line for each row, its cells flush right in columns.

    Args:
        rows: the cells; as many in each row.
        left: the columns that are flush left.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    forms = [f"{'<' if column in left else '>'}{width}" for column, width in enumerate(widths)]
    return ["  ".join(map(format, row, forms)).rstrip() for row in rows]
