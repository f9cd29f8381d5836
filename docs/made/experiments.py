"""The README's table of experiments, made from the objects that define them."""

import re
from pathlib import Path

from texts import table

from jaxticket.lab.registry import experiments

ROOT = Path(__file__).resolve().parents[2]


def texts() -> dict[str, str]:
    """The made text of the README."""
    rows = [
        [f"[`{one.name}`](configs/{one.name}.py)", _linked(one.title, one.name), one.question, _papers(one.paper)]
        for one in experiments
    ]
    return {"experiments": table(["config", "experiment", "question", "paper"], rows)}


def _linked(title: str, name: str) -> str:
    """The title, with a link to the experiment's page where it has one."""
    page = f"docs/methods/{name}.md"
    return f"[{title}]({page})" if (ROOT / page).exists() else title


def _papers(papers: str) -> str:
    """With links to arXiv."""
    return re.sub(r"([^;\s][^;]*), arXiv ([\d.]+)", r"[\1](https://arxiv.org/abs/\2)", papers)
