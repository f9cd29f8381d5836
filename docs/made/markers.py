"""Texts that are made: what stands between a marker and its end is written by a program, never by hand.

A marker `<!-- made: NAME -->` begins such a text and `<!-- end -->` ends it; code hosts and the site show neither. A
text whose marker has a line to itself is a paragraph or a table, with an empty line on both sides. Any other is a part
of a sentence, whose markers may not begin a line: there Markdown would take the line for HTML.
"""

import re
from collections.abc import Callable

MARK = re.compile(r"<!-- made: (?P<name>[\w-]+) -->(?P<text>.*?)<!-- end -->", re.DOTALL)
_ANY = re.compile(r"<!-- (?:made: |end -->)")


def fill(document: str, text_of: Callable[[str], str]) -> str:
    """The document with every made text as `text_of` has it.

    Args:
        document: Markdown.
        text_of: from the name of a text to the text.

    Raises:
        ValueError: a marker without an end or an end without a marker, or one that begins a line of a sentence.
    """

    def made(found: re.Match[str]) -> str:
        alone = found["text"].startswith("\n")
        around = "\n\n" if alone else ""
        text = text_of(found["name"]).strip()
        if not alone and (found.start() == 0 or document[found.start() - 1] == "\n" or "\n" in text):
            raise ValueError(f"made: {found['name']} is a part of a sentence, so it must be one line and begin none")
        return f"<!-- made: {found['name']} -->{around}{text}{around}<!-- end -->"

    rest = MARK.sub("", document)
    if _ANY.search(rest):
        raise ValueError(f"a marker stands alone: {_ANY.search(rest)}")
    return MARK.sub(made, document)


def names(document: str) -> list[str]:
    """The names of the made texts of a document, in order."""
    return [found["name"] for found in MARK.finditer(document)]
