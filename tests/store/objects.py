"""Helpers of the tests about buckets."""

from __future__ import annotations

import random
import shutil
import traceback
from pathlib import Path

import pytest

from tests.object_server import SECRET
from vectorstore.canonical import digest
from vectorstore.errors import VectorstoreError
from vectorstore.store.blobs.backends import open_blobs
from vectorstore.store.blobs.bucket import PART
from vectorstore.store.blobs.object_blobs import ObjectBlobs

LARGE = random.Random(2).randbytes(2 * PART + 4321)  # noqa: S311 - any bytes will do
LOVE = digest(b"love")


def opened(url: str, tmp_path: Path) -> ObjectBlobs:
    found = open_blobs(url, tmp_path / "cache")
    assert isinstance(found, ObjectBlobs)
    return found


def add(blobs: ObjectBlobs, data: bytes) -> str:
    staged = blobs.stage(data)
    staged.publish()
    staged.discard()
    return staged.digest


def path_of(url: str, name: str) -> str:
    """Return where the server has the object."""
    return f"{url.removeprefix('s3:/')}/sha256/{name[7:9]}/{name[7:]}"


def kept(blobs: ObjectBlobs) -> list[Path]:
    return [path for path in blobs.cache.root.rglob("*") if path.is_file()]


def empty(blobs: ObjectBlobs) -> None:
    shutil.rmtree(blobs.cache.root)


def refusal(kind: type[VectorstoreError], action: object, *arguments: object) -> str:
    """Return the line of an action that must fail so; it shows no secret, not even in its traceback."""
    with pytest.raises(kind) as caught:
        action(*arguments)  # type: ignore[operator]
    assert "\n" not in str(caught.value)
    trace = "".join(traceback.format_exception(caught.value))
    assert SECRET not in trace
    assert "Debug source" not in trace  # the driver's own text, in which it may show whatever it sent
    return str(caught.value)
