import dataclasses
import functools
import http.server
import socket
import threading
import time

import numpy as np
import pytest

from jaxticket import data
from jaxticket.core.errors import DataError
from jaxticket.data import registry
from jaxticket.data.sources.archives import read_archives
from jaxticket.data.sources.download import fetch_archives

pytestmark = [pytest.mark.feature("data sets")]


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass

    def do_GET(self):
        self.server.asked.append(self.path)
        super().do_GET()


@pytest.fixture
def server(tmp_path, place_archives, monkeypatch):
    """The archives behind an address of this machine; `asked` lists what was requested."""
    monkeypatch.setenv("no_proxy", "*")
    served = place_archives(tmp_path / "served")
    handler = functools.partial(Handler, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        running.asked = []
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def online(small, server):
    return dataclasses.replace(small, url=f"http://127.0.0.1:{server.server_port}/")


def test_archives_are_fetched_once_and_checked(online, server, tmp_path, place_archives):
    fetch_archives(online, tmp_path)
    assert len(server.asked) == 4
    place_archives(tmp_path / "by_hand" / "fashion_mnist")
    fetched, by_hand = (read_archives(online, f) for f in (tmp_path, tmp_path / "by_hand"))
    assert fetched is not None
    assert by_hand is not None
    assert np.array_equal(fetched["train"].images, by_hand["train"].images)
    fetch_archives(online, tmp_path)
    assert len(server.asked) == 4
    (tmp_path / "fashion_mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    fetch_archives(online, tmp_path)
    assert server.asked[4:] == ["/t10k-labels-idx1-ubyte.gz"]


def test_load_downloads_only_when_asked(online, server, tmp_path, monkeypatch):
    registry.DATASETS.replace(online)
    with pytest.raises(DataError, match="is not on this machine"):
        data.load("fashion_mnist", folder=tmp_path)
    assert server.asked == []
    assert len(data.load("fashion_mnist", folder=tmp_path, download=True).test.labels) == 120
    asked = len(server.asked)
    assert asked == 4
    data.load("fashion_mnist", folder=tmp_path, download=True)
    assert len(server.asked) == asked


@pytest.mark.parametrize("content", [b"<html>please log in</html>", bytes(1_000_000)])
def test_another_file_is_refused_and_not_kept(online, server, tmp_path, content):
    (tmp_path / "served" / "train-labels-idx1-ubyte.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"something else than the published train-labels-idx1-ubyte\.gz"):
        fetch_archives(online, tmp_path)
    assert [path.name for path in (tmp_path / "fashion_mnist").iterdir()] == ["train-images-idx3-ubyte.gz"]


def test_a_missing_file_is_one_line(online, server, tmp_path):
    (tmp_path / "served" / "train-images-idx3-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"could not be downloaded \(HTTP Error 404: File not found\)"):
        fetch_archives(online, tmp_path)


def no_names(*args, **kwargs):
    raise socket.gaierror(-3, "Temporary failure in name resolution")


@pytest.mark.parametrize("failure", ["refused", "no names", "silent"])
def test_without_network_it_ends_in_one_line(small, tmp_path, monkeypatch, failure):
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1] if failure == "silent" else 9
        offline = dataclasses.replace(small, url=f"http://127.0.0.1:{port}/")
        if failure == "no names":
            monkeypatch.setattr(socket, "getaddrinfo", no_names)
        begun = time.monotonic()
        with pytest.raises(DataError) as error:
            fetch_archives(offline, tmp_path, timeout=0.5)
    assert time.monotonic() - begun < 5
    message = str(error.value)
    assert message.startswith(f"{offline.url}train-images-idx3-ubyte.gz: could not be downloaded (")
    assert f"put the file into {tmp_path / 'fashion_mnist'} by hand" in message
    assert "\n" not in message
    assert list((tmp_path / "fashion_mnist").iterdir()) == []
