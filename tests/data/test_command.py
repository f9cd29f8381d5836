"""`python -m jaxticket.data`, and what is said of data sets that are not there."""

import subprocess
import sys

import pytest

from jaxticket import data
from jaxticket.core.errors import DataError
from jaxticket.data.__main__ import main
from jaxticket.data.sources.find import missing_message, official_splits

pytestmark = [pytest.mark.feature("data sets")]

HEAVY = ("jax", "tensorflow_datasets", "tensorflow", "PIL", "array_record", "flax", "orbax", "matplotlib", "scipy")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = (
        "import sys; from jaxticket.data.__main__ import main\n"
        f"try: code = main({list(arguments)!r})\nexcept SystemExit as end: code = end.code\n"
        f"assert not [name for name in {HEAVY!r} if name in sys.modules]; sys.exit(code)"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)


def test_list_has_a_line_for_every_data_set(tmp_path, small, registered, place_archives, capsys):
    assert main(["list", "--folder", str(tmp_path)]) == 0
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split() == ["name", "classes", "shape", "images", "on", "disk", "status", "where"]
    assert [line.split()[0] for line in lines] == list(data.names())
    rows = {line.split()[0]: line.split()[1:] for line in lines}
    assert rows["digits"] == ["10", "8x8x1", "1,797", "0.1", "MB", "vendored", "in", "the", "package"]
    assert rows["cifar100_coarse"] == ["20", "32x32x3", "60,000", "184.6", "MB", "missing", f"{tmp_path}/cifar100"]
    assert rows["imagenet2012"][1:5] == ["224x224x3", "1,331,167", "154.6", "GB"]
    assert rows["fashion_mnist"][-2] == "missing"

    def fashion() -> str:
        assert main(["list", "--folder", str(tmp_path)]) == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("fashion_mnist")]
        return line

    place_archives(tmp_path / "fashion_mnist")
    assert fashion().endswith(f"archives found  {tmp_path}/fashion_mnist")
    assert main(["prepare", "fashion_mnist", "--folder", str(tmp_path)]) == 0
    capsys.readouterr()
    assert fashion().endswith(f"{tmp_path}/cache/fashion_mnist-3.0.1")
    assert " cached " in fashion()
    (tmp_path / "cache" / "fashion_mnist-3.0.1" / "manifest.json").unlink()
    assert " prepared " in fashion()
    assert fashion().endswith(f"{tmp_path}/fashion_mnist/3.0.1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prepare", "cifar1O"], "data set 'cifar1O': must be one of "),
        (["prepare"], "the following arguments are required: name; see"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        ([], "the following arguments are required: command"),
        (["list", "--fodler", "x"], "unrecognized arguments: --fodler x"),
        (["prepare", "digits"], "digits: comes with the package; there is nothing to prepare"),
        (["prepare", "cifar10", "--archive", "/nowhere"], "/nowhere: does not exist; give the path of cifar-10-binary"),
        (["prepare", "mnist", "--archive", "/"], "/: does not have all of train-images-idx3-ubyte.gz, "),
        (["prepare", "cifar10", "--folder", "/nowhere"], "cifar10 is not on this machine: put cifar-10-binary.tar.gz"),
        (
            ["prepare", "cifar10", "--archive", "/etc/hostname"],
            "/etc/hostname: is not cifar-10-binary.tar.gz of cifar10 (it has",
        ),
    ],
)
def test_mistakes_are_one_line_and_load_nothing_heavy(arguments, message):
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")
    assert message in done.stderr


def test_help_loads_nothing_heavy():
    for arguments in (["--help"], ["prepare", "--help"]):
        done = run(*arguments)
        assert done.returncode == 0, done.stderr
        assert "usage: python -m jaxticket.data" in done.stdout


@pytest.mark.parametrize("name", [name for name in data.names() if data.spec(name).archives])
def test_what_is_missing_has_every_remedy(name, tmp_path):
    row = data.spec(name)
    message = missing_message(row, tmp_path)
    assert "\n" not in message
    assert message.startswith(f"{name} is not on this machine: ")
    assert all(archive.name in message for archive in row.archives)
    assert f"`jaxticket data prepare {name} --archive PATH --folder {tmp_path}`" in message
    assert ("--config.data.download=True" in message) == bool(row.url)
    if not row.stream:
        assert f"into {tmp_path}/{row.folder_name}" in message


def test_what_cannot_be_fetched_says_so(tmp_path):
    assert "(154.6 GB in all) and run" in missing_message(data.spec("imagenet2012"), tmp_path)
    assert "they need an account at https://image-net.org" in missing_message(data.spec("imagenet2012"), tmp_path)
    assert "install Debian's fonts-noto-color-emoji and unicode-data" in missing_message(data.spec("emoji32"), tmp_path)
    with pytest.raises(DataError, match="it is at http://cs231n"):
        official_splits(data.spec("tiny_imagenet"), tmp_path, download=True)
