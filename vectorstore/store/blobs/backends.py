"""Backends: which kind of place a blobs URL means."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from vectorstore.errors import InvalidInputError, UnavailableError
from vectorstore.settings import absolute_path
from vectorstore.store.blobs.local_blobs import LocalBlobs
from vectorstore.store.blobs.protocol import Blobs

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_FILE = re.compile(r"(?i:file)://(?i:localhost)?(/[^?#]+)")


_OBJECTS = ("s3", "gs", "gcs", "az", "azure", "abfs", "abfss")


def open_blobs(url: str, cache: Path) -> Blobs:
    """Return the blobs at `url`: `file:///folder`, a plain path, or a bucket of an object store.

    Args:
        url: where they are; `s3://`, `gs://` (`gcs://`), `az://` (`azure://`, `abfs://`, `abfss://`) are buckets.
        cache: folder in which blobs of a bucket may be kept.

    Raises:
        InvalidInputError: for any other kind of URL, and for one that does not name a whole path or bucket.
        UnavailableError: for a bucket when what speaks to object stores is not installed.
    """
    scheme = _SCHEME.match(url)
    if scheme is None:
        return LocalBlobs(absolute_path(url))
    if scheme[1].lower() in _OBJECTS:
        return _objects(url, cache / "blobs")
    if scheme[1].lower() != "file":
        raise InvalidInputError(
            f"blobs at '{scheme[0][:40]}' are not supported", "give a folder, or an s3://, gs:// or az:// URL"
        )
    file = _FILE.fullmatch(url)
    if file is None:
        raise InvalidInputError(f"'{url[:60]}' names no folder", "write file:///the/whole/path, or the path alone")
    return LocalBlobs(absolute_path(unquote(file[1])))


def _objects(url: str, cache: Path) -> Blobs:
    try:
        from vectorstore.store.blobs.object_blobs import ObjectBlobs  # noqa: PLC0415 - obstore is an extra
        from vectorstore.store.blobs.object_stores import open_bucket  # noqa: PLC0415 - the same
    except ModuleNotFoundError as error:
        raise UnavailableError(
            f"object stores need the package {error.name}", "type: pip install 'steering-vectorstore[objects]'"
        ) from error
    return ObjectBlobs(open_bucket(url), cache)
