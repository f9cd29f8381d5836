import subprocess
import sys

import pytest

pytestmark = [pytest.mark.feature("data sets")]

HEAVY = ("jax", "tensorflow_datasets", "tensorflow", "PIL", "array_record", "flax", "orbax", "matplotlib")


@pytest.mark.parametrize(
    "code",
    [
        "import jaxticket.data",
        "from jaxticket.data import DataOptions; from jaxticket.core.options import parse; "
        "parse(DataOptions, {'name': 'mnist'})",
        "from jaxticket import data; data.spec('mnist').split_sizes(0.1); data.names()",
        "from jaxticket import data; data.load('digits')",
    ],
)
def test_nothing_heavy_is_imported(code):
    program = f"{code}\nimport sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_package_says_what_it_has():
    from jaxticket import data

    assert dir(data) == [
        *("Archive", "DataOptions", "DataScheme", "Dataset", "DatasetSpec", "LabelledImages", "OwnFiles", "Split"),
        *("SplitLike", "is_vouched_for", "load", "names", "register", "register_scheme", "spec"),
    ]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = data.nothing
