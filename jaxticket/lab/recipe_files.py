"""The config files that come with the package, by name: `--config=imp` from any folder."""

import ast
import re
from pathlib import Path

import jaxticket
from jaxticket.core.errors import ConfigError


def recipe_files() -> dict[str, Path]:
    """The name of every config file of the package, such as `imp`, and where it is."""
    package = Path(jaxticket.__file__).parent
    # In the wheel they lie in the package, in a clone next to it.
    folder = next((found for found in (package / "configs", package.parent / "configs") if found.is_dir()), package)
    return {file.stem: file for file in sorted(folder.glob("*.py")) if not file.stem.startswith("_")}


def recipe_times() -> dict[str, str]:
    """Name of a config file of the package -> how long it takes and where, as its docstring has it in `Takes: ...`."""
    texts = {name: ast.get_docstring(ast.parse(file.read_text())) or "" for name, file in recipe_files().items()}
    found = {name: re.search(r"^Takes: (.*?)\.?$(?=\n\n|\Z)", text, re.M | re.S) for name, text in texts.items()}
    return {name: " ".join(match[1].split()) for name, match in found.items() if match}


def find_config_file(named: str) -> str:
    """The path of a config file: an existing file, or else the package's of that name.

    Raises:
        ConfigError: there is neither.
    """
    recipes = recipe_files()
    if Path(named).is_file():
        return named
    if named in recipes:
        return str(recipes[named])
    name = Path(named).stem
    hint = f"give --config={name}, which comes with the package" if name in recipes else f"give one, or {_any(recipes)}"
    raise ConfigError(f"--config={named}: there is no such file; {hint}")


def _any(recipes: dict[str, Path]) -> str:
    return f"one of {', '.join(recipes)}" if recipes else "write one"
