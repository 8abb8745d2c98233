"""Backends: which kind of place a blobs URL means."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from vectorstore.errors import InvalidInputError
from vectorstore.settings import absolute_path
from vectorstore.store.blobs import Blobs
from vectorstore.store.local_blobs import LocalBlobs

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_FILE = re.compile(r"(?i:file)://(?i:localhost)?(/[^?#]+)")


def open_blobs(url: str, cache: Path) -> Blobs:  # noqa: ARG001 - for object stores
    """Return the blobs at `url`: `file:///folder`, or a plain path.

    Args:
        url: where they are.
        cache: folder in which blobs that are far away may be kept.

    Raises:
        InvalidInputError: for any other kind of URL, and for one that does not name a whole path.
    """
    scheme = _SCHEME.match(url)
    if scheme is None:
        return LocalBlobs(absolute_path(url))
    if scheme[1].lower() != "file":
        raise InvalidInputError(f"blobs at '{scheme[0][:40]}' are not yet supported", "give a folder")
    file = _FILE.fullmatch(url)
    if file is None:
        raise InvalidInputError(f"'{url[:60]}' names no folder", "write file:///the/whole/path, or the path alone")
    return LocalBlobs(absolute_path(unquote(file[1])))
