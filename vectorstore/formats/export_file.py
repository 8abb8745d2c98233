"""Export: a version's blob to a file, byte for byte, so that its digest stays what it is."""

from __future__ import annotations

import hashlib
import os
import uuid
from contextlib import suppress
from pathlib import Path
from stat import S_IMODE

from vectorstore.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError, UnavailableError
from vectorstore.manifest import BlobEntry
from vectorstore.reference import Reference, parse_reference
from vectorstore.store import Store
from vectorstore.store.blobs.folders import sync_folder
from vectorstore.store.version import Version

CHUNK = 1 << 20


def export_file(store: Store, reference: str | Reference, to: str | Path, *, force: bool = False) -> Version:
    """Write the blob of a vector to the file `to`, and return the version it is of.

    The file is whole or not there: it is written beside, checked, synced, and then given its name. One that it replaces
    leaves it its permissions.

    Raises:
        NotFoundError: when there is no such version, or no folder to write to.
        InvalidInputError: for part of a version, or a file that does not end in .safetensors.
        ConflictError: for a recipe, and for a file that is there already, without `force`.
        IntegrityError: when the blob is missing or damaged.
        UnavailableError: when the disk cannot take it.
    """
    path = Path(to)
    _check_target(path, force=force)
    version = store.resolve(_whole(reference))
    if version.kind != "vector":
        raise ConflictError(
            f"{version.reference} is a recipe, and a file holds one vector", _compose(version.reference)
        )
    entry = version.blobs[0]
    blob = store.blobs.open(entry.digest, entry.size)
    try:
        _write(path, blob, entry)
    except OSError as error:
        raise UnavailableError(
            f"cannot write {path} ({error.strerror or error})",
            "check that its folder can be written and the disk has space",
        ) from error
    return version


def _whole(reference: str | Reference) -> Reference:
    parsed = parse_reference(reference) if isinstance(reference, str) else reference
    if parsed.layers or parsed.preset:
        raise InvalidInputError(f"'{parsed}' is not a whole version", f"export all of it, or {_compose(str(parsed))}")
    return parsed


def _compose(expression: str) -> str:
    return f"make a vector of it first: steer compose '{expression}' --save NAME --as vector"


def _check_target(path: Path, *, force: bool) -> None:
    if path.suffix != ".safetensors":
        raise InvalidInputError(f"'{path.name}' does not end in .safetensors", "a vector's file is one, so name it so")
    if not path.parent.is_dir():
        raise NotFoundError(f"there is no folder {path.parent}", "make it first")
    if path.is_dir() or (path.exists() and not force):
        raise ConflictError(f"{path} is there already", "give another name, or --force to replace the file")


def _write(path: Path, data: memoryview, entry: BlobEntry) -> None:
    beside = path.with_name(f".{uuid.uuid4().hex}.tmp")
    sha256 = hashlib.sha256()
    try:
        with beside.open("xb") as file:
            if path.exists():  # what was kept from others stays so
                beside.chmod(S_IMODE(path.stat().st_mode))
            for start in range(0, len(data), CHUNK):
                sha256.update(data[start : start + CHUNK])
                file.write(data[start : start + CHUNK])
            file.flush()
            os.fsync(file.fileno())
        if f"sha256:{sha256.hexdigest()}" != entry.digest:
            raise IntegrityError(f"the blob {entry.digest} was altered", "restore it from a backup")
        beside.replace(path)
        sync_folder(path.parent)
    finally:
        with suppress(OSError):
            beside.unlink()
