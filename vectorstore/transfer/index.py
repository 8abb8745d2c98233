"""Index: the versions of a bundle, or of a tag of a registry, as an OCI image index (image-spec 1.1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from vectorstore.canonical import Json, canonical_bytes, is_digest, strict_loads
from vectorstore.errors import IntegrityError, InvalidInputError
from vectorstore.fields import Fields
from vectorstore.manifest import ARTIFACT_TYPES, MANIFEST_TYPE, MAX_MANIFEST, NAME_ANNOTATION, BlobEntry
from vectorstore.reference import check_name
from vectorstore.store.version import Version
from vectorstore.transfer.closure import MAX_VERSIONS

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
ALIASES_ANNOTATION = "vnd.steering-vectorstore.aliases"
MAX_INDEX = 1 << 22  # bytes
MAX_TOTAL = 1 << 26  # bytes of all manifests: they are held in memory
MAX_DEPTH = 4
MAX_NESTED = 100
MAX_ALIASES = 100
_SCHEMA = 2
_ANEW = "make it anew"
_REFERENCE = re.compile(r"(?P<name>[^/@]+/[^/@]+)@(?P<number>[1-9][0-9]{0,7})")


@dataclass(frozen=True)
class Listed:
    """A version in an index.

    Attributes:
        entry: its manifest, as a blob.
        name: `namespace/name` that it had where it came from; None where that is not said.
        number: the one it had there; None likewise.
        aliases: that it had there, where they were asked for.
    """

    entry: BlobEntry
    name: str | None = None
    number: int | None = None
    aliases: tuple[str, ...] = ()


def index_bytes(versions: Iterable[tuple[Version, int]], *, aliases: bool) -> bytes:
    """Return the index of versions, each with the size of its manifest; `aliases` lists theirs too."""
    manifests = [_descriptor(version, size, aliases=aliases) for version, size in versions]
    return canonical_bytes({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests})


def _descriptor(version: Version, size: int, *, aliases: bool) -> Json:
    annotations = {NAME_ANNOTATION: str(version)}
    if aliases and version.aliases:
        annotations[ALIASES_ANNOTATION] = ",".join(version.aliases)
    return {
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPES[version.kind],
        "digest": version.digest,
        "size": size,
        "annotations": annotations,
    }


def read_index(data: bytes, open_index: Callable[[BlobEntry], bytes]) -> list[Listed]:
    """Read an index that somebody else wrote; each version once, in its order.

    Args:
        data: its bytes.
        open_index: brings the bytes of an index that this one names.

    Raises:
        IntegrityError: for anything but an index of versions; also for too many, and for one nested too deep.
    """
    found: dict[str, Listed] = {}
    opened: set[str] = set()
    waiting = [(data, 1)]
    while waiting:
        some, depth = waiting.pop(0)
        for listed in _descriptors(some):
            if listed.entry.media_type == MANIFEST_TYPE:
                found.setdefault(listed.entry.digest, listed)
            elif listed.entry.digest not in opened:
                opened.add(listed.entry.digest)
                _check_nesting(len(opened), depth)
                waiting.append((open_index(listed.entry), depth + 1))
        if len(found) > MAX_VERSIONS:
            raise IntegrityError("the index names too many versions", f"{MAX_VERSIONS} are allowed")
    if sum(listed.entry.size for listed in found.values()) > MAX_TOTAL:
        raise IntegrityError("the index names too large manifests", f"{MAX_TOTAL} bytes are allowed together")
    return list(found.values())


def _check_nesting(indexes: int, depth: int) -> None:
    if depth == MAX_DEPTH:
        raise IntegrityError(f"its indexes are nested more than {MAX_DEPTH} deep", _ANEW)
    if indexes > MAX_NESTED:
        raise IntegrityError(f"it has more than {MAX_NESTED} nested indexes", _ANEW)


def _descriptors(data: bytes) -> list[Listed]:
    fields = Fields(strict_loads(data, "the index"), "the index")
    if fields.integer("schemaVersion") != _SCHEMA or (fields.maybe("mediaType", str) or INDEX_TYPE) != INDEX_TYPE:
        raise IntegrityError("it is no OCI image index", f"its mediaType should be {INDEX_TYPE}")
    return [_listed(Fields(value, "a descriptor of the index")) for value in fields.sequence("manifests", dict)]


def _listed(fields: Fields) -> Listed:
    entry = BlobEntry(fields.text("mediaType"), fields.text("digest"), fields.integer("size"))
    limit = {MANIFEST_TYPE: MAX_MANIFEST, INDEX_TYPE: MAX_INDEX}.get(entry.media_type)
    if limit is None:
        raise IntegrityError(
            f"the index names something of type {entry.media_type[:80]}", "vectors and recipes are OCI image manifests"
        )
    if not is_digest(entry.digest) or not 0 < entry.size <= limit:
        raise IntegrityError(f"the index names {entry.digest[:80]} of {entry.size} bytes", "get it again")
    annotations = fields.mapping("annotations", str) if fields.maybe("annotations", dict) else {}
    name, number = _reference(annotations.get(NAME_ANNOTATION, ""))
    return Listed(entry, name, number, _aliases(annotations.get(ALIASES_ANNOTATION, "")))


def _reference(text: str) -> tuple[str | None, int | None]:
    """Read `namespace/name@number`; other tools write other things here, which say nothing to us."""
    match = _REFERENCE.fullmatch(text)
    return (match["name"], int(match["number"])) if match else (None, None)


def _aliases(text: str) -> tuple[str, ...]:
    aliases = text.split(",") if text else []
    try:
        checked = tuple(check_name(alias, "alias") for alias in aliases[: MAX_ALIASES + 1])
    except InvalidInputError as error:
        raise IntegrityError(f"the index is wrong: {error.problem}", error.hint) from error
    if len(checked) > MAX_ALIASES:
        raise IntegrityError(f"a version has more than {MAX_ALIASES} aliases", _ANEW)
    return checked
