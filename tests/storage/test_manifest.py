"""Manifests: absent, whole and damaged folders are three different things."""

import shutil

import pytest

from jaxticket import storage
from jaxticket.core.errors import TicketError

pytestmark = [pytest.mark.feature("crashes, signals and full disks"), pytest.mark.smoke]

CONTENT = {"epochs": 3, "history": [{"loss": 0.5}]}


@pytest.fixture
def folder(tmp_path):
    stage = tmp_path / "stage"
    storage.write_bytes(stage / "a.bin", b"aaaa")
    storage.write_bytes(stage / "deep" / "b.bin", b"")
    storage.write_manifest(stage, ["a.bin", "deep/b.bin"], CONTENT)
    return stage


def test_whole_folder_gives_its_content_wherever_it_is(folder, tmp_path):
    assert storage.read_manifest(folder) == CONTENT
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    (moved / "unlisted").touch()
    assert storage.read_manifest(moved) == CONTENT


def test_how_it_was_made_is_kept_beside_content(folder):
    before = (folder / "manifest.json").read_bytes()
    assert storage.load_manifest(folder).made == {}  # as written by versions that did not note it
    written = storage.write_manifest(folder, ["a.bin", "deep/b.bin"], CONTENT, made={"config": {"lr": 0.1}})
    assert storage.load_manifest(folder) == written
    assert written.made == {"config": {"lr": 0.1}}
    assert written.files["a.bin"] == storage.checksum(folder / "a.bin")
    assert storage.read_manifest(folder) == CONTENT
    assert storage.write_manifest(folder, ["a.bin", "deep/b.bin"], CONTENT).made == {}
    assert (folder / "manifest.json").read_bytes() == before


def test_files_are_looked_at_only_on_request(folder):
    (folder / "a.bin").unlink()
    assert storage.load_manifest(folder, verify=False).content == CONTENT
    with pytest.raises(TicketError, match="missing"):
        storage.load_manifest(folder)


def test_right_manifest_with_wrong_content_is_refused(folder):
    for content, message in (
        ({}, "has no 'files'"),
        ({"files": [], "content": {}}, "files is a list"),
        ({"files": {"a": 1}, "content": {}}, "a is a number; must be an object"),
        ({"files": {"a": {"sha256": 1, "size": 1}}, "content": {}}, "sha256 is a number"),
        ({"files": {"../a": {"sha256": "", "size": 1}}, "content": {}}, "not a file inside"),
    ):
        data = storage.checked_json({"format": "jaxticket-manifest", "version": 1, **content}, "it")
        storage.write_bytes(folder / "manifest.json", data)
        with pytest.raises(TicketError, match=message) as error:
            storage.read_manifest(folder)
        assert "\n" not in str(error.value)


def test_absent_is_none(tmp_path):
    assert storage.read_manifest(tmp_path) is None
    assert storage.read_manifest(tmp_path / "nowhere") is None
    (tmp_path / "file").touch()
    assert storage.read_manifest(tmp_path / "file") is None


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "a.bin").unlink(), r"a\.bin is missing"),
        (lambda folder: (folder / "a.bin").write_bytes(b"aaab"), r"a\.bin is not what .*manifest\.json says"),
        (lambda folder: (folder / "a.bin").write_bytes(b"aaa"), r"a\.bin is not what"),
        (lambda folder: (folder / "deep" / "b.bin").write_bytes(b"x"), r"b\.bin is not what"),
        (lambda folder: (folder / "manifest.json").write_bytes(b""), r"manifest\.json is not JSON"),
        (lambda folder: (folder / "manifest.json").write_bytes(b"{}"), r"manifest\.json is not a jaxticket-manifest"),
    ],
)
def test_damage_names_the_file(folder, damage, message):
    damage(folder)
    with pytest.raises(TicketError, match=message) as error:
        storage.read_manifest(folder)
    assert "\n" not in str(error.value)


def test_every_flipped_byte_of_the_manifest_is_noticed(folder):
    path = folder / "manifest.json"
    data = path.read_bytes()
    for position in range(len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        with pytest.raises(TicketError, match=r"manifest\.json"):
            storage.read_manifest(folder)


def test_manifest_needs_files_that_exist_inside(folder):
    before = (folder / "manifest.json").read_bytes()
    for name, message in (
        ("absent", "absent: there is no such file"),
        ("../outside", "not a file inside"),
        ("/etc/hostname", "not a file inside"),
    ):
        with pytest.raises(TicketError, match=message):
            storage.write_manifest(folder, [name], {})
    with pytest.raises(TicketError, match=r"\['content'\]\['a'\] is a set"):
        storage.write_manifest(folder, [], {"a": {1}})
    assert (folder / "manifest.json").read_bytes() == before
