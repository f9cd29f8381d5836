"""How the numbers were made: all that is needed to make them again."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup

from jaxticket.core.duration_text import duration_text
from jaxticket.lab.row import number
from jaxticket.report import text
from jaxticket.report.parts import Collapsible, Heading, Html, TablePanel, code
from jaxticket.report.section import Part, Section
from jaxticket.report.study import Study


def provenance_section(study: Study) -> Section | None:
    """The command, data set, network, machine, versions and configuration."""
    summary = study.summary
    facts = [
        ("Data set", _dataset(study.part("dataset"))),
        ("Network", _model(study.part("model"))),
        ("Device", _device(study.part("device"))),
        ("Training time", duration_text(sum(row.seconds or 0 for row in study.rows)) if study.rows else ""),
        ("Versions", ", ".join(f"{name} {version}" for name, version in study.part("versions").items())),
        ("Commit", str(summary.get("commit") or "")),
        ("Configuration", f"hash {summary['config_hash']}" if summary.get("config_hash") else ""),
    ]
    lines = Markup("\n").join(Markup("<dt>{}</dt><dd>{}</dd>").format(name, value) for name, value in facts if value)
    parts: list[Part] = [Html(Markup('<dl class="facts">\n{}\n</dl>').format(lines))]
    if command := str(summary.get("command") or ""):
        parts.insert(0, Html(Markup('<pre class="scroll" tabindex="0"><code>{}</code></pre>').format(command)))
    if chosen := list(flatten(study.config.get("chosen", {}))):
        parts += [
            Heading("Options that differ from the defaults"),
            _table(chosen, "Options that differ from the defaults"),
        ]
    if everything := list(flatten(study.config.get("config", {}))):
        parts.append(Collapsible("Every option", [_table(everything, "Every option")]))
    return Section("made", "How it was made", parts)


def _table(options: list[tuple[str, str]], label: str) -> TablePanel:
    rows = [[code(key), code(value)] for key, value in options]
    return TablePanel(label, ("key", "value"), rows, left=("key", "value"), kind="options")


def flatten(values: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested options as (dotted key, value as JSON), in their order."""
    if not isinstance(values, Mapping):
        return
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(value, ensure_ascii=False)


def _dataset(part: Mapping[str, Any]) -> str:
    shape = part.get("image_shape")
    said = [str(part["name"])] if part.get("name") else []
    if isinstance(shape, list) and shape:
        said.append("\N{MULTIPLICATION SIGN}".join(map(str, shape)))
    if (classes := number(part.get("classes"))) is not None:
        said.append(f"{classes:,.0f} classes")
    sizes = [
        f"{size:,.0f} {name}"
        for key, name in (("train", "training"), ("val", "validation"), ("test", "test"))
        if (size := number(part.get(key))) is not None
    ]
    if sizes:
        said.append(text.listing(sizes) + " images")
    return ", ".join(said)


def _model(part: Mapping[str, Any]) -> str:
    said = [str(part["name"])] if part.get("name") else []
    if (parameters := number(part.get("parameters"))) is not None:
        said.append(f"{parameters:,.0f} parameters")
    if (prunable := number(part.get("prunable"))) is not None:
        said.append(f"{prunable:,.0f} of them prunable")
    return ", ".join(said)


def _device(part: Mapping[str, Any]) -> str:
    said = []
    if part.get("kind"):
        devices = number(part.get("count"))
        times = "" if devices is None else f"{devices:.0f} \N{MULTIPLICATION SIGN} "
        said.append(times + str(part["kind"]))
    if (cores := number(part.get("cores"))) is not None:
        said.append(text.count_text(int(cores), "CPU core"))
    if part.get("machine"):
        said.append(str(part["machine"]))
    return ", ".join(said)
