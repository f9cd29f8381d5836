"""What a study of structured tickets found beside its accuracies: layers, pictures of masks and winners, typed."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from jaxticket.report.groups import Group
from jaxticket.report.study import Study, checked, number

_CONTROL = "_random"
# Controls of `imp`, `oneshot`, `sanity` and `train`.
_REINITIALISED = "rr_"
_OTHER_WEIGHTS = "from other initial weights than a ticket's"


@dataclasses.dataclass(frozen=True)
class Layer:
    """What became of one layer; shares are in [0, 1], None where they are not known.

    Attributes:
        path: of its kernel.
        shape: output channels and weights of each.
        before: kept share of the unstructured mask.
        after: kept share of the structured one.
        channels: how many keep anything.
        blocks: (rows, columns) of each block.
        coverage: share of the weights kept before that are still kept.
        holes: share of the weights kept now that were not kept before.
        structured: whether every kept weight lies in a block or a whole channel.
        note: why there is no block, or that no channel more could go; else empty.
    """

    path: str
    shape: tuple[int, int]
    before: float | None
    after: float | None
    channels: int | None
    blocks: tuple[tuple[int, int], ...]
    coverage: float | None
    holes: float | None
    structured: bool
    note: str


@dataclasses.dataclass(frozen=True)
class Structure:
    """The layers of one network's structured mask, and what they have in common.

    Attributes:
        branch: how the mask came about.
        level: of the unstructured mask.
        seed: the replicate.
        before: kept share of all prunable weights in the unstructured mask.
        after: in the structured one.
        coverage: share of the weights kept before that are still kept.
        share: share of the weights kept now that lie in structured layers.
        layers: one by one.
    """

    branch: str
    level: int
    seed: int
    before: float | None
    after: float | None
    coverage: float | None
    share: float | None
    layers: tuple[Layer, ...]


@dataclasses.dataclass(frozen=True)
class Picture:
    """The mask of one layer, made small.

    Attributes:
        branch: how it came about.
        level: of the unstructured mask.
        seed: the replicate.
        path: of the layer's kernel.
        shape: output channels and weights of each.
        density: kept shares in [0, 1] of the parts of the matrix, row by row.
    """

    branch: str
    level: int
    seed: int
    path: str
    shape: tuple[int, int]
    density: tuple[tuple[float, ...], ...]


@dataclasses.dataclass(frozen=True)
class Winner:
    """The sparsest network of a branch whose mean test accuracy is not below the dense one; means over seeds.

    Attributes:
        branch: how its mask came about.
        level: of the unstructured mask.
        n: seeds.
        accuracy: on the test set.
        sparsity: removed share of the prunable weights.
        macs_share: its multiply-accumulates over those of the dense network; None where they are not known.
        structured_share: share of its weights in structured layers; None for the unstructured ticket.
        settled: whether it is settled that it is above the dense network, not only by means not below it; None where
            the study does not say.
    """

    branch: str
    level: int
    n: int
    accuracy: float
    sparsity: float
    macs_share: float | None
    structured_share: float | None
    settled: bool | None = None

    @property
    def standing(self) -> str:
        """What its win rests on, in words; empty where that is not known."""
        if self.settled is None:
            return ""
        return "settled to be above dense" if self.settled else "by means, not settled"


def is_structured(study: Study) -> bool:
    """Whether the study compares methods that make masks structured, finished or not."""
    return study.summary.get("experiment") == "structured" or bool(study.part("structured"))


def is_control(branch: str) -> bool:
    """Whether a branch trains another's masks from other initial weights."""
    return branch.endswith(_CONTROL) or branch.startswith(_REINITIALISED)


def controlled(branch: str, study: Study) -> str | None:
    """The branch of a study whose masks a control trains; None of what is no control, or has masks of its own.

    `rr_imp` has the masks of `imp`, `full_random` those of `full`; by `config.reinit_masks='own'` there is no `imp`.
    """
    if not is_control(branch):
        return None
    name = branch.removeprefix(_REINITIALISED).removesuffix(_CONTROL)
    known = {row.branch for row in study.rows}
    return next((other for other in (name, f"lt_{name}") if other in known and other != branch), None)


