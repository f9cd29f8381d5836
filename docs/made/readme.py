"""The README's table: what each study asks, what it found where it was run, and whether that is settled."""

import blocks
import control
import early_bird
import matched
import rounds
import sanity
import structured
import tost
import transfer
from texts import table

QUESTIONS = (
    ("how far can a network be pruned round by round?", "imp", rounds.answer),
    ("is a ticket better than its own masks with other initial weights?", "imp", control.answer),
    ("does a ticket win by its initial weights?", "sanity", sanity.answer),
    ("does training see what channels will go before it ends?", "early_bird", early_bird.answer),
    ("do masks of parts of the classes save rounds?", "colt", matched.answer),
    ("do tickets carry over to other data?", "transfer", transfer.answer),
    (
        "is a refilled or regrouped ticket better than its structure with other weights?",
        "structured",
        structured.answer,
    ),
    ("what do blocks cost, and what do they bring?", "oneshot", blocks.answer),
    ("which aid trains a given mask better?", "tost", tost.answer),
)


def texts() -> dict[str, str]:
    """The made text of the README."""
    rows = [[question, f"`{study}`", *answer()] for question, study, answer in QUESTIONS]
    return {"results": table(["question", "study", "found", "after correction"], rows)}
