"""One word, one meaning: names that are gone stay gone, and no public name stands for two things."""

import ast
import collections
import re
from pathlib import Path

import pytest

from jaxticket.experiments import default_config, names
from jaxticket.lab.keys import FORMER_KEYS, unknown_key_message

pytestmark = [pytest.mark.feature("documents and public names")]

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "jaxticket").rglob("*.py"))

# Defined once for each kind: `models.names`, `data.names`, the `main` of each command, `run` of each subcommand.
OF_EACH_KIND = {"main", "names", "register", "load", "add_arguments", "run"}

# The house's former words, with what is said now; see the word list of CONTRIBUTING.md.
FILES = {
    *("core/lowest", "core/select", "core/wide_range", "core/plan", "core/transforms", "core/activations"),
    *("kernels/finish", "kernels/calls", "kernels/moves", "kernels/pieces", "kernels/on_device", "kernels/decide"),
    *("structure/columns", "structure/budgets", "structure/selection", "structure/channels", "training/fits"),
    *("training/watches", "training/several", "training/saver", "training/feedback", "analysis/silence"),
    *("analysis/indicator", "analysis/conditions", "analysis/mask_history", "data/facts", "data/parts", "data/order"),
    *("data/containers", "data/examples", "lab/lockstep", "lab/side_by_side", "lab/loaded", "lab/structuring"),
}
NAMES = {
    **dict.fromkeys(("remove_lowest", "Place", "hide"), "prune_lowest_k, LeafSlot, protect"),
    **dict.fromkeys(("Finish", "Call", "Moves"), "Epilogue, LayerShape, ConvGeometry"),
    **dict.fromkeys(("why_not", "why_not_conv"), "unsupported_reason"),
    **dict.fromkeys(("Start", "Fit"), "RunSpec, RunResult"),
    **dict.fromkeys(("Watch", "onlookers"), "Monitor, make_loggers"),
    **dict.fromkeys(("Sums", "Alone"), "MetricSums, Single"),
    **dict.fromkeys(("way_of", "pass_on", "train_questions", "alike"), "choose_replication, submit_nested, ..."),
    **dict.fromkeys(("one_voice", "agree", "several"), "silence_non_writers, broadcast, is_multiprocess"),
    **dict.fromkeys(("output_slopes", "per_output", "spread_of"), "output_gradients, scope='output', sharding_of"),
    "product": "xla_matmul, gpu_conv, dispatch, ...",
}
# A number of a paper's list of checks is no word of a test's name.
CHECK = re.compile(r"((tost|colt_check|early_bird|early_bird_check|sanity_check_lth)(_\d+)+_(and_)?)+")
PROSE = {r"\bslopes?\b": "gradient", r"how[- ]manieth": "index", r"what .{3,40} is told\b": "options of ..."}


def defined(path):
    return [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]


def test_no_public_name_is_defined_in_two_modules():
    homes = collections.defaultdict(list)
    for path in SOURCES:
        for name in defined(path):
            homes[name].append(str(path.relative_to(ROOT)))
    public = {name for name in homes if not name.startswith("_")} - OF_EACH_KIND
    assert not {name: homes[name] for name in public if len(homes[name]) > 1}


def functions(paths):
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node


def test_few_parameters_are_of_any_type():
    hints = [
        parameter.annotation and ast.unparse(parameter.annotation)
        for node in functions(SOURCES)
        for parameter in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        if parameter.arg not in ("self", "cls")
    ]
    assert hints.count("Any") < 0.08 * len(hints)


def test_names_of_tests_have_eight_words():
    tests = {node.name for node in functions(sorted(Path(__file__).parent.rglob("test_*.py")))}
    names = [name for name in tests if name.startswith("test_")]
    assert not [name for name in names if len(CHECK.sub("", name.removeprefix("test_")).split("_")) > 8]


def test_former_names_are_gone():
    found = {(str(path.relative_to(ROOT)), name) for path in SOURCES for name in defined(path) if name in NAMES}
    assert not found, {name: NAMES[name] for _, name in found}


def test_former_files_are_gone():
    assert not [name for name in FILES if (ROOT / "jaxticket" / f"{name}.py").exists()]


@pytest.mark.parametrize("experiment", names())
def test_former_keys_are_gone(experiment):
    keys = {key.partition("_options.")[0] for key in default_config(experiment).to_dict()}
    flat = set(keys)
    for section, value in default_config(experiment).to_dict().items():
        flat |= {f"{section}.{key}" for key in value} if isinstance(value, dict) else set()
    assert not {key: now for key, now in FORMER_KEYS.items() if key in flat}


@pytest.mark.parametrize(("former", "now"), FORMER_KEYS.items())
def test_former_keys_are_named_by_present_ones(former, now):
    messages = [unknown_key_message(default_config(experiment), former) for experiment in names()]
    assert f"config.{former}: there is no such key; it is now config.{now}" in messages


@pytest.mark.parametrize("pattern", PROSE)
def test_prose_has_the_words_of_the_field(pattern):
    texts = [*SOURCES, ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(pattern, line, re.I) and "results" not in path.parts
    ]
    assert not found, (PROSE[pattern], found)
