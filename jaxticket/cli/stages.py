"""The finished stages of a work folder: list them, say what they come from, take them over, clear them away."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Says which arguments there are."""
    commands = parser.add_subparsers(dest="command", required=True)
    listing = commands.add_parser("list", help="every stage: size, age, which sources made it, who uses it")
    why = commands.add_parser("why", help="what a stage was made from, and how it differs from the nearest other one")
    why.add_argument("stage", metavar="STAGE", help="a folder's name, such as train-5d1f0c8be112")
    adopt = commands.add_parser("adopt", help="count stages that other sources of jaxticket made as made by these")
    adopt.add_argument("stages", nargs="*", metavar="STAGE", help="names of stages (default: all that are finished)")
    gc = commands.add_parser("gc", help="say which stages no experiment asks for, or remove them")
    gc.add_argument("--remove", action="store_true", help="remove them")
    for command, act in ((listing, _list), (why, _why), (adopt, _adopt), (gc, _gc)):
        command.set_defaults(act=act)
        command.add_argument("--workdir", default="runs", metavar="DIR", help="of the runs (default: runs)")


def run(arguments: argparse.Namespace) -> int:
    """Does what was asked for."""
    arguments.act(arguments)
    return 0


def _list(arguments: argparse.Namespace) -> None:
    from jaxticket.core.text_table import text_table
    from jaxticket.lab.stages.store import list_stages

    rows = [("stage", "kB", "age", "sources", "used by")]
    for one in list_stages(arguments.workdir):
        by = (
            "not known"
            if one.changed is None
            else "as now"
            if not one.changed
            else f"{len(one.changed)} changed, {one.changed[0]}"
        )
        state = by if one.complete else "not finished"
        rows.append((one.id, f"{one.size / 1e3:,.0f}", _duration(one.age), state, ", ".join(one.used_by) or "nobody"))
    print("\n".join(text_table(rows, left=(0, 3, 4))))


def _why(arguments: argparse.Namespace) -> None:
    from flax.traverse_util import flatten_dict

    from jaxticket.core.errors import ConfigError
    from jaxticket.lab.stages.store import list_stages, why

    stages = {one.id: one for one in list_stages(arguments.workdir)}
    if arguments.stage not in stages:
        from jaxticket.core.options import must_be_one_of

        raise ConfigError(f"stage {arguments.stage!r}: {must_be_one_of(arguments.stage, list(stages))}")
    made_from = stages[arguments.stage].made_from
    for key, value in flatten_dict(dict(made_from), sep=".").items():
        print(f"{key:<32} {value}")
    if made_from:
        print(why(arguments.workdir, made_from, other_than=arguments.stage))


def _adopt(arguments: argparse.Namespace) -> None:
    from jaxticket.lab.stages.store import adopt, list_stages

    stages = arguments.stages or [one.id for one in list_stages(arguments.workdir) if one.complete]
    adopted = adopt(arguments.workdir, stages)
    print("\n".join([*adopted, f"{len(adopted)} of {len(stages)} stages were made by other sources; now by these"]))


def _gc(arguments: argparse.Namespace) -> None:
    from jaxticket.lab.stages.store import gc

    cleared = gc(arguments.workdir, dry=not arguments.remove)
    what = "removed" if arguments.remove else "nobody asks for; --remove removes"
    print("\n".join([*cleared.stages, f"{what} {len(cleared.stages)} stages, {cleared.size / 1e6:,.1f} MB"]))


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
