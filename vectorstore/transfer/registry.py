"""Registry: versions with all that they need, to and from any OCI registry (distribution-spec 1.1).

A tag names the manifest of a version that stands alone, or an index of several, as a bundle has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain

from vectorstore.canonical import Json, digest
from vectorstore.errors import IntegrityError, InvalidInputError, NotFoundError, UnavailableError
from vectorstore.manifest import EMPTY_CONFIG, MANIFEST_TYPE, BlobEntry
from vectorstore.reference import Reference
from vectorstore.store import Store
from vectorstore.store.contents import OpenBlob, hashed
from vectorstore.transfer.address import Address, parse_address
from vectorstore.transfer.arrive import Advance, Arrived, Offer, arrive
from vectorstore.transfer.closure import closure
from vectorstore.transfer.index import INDEX_TYPE, MAX_INDEX, index_bytes, read_index
from vectorstore.transfer.upload import has_blob, upload_blob
from vectorstore.transfer.wire import BrokenError, Patience, Wire

_EMPTY = BlobEntry.of("application/vnd.oci.empty.v1+json", EMPTY_CONFIG)
_ACCEPT = {"Accept": f"{MANIFEST_TYPE}, {INDEX_TYPE}"}
_OK, _CREATED, _PARTIAL, _UNSATISFIABLE, _MISSING = 200, 201, 206, 416, 404
_AGAIN = "get it again from where it came"


@dataclass
class Pushed:
    """What was pushed.

    Attributes:
        url: under which it can be pulled, as long as the tag is not moved.
        digest: of what the tag names.
        versions: references of all that it names.
        sent: how many blobs were sent.
        size: their bytes together.
        present: how many the registry had already.
    """

    url: str
    digest: str
    versions: list[str] = field(default_factory=list)
    sent: int = 0
    size: int = 0
    present: int = 0

    def to_json(self) -> Json:
        """Return the fields, for programs."""
        return dict(vars(self))


def push(  # noqa: PLR0913 - each is optional
    store: Store,
    references: Iterable[str | Reference],
    url: str,
    *,
    aliases: bool = False,
    plain_http: bool | None = None,
    patience: Patience | None = None,
    advance: Advance | None = None,
) -> Pushed:
    """Push versions with all that they pin and their parents; what the registry has is not sent again.

    Args:
        store: the library.
        references: the versions.
        url: `oci://registry/repository:tag`; the tag is moved here, last of all.
        aliases: tell which aliases they have.
        plain_http: speak http; otherwise only to this machine.
        patience: how long to try.
        advance: is told how far it is.

    Raises:
        InvalidInputError: for an address that cannot be.
        NotFoundError: when there is no such version.
        NotAllowedError: when the registry does not let us.
        IntegrityError: when a blob is missing or damaged.
        UnavailableError: when the registry cannot be reached, or does not take it.
    """
    address = parse_address(url, plain=plain_http)
    if address.digest:
        raise InvalidInputError(f"{url[:200]} names a digest", "name a tag: what it means then is what is pushed")
    versions = closure(store, references)
    manifests = {version.digest: store.read_manifest(version) for version in versions}
    blobs = {entry.digest: entry for version in versions for entry in version.blobs}
    pushed = Pushed(str(address), "", [str(version) for version in versions])
    with Wire(address, patience) as wire:
        _push_blob(wire, _EMPTY, lambda *_: memoryview(EMPTY_CONFIG), pushed)
        for done, entry in enumerate(blobs.values(), 1):
            _push_blob(wire, entry, store.blobs.open, pushed)
            if advance:
                advance(done, len(blobs))
        if len(versions) == 1 and not (aliases and versions[0].aliases):
            (pushed.digest,) = manifests
            _push_manifest(wire, address.reference, MANIFEST_TYPE, manifests[pushed.digest])
            return pushed
        for name, data in manifests.items():
            _push_manifest(wire, name, MANIFEST_TYPE, data)
        index = index_bytes(((each, len(manifests[each.digest])) for each in versions), aliases=aliases)
        pushed.digest = digest(index)
        _push_manifest(wire, address.reference, INDEX_TYPE, index)
    return pushed


def pull(  # noqa: PLR0913 - each is optional
    store: Store,
    url: str,
    *,
    namespace: str | None = None,
    renumber: bool = False,
    dry_run: bool = False,
    plain_http: bool | None = None,
    patience: Patience | None = None,
    advance: Advance | None = None,
) -> Arrived:
    """Pull what a tag or digest names; bytes that are here are not fetched, and every one that comes is verified.

    Args:
        store: the library.
        url: `oci://registry/repository:tag`, or with `@sha256:…`.
        namespace: where all of it shall live; otherwise where each came from.
        renumber: let each have the next number of its name, instead of its own.
        dry_run: only say what would come in.
        plain_http: speak http; otherwise only to this machine.
        patience: how long to try.
        advance: is told how far it is.

    Raises:
        InvalidInputError: for an address that cannot be.
        NotFoundError: when there is no such tag.
        NotAllowedError: when the registry does not let us.
        ConflictError: listing all that contradicts what is here.
        IntegrityError: when what comes is not what it should be, or is something else.
        UnavailableError: when the registry cannot be reached.
    """
    address = parse_address(url, plain=plain_http)
    with Wire(address, patience) as wire:
        offers = [offer.renamed(namespace, renumber=renumber) for offer in _offers(wire, address)]
        return arrive(store, offers, lambda entry: _fetch(wire, entry), dry_run=dry_run, advance=advance)


def _push_blob(wire: Wire, entry: BlobEntry, open_blob: OpenBlob, pushed: Pushed) -> None:
    if has_blob(wire, entry):
        pushed.present += 1
        return
    upload_blob(wire, entry, hashed(open_blob, entry))
    pushed.sent, pushed.size = pushed.sent + 1, pushed.size + entry.size


def _push_manifest(wire: Wire, reference: str, media_type: str, data: bytes) -> None:
    url, headers = wire.url(f"manifests/{reference}"), {"Content-Type": media_type}
    answer = wire.again(lambda: wire.send("PUT", url, headers=headers, content=data))
    if answer.status != _CREATED:
        raise wire.refusal(answer, f"the manifest {digest(data)[:19]}")
    if (said := answer.headers.get("docker-content-digest", digest(data))) != digest(data):
        raise IntegrityError(f"{wire.address.host} keeps the manifest under another digest: {said[:19]}", "push again")


def _offers(wire: Wire, address: Address) -> list[Offer]:
    """Return the versions that a tag or digest names."""
    media_type, data = _manifest(wire, address.reference, MAX_INDEX)
    if address.digest and digest(data) != address.digest:
        raise IntegrityError(f"{address.host} has other bytes under {address.digest[:19]}", _AGAIN)
    if media_type != INDEX_TYPE:
        return [Offer(data)]
    listed = read_index(data, lambda entry: _named(wire, entry))
    return [Offer(_named(wire, each.entry), each.name, each.number, each.aliases) for each in listed]


def _manifest(wire: Wire, reference: str, limit: int) -> tuple[str, bytes]:
    """Return the media type and the bytes of what a tag or digest names."""
    url = wire.url(f"manifests/{reference}")
    answer = wire.again(lambda: wire.send("GET", url, headers=_ACCEPT, limit=limit))
    if answer.status != _OK:
        raise wire.refusal(answer, f"{wire.address.repository}:{reference}")
    return answer.headers.get("content-type", "").partition(";")[0].strip(), answer.data


def _named(wire: Wire, entry: BlobEntry) -> bytes:
    """Return a manifest that an index names."""
    try:
        _, data = _manifest(wire, entry.digest, entry.size)
    except NotFoundError as error:
        raise IntegrityError(f"the index names {entry.digest[:19]}, which the registry has not", _AGAIN) from error
    if digest(data) != entry.digest:
        raise IntegrityError(f"{wire.address.host} has other bytes under {entry.digest[:19]}", _AGAIN)
    return data


def _fetch(wire: Wire, entry: BlobEntry) -> Iterator[bytes]:
    """Yield the bytes of a blob; after a cut it goes on where it was."""
    got = 0
    while got < entry.size:
        first, pieces = wire.again(partial(_started, wire, entry, got))
        if not first:
            raise IntegrityError(
                f"{wire.address.host} has only {got} of the {entry.size} bytes of {entry.digest}", _AGAIN
            )
        with suppress(BrokenError):
            for piece in chain((first,), pieces):
                got += len(piece)
                yield piece


def _started(wire: Wire, entry: BlobEntry, start: int) -> tuple[bytes, Iterator[bytes]]:
    """Return a first piece of what is left of a blob, and the others, which are still to come."""
    pieces = _rest(wire, entry, start)
    return next(pieces, b""), pieces


def _rest(wire: Wire, entry: BlobEntry, start: int) -> Iterator[bytes]:
    """Yield a blob from a byte on, in pieces; what a registry sends before it is passed over."""
    headers = {"Range": f"bytes={start}-"} if start else {}
    with wire.stream(wire.url(f"blobs/{entry.digest}"), headers) as answer:
        if answer.status_code == _MISSING or (start and answer.status_code == _UNSATISFIABLE):
            raise IntegrityError(f"{wire.address.host} has not all of the blob {entry.digest}", _AGAIN)
        if answer.status_code not in (_OK, _PARTIAL):
            raise wire.refusal(answer, f"the blob {entry.digest[:19]}")
        from_start = answer.headers.get("content-range", "").startswith(f"bytes {start}-")
        if answer.status_code == _PARTIAL and not from_start:
            raise UnavailableError(f"{wire.address.host} sends another part than asked for", "try again")
        skip = start if answer.status_code == _OK else 0
        for piece in answer.iter_raw():  # as it comes: what was gathered to larger pieces would be lost by a cut
            if skip < len(piece):
                yield piece[skip:]
            skip = max(0, skip - len(piece))
