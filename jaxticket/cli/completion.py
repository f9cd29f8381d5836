"""Completion of commands, flags, configs, keys and their values.

For bash put `eval "$(jaxticket completion bash)"` into ~/.bashrc, for zsh `eval "$(jaxticket completion zsh)"` into
~/.zshrc, after compinit.
"""

import argparse
import contextlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence

BASH = r"""_jaxticket() {
  local IFS=$'\n'
  COMPREPLY=($(jaxticket completion words "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null))
  [[ ${COMPREPLY[0]} == *[=:.] ]] && compopt -o nospace
  return 0
}
complete -o default -F _jaxticket jaxticket"""

ZSH = r"""_jaxticket() {
  local -a found
  found=(${(f)"$(jaxticket completion words "${(j: :)words[1,CURRENT-1]} $PREFIX" 2>/dev/null)"})
  if (( $#found )); then
    compadd -Q -S '' -- $found
  else
    compset -P '*='
    _files
  fi
}
compdef _jaxticket jaxticket"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Says which arguments there are."""
    parser.add_argument("shell", choices=("bash", "zsh", "words"), help="a shell; `words` is what its script asks")
    parser.add_argument("line", nargs="?", default="", help="with words: the command line up to the cursor")
    parser.add_argument("breaks", nargs="?", default="", help="with words: what parts words for the shell")


def run(arguments: argparse.Namespace) -> int:
    """Prints the script of a shell, or the words that may stand at the cursor."""
    if arguments.shell == "words":
        *before, word = re.split(r"\s+", arguments.line.lstrip())
        # A shell replaces only what follows the last character that parts words for it.
        cut = 1 + max((word.rfind(mark) for mark in arguments.breaks if not mark.isspace()), default=-1)
        found = [one for one in candidates(before[1:], word) if one.startswith(word)]
        print("\n".join(one[cut:] for one in found))
    else:
        print({"bash": BASH, "zsh": ZSH}[arguments.shell])
    return 0


def candidates(before: Sequence[str], word: str) -> Iterable[str]:
    """What the word at the cursor may be.

    Args:
        before: the words between the program and the cursor.
        word: as far as it is written.

    Example:
        >>> [one for one in candidates(["run", "--config=imp"], "--config.levels") if one.startswith("--config.levels")]
        ['--config.levels=']
    """
    from jaxticket.cli import COMMANDS

    if not before:
        return COMMANDS
    if before[0] not in COMMANDS:
        return ()
    if word.startswith("--config."):
        return _keys(before, word)
    if word.startswith("--config="):
        return _configs(word)
    if before[0] == "keys" and len(before) == 1:
        from jaxticket.lab.registry import names

        return names()
    return _arguments(before)


def _arguments(before: Sequence[str]) -> list[str]:
    """The flags and choices in the help of a command, or of its subcommand."""
    from jaxticket.cli import run_command

    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        run_command(before[0], [*(one for one in before[1:2] if not one.startswith("-")), "--help"])
    flags = re.findall(r"^ +(--[\w-]+(?:\.KEY)?)(=|\[=| [A-Z])?", text.getvalue(), re.MULTILINE)
    choices = re.findall(r"\{([\w,]+)\}", text.getvalue())[:1] if len(before) == 1 else []
    return [
        *(name for choice in choices for name in choice.split(",")),
        *("--config." if flag == "--config.KEY" else flag + ("=" if value else "") for flag, value in flags),
    ]


def _configs(word: str) -> list[str]:
    """`--config=NAME`, and its arguments."""
    from jaxticket.lab.recipe_files import recipe_files

    start, colon, told = word.partition(":")
    if not colon:
        return [f"--config={name}" for name in recipe_files()]
    from jaxticket import data, models

    values: Mapping[str, Sequence[str]] = {"model": models.names(), "dataset": data.names()}
    whole, comma, last = told.rpartition(",")
    key, equals, _ = last.partition("=")
    found = [f"{key}={value}" for value in values.get(key, ())] if equals else [f"{name}=" for name in values]
    return [f"{start}:{whole}{comma}{one}" for one in found]


def _keys(before: Sequence[str], word: str) -> list[str]:
    """The keys of the experiment whose config is given, and the values of one that has only some."""
    from jaxticket.lab.key_table import key_rows
    from jaxticket.lab.registry import experiments

    given = [re.match(r"--config=(?:.*/)?(\w+)", one) for one in before]
    named = next((match[1] for match in given if match), "")
    rows = [
        row for one in experiments if one.name == named or named not in experiments for row in key_rows(one.options)
    ]
    key, equals, _ = word.removeprefix("--config.").partition("=")
    if equals:
        return [f"--config.{key}={choice}" for row in rows if row.path == key for choice in row.choices]
    return [f"--config.{path}=" for path in dict.fromkeys(row.path for row in rows)]
