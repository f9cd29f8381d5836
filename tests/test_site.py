"""The site of the documentation: its pages, and links that work on it as they do on GitHub."""

import re
import runpy
from pathlib import Path

import pytest

pytestmark = [pytest.mark.feature("documents and public names")]

ROOT = Path(__file__).resolve().parents[1]
HOOK = runpy.run_path(str(ROOT / "docs" / "site" / "root_pages.py"))


def turned(here, text):
    return HOOK["_LINK"].sub(lambda found: HOOK["link"](here, found), text)


@pytest.mark.parametrize(
    ("here", "link", "expected"),
    [
        ("README.md", "[tour](docs/tour.md)", "[tour](tour.md)"),
        ("README.md", "[sanity](docs/methods/sanity.md#a)", "[sanity](methods/sanity.md#a)"),
        ("README.md", "[news](CHANGELOG.md)", "[news](changelog.md)"),
        ("README.md", "[script](benchmarks/select.py)", "script"),
        ("README.md", "[pages](docs/methods)", "pages"),
        ("README.md", "[paper](https://arxiv.org/abs/1803.03635)", "[paper](https://arxiv.org/abs/1803.03635)"),
        ("README.md", "![curve](docs/figures/quickstart.svg)", "![curve](figures/quickstart.svg)"),
        ("docs/methods/channels.md", "[`x`](../../benchmarks/shrink.py)", "`x`"),
        ("docs/methods/channels.md", "[faq](../faq.md)", "[faq](../faq.md)"),
        ("docs/extending.md", "[rules](../CONTRIBUTING.md)", "[rules](contributing.md)"),
        ("docs/faq.md", "[gone](not_there.md)", "[gone](not_there.md)"),  # for the strict build to find
    ],
)
def test_link_leads_to_page_of_site_or_nowhere(here, link, expected):
    assert turned(here, link) == expected


def test_code_is_left_as_it_is():
    class Page:
        class file:  # noqa: N801
            src_uri = "faq.md"

    text = "[a](../LICENSE)\n```python\nx = f[a](b)  # [c](../LICENSE)\n```\n[d](../LICENSE)\n"
    assert HOOK["on_page_markdown"](text, page=Page) == "a\n```python\nx = f[a](b)  # [c](../LICENSE)\n```\nd\n"


def test_navigation_has_exactly_the_pages():
    config = (ROOT / "mkdocs.yml").read_text()
    listed = re.findall(r"^ +- .*: (\S+\.md)$", config.partition("\nnav:\n")[2], re.M)
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert len(listed) == len(set(listed))
    assert set(listed) == pages | set(HOOK["PAGES"].values())


def test_the_site_loads_nothing_from_elsewhere():
    config = (ROOT / "mkdocs.yml").read_text()
    assert "font: false" in config
    assert not re.search(r"extra_(css|javascript)|analytics", config)


def test_the_citation_has_the_version_of_the_package():
    version = re.search(r'__version__ = "(.+)"', (ROOT / "jaxticket" / "__init__.py").read_text())[1]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
