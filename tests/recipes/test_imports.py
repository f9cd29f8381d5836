import subprocess
import sys

import pytest

pytestmark = [pytest.mark.feature("aids of training")]


def test_options_and_the_package_are_had_without_jax():
    program = "import sys; from jaxticket.recipes import LrsiOptions; print(sorted({'jax', 'flax'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
