"""Upload: a blob to a registry (distribution-spec 1.1): in one request, or in chunks that go on after a cut."""

from __future__ import annotations

import re

import httpx2

from vectorstore.errors import UnavailableError
from vectorstore.manifest import BlobEntry
from vectorstore.transfer.wire import Answer, BrokenError, Wire

CHUNK = 8 << 20
RESTARTS = 4  # of one blob, where the registry forgot what it had of it
STALLS = 5  # of an upload, without a byte more
_BYTES = {"Content-Type": "application/octet-stream"}
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,18})")
_OK, _CREATED, _ACCEPTED, _NO_CONTENT = 200, 201, 202, 204


class _ForgottenError(Exception):
    """The registry does not know the upload any more, or has other bytes of it than we sent."""


def has_blob(wire: Wire, entry: BlobEntry) -> bool:
    """Return whether the repository has a blob."""
    answer = wire.again(lambda: wire.send("HEAD", wire.url(f"blobs/{entry.digest}")))
    if answer.status not in (_OK, 404):
        raise wire.refusal(answer, f"the blob {entry.digest[:19]}")
    return answer.status == _OK


def upload_blob(wire: Wire, entry: BlobEntry, view: memoryview) -> None:
    """Send a blob; the registry checks its digest.

    Raises:
        NotAllowedError: when we may not.
        UnavailableError: when it cannot be sent.
    """
    for _ in range(RESTARTS):
        try:
            return _upload(wire, entry, view)
        except _ForgottenError:
            if has_blob(wire, entry):  # the answer was lost, not the bytes
                return None
    raise UnavailableError(
        f"{wire.address.host} does not take the blob {entry.digest[:19]} of {entry.size} bytes", "ask who runs it"
    )


def _upload(wire: Wire, entry: BlobEntry, view: memoryview) -> None:
    answer = wire.again(lambda: wire.send("POST", wire.url("blobs/uploads/"), content=b""))
    if answer.status != _ACCEPTED:
        raise wire.refusal(answer, f"uploads to {wire.address.repository}")
    least = answer.headers.get("oci-chunk-min-length", "")
    chunk = max(CHUNK, int(least) if least.isdecimal() and len(least) < 12 else 0)  # noqa: PLR2004 - up to a TB
    location, rest = wire.location(answer), bytes(view) if entry.size <= chunk else b""
    if not rest:
        location = _send_chunks(wire, location, view, chunk)
    _finish(wire, location.copy_merge_params({"digest": entry.digest}), rest)


def _finish(wire: Wire, location: httpx2.URL, rest: bytes) -> None:
    try:
        answer = wire.send("PUT", location, headers=_BYTES, content=rest)
    except BrokenError:
        raise _ForgottenError from None
    if answer.status not in (_CREATED, _NO_CONTENT):
        _forgotten(wire, answer)


def _send_chunks(wire: Wire, location: httpx2.URL, view: memoryview, chunk: int) -> httpx2.URL:
    """Send all bytes in order; return where to say that these are all. After a cut, the registry says what it has."""
    sent = stalls = 0
    while sent < len(view):
        piece = bytes(view[sent : sent + chunk])
        about = {"Content-Range": f"{sent}-{sent + len(piece) - 1}", **_BYTES}
        try:
            answer = wire.send("PATCH", location, headers=about, content=piece)
            if answer.status != _ACCEPTED:
                _forgotten(wire, answer)
            location, there = wire.location(answer), _there(answer, sent + len(piece))
        except BrokenError:
            location, there = _progress(wire, location)
        stalls = stalls + 1 if there <= sent else 0
        if there > len(view) or stalls > STALLS:
            raise _ForgottenError
        sent = there
    return location


def _progress(wire: Wire, location: httpx2.URL) -> tuple[httpx2.URL, int]:
    """Ask how many bytes of an upload have come, and where it goes on."""
    answer = wire.again(lambda: wire.send("GET", location))
    if answer.status != _NO_CONTENT:
        _forgotten(wire, answer)
    again = wire.location(answer) if "location" in answer.headers else location
    return again, _there(answer, 0)


def _there(answer: Answer, otherwise: int) -> int:
    """Return how many bytes the registry has: `0-0` means none, since no chunk has one byte."""
    match = _RANGE.fullmatch(answer.headers.get("range", ""))
    if match is None:
        return otherwise
    last = int(match[1])
    return last + 1 if last else 0


def _forgotten(wire: Wire, answer: Answer) -> None:
    if answer.status in (400, 404, 409, 416):
        raise _ForgottenError
    raise wire.refusal(answer, "an upload")
