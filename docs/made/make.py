"""Makes the tables and the sentences of the documents that follow from stored numbers.

    python docs/made/make.py            writes them
    python docs/made/make.py --check    says which documents are not as the numbers have them, and ends with 1

What is made stands between `<!-- made: NAME -->` and `<!-- end -->` in README.md and in docs/. The numbers are the rows
of `docs/results/` and the measurements of `benchmarks/results/`; words such as "settled" or "excludes zero" are chosen
by the numbers too, and tables of what there is are read from the package. To change a number, run its study or
benchmark again, and store the study by `store.py`; to change a sentence, edit the module that makes it.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE)]

import blocks
import colt
import control
import early_bird
import experiments
import features
import keys
import markers
import matched
import measured
import quickstart
import readme
import rounds
import sanity
import structured
import structured_digits
import tost
import transfer

MODULES = (
    rounds,
    control,
    sanity,
    colt,
    matched,
    transfer,
    early_bird,
    tost,
    structured,
    structured_digits,
    blocks,
    measured,
    quickstart,
    readme,
    experiments,
    features,
    keys,
)


def documents() -> list[Path]:
    """The README and every page."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def texts() -> dict[str, str]:
    """Every text that can be made, by its name.

    Raises:
        ValueError: two modules make a text of one name.
    """
    made: dict[str, str] = {}
    for module in MODULES:
        found = module.texts()
        if found.keys() & made.keys():
            raise ValueError(f"made twice: {sorted(found.keys() & made.keys())}")
        made |= found
    return made


def main(arguments: list[str]) -> int:
    """Writes the documents or, with `--check`, compares them."""
    made, used, stale = texts(), set(), []
    for path in documents():
        old = path.read_text()
        names = markers.names(old)
        if unknown := sorted(set(names) - made.keys()):
            print(f"{path.relative_to(ROOT)}: no module makes {', '.join(unknown)}")
            return 1
        used |= set(names)
        new = markers.fill(old, made.__getitem__)
        if new != old:
            stale.append(path)
            if "--check" not in arguments:
                path.write_text(new)
    if unused := sorted(made.keys() - used):
        print(f"no document has {', '.join(unused)}")
        return 1
    for path in stale:
        print(f"{path.relative_to(ROOT)} {'is not as the numbers have it' if '--check' in arguments else 'written'}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
