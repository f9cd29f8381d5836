"""Fetching archives from their public address, once, and only when asked."""

import hashlib
import http.client
import logging
import urllib.request
from pathlib import Path

from jaxticket.core.errors import DataError
from jaxticket.data.sources.archives import existing, own_folder
from jaxticket.data.specs import Archive, DatasetSpec
from jaxticket.storage.files import replacing

_log = logging.getLogger(__name__)
_CHUNK = 1 << 20


def fetch_archives(spec: DatasetSpec, folder: Path, *, timeout: float = 20.0) -> None:
    """Puts every archive of `spec` that is missing into its own folder, with size and SHA-256 checked.

    One attempt per archive, and no retries: a machine without a network should hear so at once, and archives
    that were fetched are not fetched again. Proxies are taken from the environment, as everywhere in Python.

    Args:
        spec: the data set.
        folder: where data sets live.
        timeout: seconds without an answer after which the network counts as absent.

    Raises:
        DataError: an archive could not be fetched, or is not the expected one.
    """
    place = own_folder(spec, folder)
    for archive in spec.archives:
        if existing(place, archive.name) is None:
            _log.info("downloading %s (%s bytes)", spec.url + archive.name, f"{archive.size:,}")
            _fetch(archive, spec.url + archive.name, place, timeout)


def _fetch(archive: Archive, url: str, place: Path, timeout: float) -> None:
    remedy = f"check the network, or put the file into {place} by hand"
    checksum, size = hashlib.sha256(), 0
    try:
        place.mkdir(parents=True, exist_ok=True)
        with (
            replacing(place / archive.name) as temporary,
            urllib.request.urlopen(url, timeout=timeout) as answer,
            temporary.open("wb") as file,
        ):
            while size <= archive.size and (block := answer.read(_CHUNK)):
                size += len(block)
                checksum.update(block)
                file.write(block)
            if checksum.hexdigest() != archive.sha256:
                raise DataError(
                    f"{url}: sent something else than the published {archive.name} ({archive.size:,} bytes, "
                    f"SHA-256 {archive.sha256[:12]}...); {remedy}"
                )
    # URLError and time-outs are OSErrors; an answer cut short is an HTTPException.
    except (OSError, http.client.HTTPException) as error:
        raise DataError(f"{url}: could not be downloaded ({error}); {remedy}") from error