def controls_in_words(study: Study) -> dict[str, str]:
    """Every control of a study -> what it is, such as `the masks of imp from other initial weights`."""
    branches = dict.fromkeys(row.branch for row in study.rows if is_control(row.branch))
    return {
        branch: f"the masks of {of} from other initial weights" if (of := controlled(branch, study)) else _OTHER_WEIGHTS
        for branch in branches
    }


def is_slim(branch: str) -> bool:
    """Whether a branch prunes channels of the dense network, to compare with."""
    return branch.startswith("slim_")


def control_of(branch: str) -> str:
    """The branch that would be its control."""
    return branch + _CONTROL


def structures(study: Study) -> list[Structure]:
    """The entries of `summary["structure"]`.

    Raises:
        JaxticketError: an entry is not the structure of a network.
    """
    return study.parsed("structure", _structure)


def pictures(study: Study) -> list[Picture]:
    """The entries of `summary["heatmap"]`; raises as `structures` does."""
    return study.parsed("heatmap", _picture)


def winners(study: Study) -> dict[str, Winner | None]:
    """Branch -> its extreme winning ticket, None where no level wins; empty for other studies.

    Raises:
        JaxticketError: `summary["structured"]` is not what the experiment writes.
    """
    found = study.part("structured").get("extreme", {})
    return checked(
        lambda: {branch: None if entry is None else _winner(branch, entry) for branch, entry in found.items()},
        "structured.extreme",
    )


def shown_levels(study: Study, groups: list[Group]) -> dict[str, int]:
    """The level of every sparse branch, controls left out, that is looked at closely: the winner's, else the last."""
    won = winners(study)
    levels: dict[str, int] = {}
    for group in groups:
        if group.branch != "dense" and not is_control(group.branch):
            winner = won.get(group.branch)
            levels[group.branch] = winner.level if winner else group.level
    return levels


def _structure(entry: Mapping[str, Any]) -> Structure:
    return Structure(
        **_key(entry),
        before=number(entry.get("density")),
        after=number(entry.get("new_density")),
        coverage=number(entry.get("coverage")),
        share=number(entry.get("structured_share")),
        layers=tuple(_layer(layer) for layer in entry["layers"]),
    )


def _layer(entry: Mapping[str, Any]) -> Layer:
    channels = number(entry.get("channels"))
    return Layer(
        path=str(entry["path"]),
        shape=_pair(entry["shape"]),
        before=number(entry.get("density")),
        after=number(entry.get("new_density")),
        channels=None if channels is None else int(channels),
        blocks=tuple(_pair(block) for block in entry.get("blocks", ())),
        coverage=number(entry.get("coverage")),
        holes=number(entry.get("holes")),
        structured=bool(entry.get("structured")),
        note=str(entry.get("note") or ""),
    )


def _picture(entry: Mapping[str, Any]) -> Picture:
    density = tuple(tuple(float(value) for value in row) for row in entry["density"])
    if not density or not density[0] or len({len(row) for row in density}) > 1:
        raise ValueError("density is no table of numbers")
    if not all(0 <= value <= 1 for row in density for value in row):
        raise ValueError("density has a value outside [0, 1]")
    return Picture(**_key(entry), path=str(entry["path"]), shape=_pair(entry["shape"]), density=density)


def _winner(branch: str, entry: Mapping[str, Any]) -> Winner:
    return Winner(
        branch=branch,
        level=int(entry["level"]),
        n=int(entry["n"]),
        accuracy=float(entry["test_accuracy"]),
        sparsity=float(entry["sparsity"]),
        macs_share=number(entry.get("macs_share")),
        structured_share=number(entry.get("structured_share")),
        settled=None if entry.get("settled") is None else bool(entry["settled"]),
    )


def _key(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {"branch": str(entry["branch"]), "level": int(entry["level"]), "seed": int(entry["seed"])}


def _pair(value: Any) -> tuple[int, int]:
    first, second = value
    return int(first), int(second)
