"""Several experiments read together: which there are, in what they differ, and the line each draws."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxticket.core.errors import JaxticketError
from jaxticket.report import text
from jaxticket.report.files import find_studies, read_study
from jaxticket.report.groups import (
    Group,
    case_key,
    comparable_groups,
    dense_group,
    gap,
    group_rows,
    sparse_branches,
    sparsest_match,
)
from jaxticket.report.sections.provenance import flatten
from jaxticket.report.spreadsheets import to_csv
from jaxticket.report.study import MEASURED, Study

# Options of which more makes an experiment the continuation of one with less.
_EXTENDED = ("seed", "seeds", "levels")


@dataclasses.dataclass(frozen=True)
class ComparedStudy:
    """One of the experiments that are compared; its label names the options in which it differs from its namesakes."""

    folder: Path
    study: Study
    label: str = ""

    @property
    def setting(self) -> str:
        """The network and the data set; only experiments that share them have comparable accuracies."""
        return self.study.setting or "unknown network and data"

    @property
    def chosen(self) -> dict[str, str]:
        """The options that differ from the defaults, flattened, as JSON."""
        return dict(flatten(self.study.config.get("chosen", {})))


@dataclasses.dataclass(frozen=True)
class ComparedLine:
    """The networks of one branch of an experiment by level, or its dense ones where there are no others.

    `groups` are without the `dense` ones they are compared with; the label has the branch where there are several.
    """

    label: str
    experiment: ComparedStudy
    groups: tuple[Group, ...]
    dense: Group | None

    @property
    def points(self) -> list[Group]:
        """What is drawn: the groups of which the test accuracy is known, the one with the most weights first."""
        found = [self.dense, *self.groups] if self.dense and self.dense not in self.groups else list(self.groups)
        known = [group for group in found if group.remaining > 0 and group.spread("test_accuracy").n]
        return sorted(known, key=lambda group: -group.remaining)

    @property
    def best(self) -> Group | None:
        """The sparsest group that is as good as dense; None where nothing is, or nothing to compare with."""
        sparse = [group for group in self.groups if group is not self.dense]
        return sparsest_match(sparse, self.dense) if self.dense else None

    @property
    def last(self) -> Group:
        """The group with the fewest weights."""
        return min(self.groups, key=lambda group: group.remaining)

    def gap(self, group: Group | None) -> float | None:
        """Mean test accuracy of a group minus that of the dense networks."""
        return gap(group, self.dense) if group and self.dense else None


def read_experiments(paths: Sequence[Path], *, left_out: Callable[[str], None] = lambda _: None) -> list[ComparedStudy]:
    """The experiments in folders.

    Args:
        paths: each the folder of an experiment, or one with such folders in it.
        left_out: told in one line of each whose files cannot be read, where others can, and of each that is a part of
            another, which went on from it with more seeds or levels.

    Returns:
        Each experiment once, those of a folder by name; an experiment without any rows is left out.

    Raises:
        JaxticketError: a folder that holds no experiment, or there are only files that no experiment has written.
    """
    folders: dict[Path, None] = {}
    for path in paths:
        found = find_studies(path)
        folders.update(dict.fromkeys(folder.resolve() for folder in found))
    read, damaged = [], []
    for folder in folders:
        try:
            read.append(ComparedStudy(folder, read_study(folder)))
        except JaxticketError as error:
            damaged.append(error)
    if damaged and not read:
        raise damaged[0]
    for error in damaged:
        left_out(str(error))
    read = [experiment for experiment in read if experiment.study.rows]
    if not read:
        raise JaxticketError(f"{paths[0]}: no network is trained yet; run the experiment's command again")
    whole = {part.folder: other for part in read for other in read if _is_part_of(part, other)}
    for part in read:
        if part.folder in whole:
            networks = text.count_text(len(part.study.rows), "network")
            left_out(f"{part.folder.name}: its {networks} are all in {whole[part.folder].folder.name}, which has more")
    return _labelled([experiment for experiment in read if experiment.folder not in whole])


def _is_part_of(part: ComparedStudy, other: ComparedStudy) -> bool:
    """Whether another experiment is finished, has the same options but for seeds and levels, and all its networks."""
    ours, theirs = ({key: value for key, value in one.chosen.items() if key not in _EXTENDED} for one in (part, other))
    same = part.study.name == other.study.name and part.study.summary.get("experiment") == other.study.summary.get(
        "experiment"
    )
    return same and ours == theirs and other.study.complete and _networks(part) < _networks(other)


def _networks(experiment: ComparedStudy) -> set[tuple[Any, ...]]:
    """What tells the networks of an experiment from all others."""
    rows = experiment.study.rows
    return {(row.treatment, case_key(row.numbers), row.level, row.seed, row.stage) for row in rows}


def _labelled(read: Sequence[ComparedStudy]) -> list[ComparedStudy]:
    """Gives each its label; where two options do not tell it from all others, that is the folder's name."""
    names = [str(experiment.study.summary.get("name") or experiment.folder.name) for experiment in read]
    labels = []
    for experiment, name in zip(read, names, strict=True):
        alike = [other for other, its_name in zip(read, names, strict=True) if its_name == name]
        own = [key for key in differing(alike) if key in experiment.chosen]
        short = ", ".join(f"{key.split('.')[-1]}={experiment.chosen[key].strip(chr(34))}" for key in own)
        labels.append(name if len(alike) == 1 else f"{name} {short}" if 0 < len(own) < 3 else experiment.folder.name)
    return [
        dataclasses.replace(experiment, label=label if labels.count(label) == 1 else experiment.folder.name)
        for experiment, label in zip(read, labels, strict=True)
    ]


def lines_of(experiment: ComparedStudy) -> list[ComparedLine]:
    """The lines of one experiment; networks that compare with no dense ones of it are left out."""
    groups = comparable_groups(group_rows(experiment.study.rows))
    branches = sparse_branches(groups)
    if not branches:
        dense = [group for group in groups if group.branch == "dense"]
        return [ComparedLine(experiment.label + group.name[5:], experiment, (group,), group) for group in dense]
    return [
        ComparedLine(
            experiment.label if len(branches) == 1 else f"{experiment.label}: {name}",
            experiment,
            tuple(found),
            dense_group(groups, found[0].case),
        )
        for name, found in branches.items()
    ]


def differing(experiments: Sequence[ComparedStudy]) -> list[str]:
    """The flattened keys that not all experiments set to the same, in order of first appearance."""
    keys = dict.fromkeys(key for experiment in experiments for key in experiment.chosen)
    return [key for key in keys if len({experiment.chosen.get(key) for experiment in experiments}) > 1]


def comparison_csv(experiments: Sequence[ComparedStudy]) -> str:
    """Every branch and level of all experiments as CSV; what is not known is an empty field."""
    head = ["experiment", "folder", "setting", "branch", "level", "n", "remaining"]
    lines: list[list[Any]] = [[*head, *(f"{name}{end}" for name in MEASURED for end in ("", "_std"))]]
    for experiment in experiments:
        about = [experiment.label, experiment.folder.name, experiment.setting]
        for group in group_rows(experiment.study.rows):
            spreads = [group.spread(name) for name in MEASURED]
            numbers = [value for spread in spreads for value in (spread.mean, spread.std)]
            lines.append([*about, group.name, group.level, group.n, group.remaining, *numbers])
    return to_csv(lines)
