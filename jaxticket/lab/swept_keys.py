"""The grammar of `--sweep KEY=VALUES`: values to try of a key, or a range for a search to draw from."""

import ast
import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from jaxticket.core.errors import ConfigError

_OPEN, _CLOSE = "([{", ")]}"


@dataclasses.dataclass(frozen=True)
class SweptKey:
    """A key of a configuration, and what is tried of it.

    Attributes:
        key: flattened, such as `train.lr`.
        values: to choose from; empty for a range.
        low: the lower end of a range, within it.
        high: the upper end, likewise; whole numbers for a key of whole numbers.
        log: whether the logarithm is drawn evenly.
    """

    key: str
    values: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0
    log: bool = False

    @property
    def is_range(self) -> bool:
        """Whether there are no single values to try."""
        return not self.values

    @property
    def ends(self) -> tuple[Any, ...]:
        """What stands for all that may be drawn: the ends of a range, else every value."""
        return self.values or (self.low, self.high)

    def __str__(self) -> str:
        if self.is_range:
            return f"{self.key}={'log:' if self.log else ''}{self.low:g}..{self.high:g}"
        return f"{self.key}={','.join(map(str, self.values))}"


def read_swept_keys(texts: Sequence[str], config: Mapping[str, Any], overrides: Mapping[str, Any]) -> list[SweptKey]:
    """Reads arguments of `--sweep`.

    A value is read as the key's default is: text stays text where the default is one; else it is a Python literal
    (`0.1`, `1e-3`, `None`, `True`, `(1, 2)`) or `range(5)`, a tuple. Commas part values, except within brackets and
    quotes. `LOW..HIGH` is a range, `log:LOW..HIGH` one that is drawn evenly in the logarithm.

    Args:
        texts: such as `train.lr=0.1,0.01` and `train.lr=log:0.001..0.1`.
        config: that get_config() returned, which knows what kind of value a key has.
        overrides: flattened keys that the command line sets.

    Raises:
        ConfigError: a text that is none of these, or a key that is swept twice, or set as well.

    Example:
        >>> from jaxticket.lab.swept_keys import read_swept_keys
        >>> config = {"train": {"lr": 0.1}, "seeds": None}
        >>> [str(one) for one in read_swept_keys(["train.lr=log:1e-3..0.1", "seeds=(0, 1),range(3)"], config, {})]
        ['train.lr=log:0.001..0.1', 'seeds=(0, 1),(0, 1, 2)']
    """
    found: dict[str, SweptKey] = {}
    for text in texts:
        key, equals, values = text.partition("=")
        key = key.strip().removeprefix("config.")
        if not re.fullmatch(r"\w+(\.\w+)*", key) or not equals or not values.strip():
            raise ConfigError(
                f"--sweep={text}: must be KEY=VALUES, such as train.lr=0.1,0.01 or train.lr=log:1e-3..0.1"
            )
        if key in found:
            raise ConfigError(f"--sweep={text}: {key} is swept twice; give all its values at once, {key}=A,B,C")
        if key in overrides:
            raise ConfigError(f"--sweep={text}: --config.{key} sets this key for all; leave out one of the two")
        found[key] = _read(text, key, values.strip(), _value_at(config, key))
    return list(found.values())


def combinations(keys: Sequence[SweptKey]) -> list[dict[str, Any]]:
    """All combinations of the values, as overrides; the last key changes first.

    Raises:
        ConfigError: one of them has a range.
    """
    for one in keys:
        if one.is_range:
            raise ConfigError(
                f"--sweep={one}: is a range; give values, or draw from it with --search=optuna --trials=20"
            )
    return [
        dict(zip([one.key for one in keys], values, strict=True))
        for values in itertools.product(*(one.values for one in keys))
    ]


def _read(text: str, key: str, values: str, default: Any) -> SweptKey:
    log, span = values.startswith("log:"), values.removeprefix("log:").split("..", 1)
    if len(span) == 2 and all(map(_is_number, span)):
        low, high = map(ast.literal_eval, (end.strip() for end in span))
        if isinstance(default, float) or isinstance(low, float) or isinstance(high, float):
            low, high = float(low), float(high)
        if not low < high or (log and low <= 0):
            least = "more than 0 and " if log else ""
            raise ConfigError(f"--sweep={text}: the lower end must be {least}less than the upper one")
        return SweptKey(key, low=low, high=high, log=log)
    if log:
        raise ConfigError(f"--sweep={text}: must be a range of numbers, such as {key}=log:0.001..0.1")
    parts = _parts(values)
    if parts is None or not all(parts):
        raise ConfigError(f"--sweep={text}: must be values with commas between them, brackets and quotes closed")
    read = tuple(_literal(part, default) for part in parts)
    if len({repr(value) for value in read}) < len(read):
        raise ConfigError(f"--sweep={text}: a value is there twice; give each once")
    return SweptKey(key, read)


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*", text, re.IGNORECASE))


def _parts(text: str) -> list[str] | None:
    """The text at its commas, those within brackets and quotes not counted; None where these are not closed."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        depth += 0 if quote else (letter in _OPEN) - (letter in _CLOSE)
        if letter == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return None if depth or quote else [part.strip() for part in parts]


def _literal(text: str, default: Any) -> Any:
    if found := re.fullmatch(r"range\((\d+)\)", text):
        return tuple(range(int(found[1])))
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if isinstance(default, str) and text[0] not in "'\"" and text != "None":
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _value_at(config: Any, key: str) -> Any:
    """The value of a flattened key; None where there is none, which is said when the whole is checked."""
    for name in key.split("."):
        config = config.get(name) if hasattr(config, "get") else None
    return config
