"""Archive: a tar file of plain files, written the same way each time, and read with nothing taken on trust.

Other tools read what is written here. What is read is a map from names to places in the file: nothing is unpacked, so
no name, link or device in a hostile archive can reach the disk.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from tarfile import USTAR_FORMAT, TarInfo
from typing import BinaryIO

from vectorstore.errors import IntegrityError

BLOCK = 512
RECORD = 20 * BLOCK
MAX_MEMBERS = 20_000
_NAME = re.compile(rb"(?:\./)?([!-~]{1,90})\0*")
_OCTAL = re.compile(rb" *([0-7]{1,11})[ \0]*")
_AGAIN = "get the file again from where it came"


def write_archive(file: BinaryIO, members: Iterable[tuple[str, int, Iterable[bytes]]]) -> None:
    """Write plain files, each with its name, size and bytes; times, owners and modes are always the same."""
    written = 0
    for name, size, chunks in members:
        info = TarInfo(name)
        info.size, info.mode = size, 0o644
        file.write(info.tobuf(USTAR_FORMAT))
        file.writelines(chunks)
        file.write(bytes(-size % BLOCK))
        written += BLOCK + size + -size % BLOCK
    end = 2 * BLOCK
    file.write(bytes(end + -(written + end) % RECORD))


def read_archive(view: memoryview, limits: Mapping[re.Pattern[str], int]) -> dict[str, memoryview]:
    """Return the bytes of each plain file of an archive, by its name; folders are passed over.

    Args:
        view: the archive.
        limits: patterns of the names that it may have, and how many bytes such a file may have.

    Raises:
        IntegrityError: for anything else that is in it: links, devices, other names, a name twice, files that are too
            large or cut short, bytes after the end.
    """
    found: dict[str, memoryview] = {}
    for name, data in _members(view):
        if name in found:
            raise IntegrityError(f"'{name}' is in the archive twice", _AGAIN)
        limit = next((limits[pattern] for pattern in limits if pattern.fullmatch(name)), None)
        if limit is None:
            raise IntegrityError(f"the archive holds '{name}', which has no place in it", _AGAIN)
        if len(data) > limit:
            raise IntegrityError(f"'{name}' in the archive has {len(data)} bytes", f"{limit} are allowed")
        found[name] = data
        if len(found) > MAX_MEMBERS:
            raise IntegrityError("the archive holds too many files", f"{MAX_MEMBERS} are allowed")
    return found


def _members(view: memoryview) -> Iterator[tuple[str, memoryview]]:
    at = folders = 0
    while True:
        header = bytes(view[at : at + BLOCK])
        if len(header) < BLOCK:
            raise IntegrityError("the archive is cut short, or is none", _AGAIN)
        if not any(header):
            return _check_end(view[at:])
        name, size, kind = _header(header)
        start, at = at + BLOCK, at + BLOCK + size + -size % BLOCK
        if at > len(view):
            raise IntegrityError(f"the archive is cut short: '{name}' would have {size} bytes", _AGAIN)
        if any(view[start + size : at]):
            raise IntegrityError(f"there are bytes behind '{name}' in the archive", _AGAIN)
        if kind == b"5" and not size and folders < MAX_MEMBERS:
            folders += 1
            continue
        if kind not in (b"0", b"\0"):
            raise IntegrityError(f"'{name}' in the archive is no plain file", "links, devices and the like are refused")
        yield name, view[start : start + size]


def _header(header: bytes) -> tuple[str, int, bytes]:
    """Return name, size and kind of a member; the names that we know are short and plain."""
    name, size, told = (
        _NAME.fullmatch(header[:100]),
        _OCTAL.fullmatch(header[124:136]),
        _OCTAL.fullmatch(header[148:156]),
    )
    if name is None or size is None or told is None or header[257:262] != b"ustar":
        raise IntegrityError("the archive has a member with a name or size that cannot be, or is none", _AGAIN)
    if int(told[1], 8) != sum(header[:148]) + 8 * ord(" ") + sum(header[156:]):
        raise IntegrityError("a header of the archive was altered", _AGAIN)
    if any(header[157:257]) or any(header[345:]):
        raise IntegrityError(f"'{name[1].decode()}' in the archive is a link, or has a longer name", _AGAIN)
    return name[1].decode(), int(size[1], 8), header[156:157]


def _check_end(rest: memoryview) -> None:
    if len(rest) < 2 * BLOCK:
        raise IntegrityError("the archive has no end", _AGAIN)
    if len(rest) >= 2 * BLOCK + RECORD or any(rest):
        raise IntegrityError("there is something behind the end of the archive", _AGAIN)
