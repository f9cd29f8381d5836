"""What `--dry_run` prints: the parameters, the stages with what is already done, and where things will be."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from jaxticket.core import masks, paths
from jaxticket.core.duration_text import duration_text
from jaxticket.core.rules import match_rules
from jaxticket.data.availability import missing
from jaxticket.data.registry import data_folder
from jaxticket.lab.dry_run import DryRun
from jaxticket.lab.pace import known_rate
from jaxticket.lab.prune_options import PruneOptions
from jaxticket.lab.rate_groups import rate_groups
from jaxticket.lab.stages.references import Stage
from jaxticket.lab.stages.store import Finished
from jaxticket.lab.training_cost import total

_ENDS = "named stem or head"


def print_dry_run(plan: DryRun, console: Console | None = None) -> None:
    """Prints a plan; only manifests are read, and data of unknown content, and nothing is written."""
    console = console or Console()
    lab, options = plan.lab, plan.lab.options
    prune = getattr(options, "prune", PruneOptions())
    rates = getattr(options, "rates", None)
    if rates is None:
        prunable = lab.setting.prunable(prune.prunable)
    else:
        prunable = {
            path: size
            for group in rate_groups(lab.setting.shapes.params, rates, "rates")
            for path, size in group.sizes.items()
        }
    train, val, test = lab.setting.split_sizes

    parameters = Table(
        "parameter", "shape", "prunable", "left out", title=f"{options.model.name} on {lab.setting.spec.name}"
    )
    parameters.columns[2].justify = "right"
    leaves = paths.leaves(lab.setting.shapes.params)
    left_out = dict.fromkeys(leaves, "in no group") if rates else _left_out(leaves, prune)
    for path, leaf in leaves.items():
        said = (f"{prunable[path]:,}", "") if path in prunable else ("-", left_out[path])
        parameters.add_row(path, "x".join(map(str, leaf.shape)), *said)
    parameters.add_section()
    parameters.add_row("all", f"{sum(leaf.size for leaf in leaves.values()):,}", f"{sum(prunable.values()):,}", "")
    console.print(parameters)
    if _ENDS not in left_out.values() and not rates and not prune.rules:
        console.print(
            "no module is named stem or head, so the first and the last layer are pruned too; name them so, or set "
            'config.prune.rules, such as (("Dense_1/kernel",False),(".*kernel",True),(".*",False))',
            soft_wrap=True,
            markup=False,
        )
    about = "about " if lab.setting.sizes_are_estimated else ""
    console.print(
        f"data: {about}{train:,} training, {val:,} validation and {test:,} test images; batches of "
        f"{options.train.batch_size}, {lab.setting.duration.steps_per_epoch:,} steps per epoch, "
        f"{lab.setting.duration.total_steps:,} steps per network"
    )
    if plan.sizes_are_estimated:
        console.print("sizes of parts are estimated, as if all classes had equally many images; only the data can tell")
    absent = missing(lab.setting.spec, data_folder(options.data.folder))
    if absent:
        console.print(f"data to get: {absent}", soft_wrap=True)

    stages = Table("stage", "what", "work", "state", title="stages")
    for stage in plan.stages:
        stages.add_row(stage.id, stage.label, stage.work, "cached" if stage.cached else "to do")
    console.print(stages)
    for line in _reasons(plan):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    if lab.setting.data_content is None:
        console.print(
            f"data: {lab.setting.spec.name} is not there to be read, and its content is in the keys of what is made of "
            "it, which are not known until it is",
            soft_wrap=True,
            markup=False,
        )
    if plan.made_by_others:
        console.print(plan.made_by_others, soft_wrap=True, markup=False)
    waiting = [stage for stage in plan.networks if not stage.cached]
    console.print(f"networks: {len(plan.networks)}, of which {len(waiting)} to train")
    console.print(f"in all      {total(stage.cost for stage in plan.networks)}", soft_wrap=True)
    console.print(f"to train    {total(stage.cost for stage in waiting)}", soft_wrap=True)
    console.print(f"time        {training_time(plan, waiting)}", soft_wrap=True)
    console.print(f"stages in   {lab.stages.folder}", soft_wrap=True)
    console.print(f"results in  {plan.folder}", soft_wrap=True)


def training_time(plan: DryRun, waiting: Sequence[Stage]) -> str:
    """How long trainings of a plan, or of plans like it, take by a rate of earlier runs on this machine, in words."""
    known = known_rate(plan.lab.stages.folder, plan.lab.setting)
    if not waiting:
        return "nothing to train"
    if known is None:
        return "not known; the first run in this work folder measures it"
    rate, same = known
    seconds = duration_text(sum(stage.cost.macs for stage in waiting) / rate)
    if same:
        return f"about {seconds}, at the rate of this network here before"
    return f"roughly {seconds}, at the rate of another network on this machine"


def _left_out(leaves: Iterable[str], prune: PruneOptions) -> dict[str, str]:
    """Path -> what leaves it out where it is not prunable."""
    rules = [expression for expression, _ in prune.prunable or masks.DEFAULT_RULES]
    deciding = match_rules([(rule, rule) for rule in rules], leaves)
    words = {} if prune.prunable else dict(zip(rules, (_ENDS, "one axis", "no kernel"), strict=True))
    return {path: words.get(rule, f"rule {rule}") for path, rule in deciding.items()}


def _reasons(plan: DryRun) -> list[str]:
    """Why stages are to do: a line for each kind, and each set of options, that tells them from those there are."""
    finished = Finished(plan.lab.stages.folder)
    found = [(stage, finished.why(stage.made_from)) for stage in plan.stages if not stage.cached]
    lines, follows = [], 0
    nothing: dict[str, int] = {}
    alike: dict[tuple[str, ...], list[str]] = {}
    for stage, why in found:
        if why.nearest is None:
            nothing[stage.kind] = nothing.get(stage.kind, 0) + 1
        elif why.only_follows:
            follows += 1
        else:
            alike.setdefault((stage.kind, *why.different), []).append(f"{stage.id} ({stage.label}): {why}")
    for (kind, *_), (first, *others) in alike.items():
        lines.append(first + (f"; {len(others)} more of {kind} differ in the same" if others else ""))
    if nothing and any(stage.cached for stage in plan.stages):
        kinds = ", ".join(f"{count} of {kind}" for kind, count in nothing.items())
        lines.append(f"not there, and nothing of the kind is: {kinds}")
    if follows:
        lines.append(f"not there because they start from other stages: {follows}")
    return lines
