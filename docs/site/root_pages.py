"""Makes pages of the site from the files at the root of the repository, and keeps links that leave docs/ honest.

On GitHub a page may link to any file. On the site only docs/ exists: README, CHANGELOG and CONTRIBUTING become pages,
with their links turned round, and a link to any other file becomes its text.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGES = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
_LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages that are made from files at the root."""
    from mkdocs.structure.files import File

    for source, target in PAGES.items():
        files.append(File.generated(config, target, content=(ROOT / source).read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turns the links of a page into those of the site."""
    sources = {target: source for source, target in PAGES.items()}
    here = sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    parts = re.split(r"(^```.*?^```)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else _LINK.sub(lambda m: link(here, m), part) for part in parts)


def link(here: str, found: re.Match[str]) -> str:
    """One link of the file `here`, a path from the root, as the site has it."""
    text, target, anchor = found[1], found[2], found[3] or ""
    if "://" in target:
        return found[0]
    path = posixpath.normpath(posixpath.join(posixpath.dirname(here), target))
    if (ROOT / path).exists():
        if path in PAGES:
            path = f"docs/{PAGES[path]}"
        elif not (path.startswith("docs/") and path.endswith((".md", ".svg"))):
            return text
    own = f"docs/{PAGES[here]}" if here in PAGES else here
    return f"[{text}]({posixpath.relpath(path, posixpath.dirname(own))}{anchor})"
