"""Whatever a file is, refusing it takes little memory, and what its header gives away costs no look at its values."""

from __future__ import annotations

import mmap
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.blobs import HEADER, altered
from tests.worst_blobs import HEADERS, VALUES, Blob
from vectorstore import codec
from vectorstore.codec import MAX_BLOB, MAX_HEADER, unpack
from vectorstore.errors import IntegrityError

MOST = 50_000_000
SMAPS = Path("/proc/self/smaps")


@pytest.mark.parametrize("make", [*HEADERS.values(), *VALUES.values()], ids=[*HEADERS, *VALUES])
def test_refusing_takes_less_than_50_mb_whatever_the_file(make: Callable[[], Blob]):
    blob = make()
    tracemalloc.start()
    with pytest.raises(IntegrityError) as caught:
        unpack(blob)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", HEADERS)
def test_these_headers_are_as_long_as_they_may_be(name: str):
    blob = HEADERS[name]()
    assert int.from_bytes(blob[:8], "little") <= MAX_HEADER


@pytest.mark.parametrize("name", VALUES)
def test_these_blobs_are_as_large_as_they_may_be_and_wrong_in_their_values_only(name: str):
    blob = VALUES[name]()
    assert 0.98 * MAX_BLOB < len(blob) <= MAX_BLOB
    unpack(blob, trusted=True)


@pytest.mark.skipif(not SMAPS.exists(), reason="asks Linux what was read of a mapped file")
def test_a_header_that_is_refused_leaves_the_tensors_unread(tmp_path: Path):
    path = tmp_path / "large.safetensors"
    path.write_bytes(altered(lambda header: header["resid_pre.2"].update(dtype="I64")))
    with path.open("r+b") as file:
        file.truncate(MAX_BLOB)
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    with pytest.raises(IntegrityError, match="has dtype I64"):
        unpack(view)
    assert resident(path) < 2**20


@pytest.mark.parametrize("trusted", [False, True])
def test_a_blob_that_claims_more_bytes_than_it_has_is_refused_before_any_is_allocated(trusted: bool):  # noqa: FBT001
    size = MAX_BLOB // 4 * 4
    header = {**HEADER, "resid_pre.2": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}
    blob = altered(lambda old: old.update(header))
    tracemalloc.start()
    with pytest.raises(IntegrityError):
        unpack(blob, trusted=trusted)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_the_largest_blob_is_read_and_one_byte_more_is_refused(monkeypatch: pytest.MonkeyPatch):
    blob = altered(lambda _: None)
    monkeypatch.setattr(codec, "MAX_BLOB", len(blob))
    unpack(blob)
    monkeypatch.setattr(codec, "MAX_BLOB", len(blob) - 1)
    with pytest.raises(IntegrityError, match=f"the blob has {len(blob)} bytes; 9 to {len(blob) - 1} are allowed"):
        unpack(blob)


def resident(path: Path) -> int:
    """Return how many bytes of a mapped file this process has touched."""
    lines = iter(SMAPS.read_text().splitlines())
    mapping = next(line for line in lines if line.endswith(str(path)))
    assert mapping
    return 1024 * int(next(line for line in lines if line.startswith("Rss:")).split()[1])
