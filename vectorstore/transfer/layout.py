"""Layout: an OCI image layout (image-spec 1.1) in a tar archive, as it is read: by strangers, for all we know."""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from vectorstore.canonical import Json, canonical_bytes, digest, strict_loads
from vectorstore.errors import IntegrityError, NotFoundError, UnavailableError, VectorstoreError
from vectorstore.fields import Fields
from vectorstore.manifest import MAX_MANIFEST, NAME_ANNOTATION, BlobEntry
from vectorstore.store.receive import MAX_SIZES, read_manifest
from vectorstore.store.upkeep.stored_draft import stored_draft
from vectorstore.transfer.archive import read_archive
from vectorstore.transfer.arrive import Offer
from vectorstore.transfer.index import MAX_INDEX, Listed, read_index

LAYOUT, INDEX = "oci-layout", "index.json"
LAYOUT_VERSION = "1.0.0"
LAYOUT_BYTES = canonical_bytes({"imageLayoutVersion": LAYOUT_VERSION})
CHUNK = 1 << 20
_LIMITS = {
    re.compile("oci-layout"): 1 << 12,
    re.compile(r"index\.json"): MAX_INDEX,
    re.compile("blobs/sha256/[0-9a-f]{64}"): max(MAX_MANIFEST, MAX_INDEX, *MAX_SIZES.values()),
}
_AGAIN = "get the file again from where it came"


@dataclass
class Verified:
    """What is in a bundle, and what is wrong with it.

    Attributes:
        versions: references of those that are sound.
        blobs: how many there are.
        size: their bytes together.
        problems: what each is about, and what it is.
    """

    versions: list[str] = field(default_factory=list)
    blobs: int = 0
    size: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_json(self) -> Json:
        """Return everything, for programs."""
        problems = [{"subject": subject, "detail": detail} for subject, detail in self.problems]
        return {**vars(self), "problems": problems, "ok": self.ok}


@dataclass(frozen=True)
class Layout:
    """An open layout: the bytes of each of its files, which stay where they are."""

    members: dict[str, memoryview]

    @cached_property
    def listed(self) -> list[Listed]:
        """The versions that its index names.

        Raises:
            IntegrityError: when the index is not what it should be.
        """
        return read_index(bytes(self.members[INDEX]), self._nested)

    def open(self, name: str, size: int) -> memoryview:
        """Return the bytes of a blob.

        Raises:
            IntegrityError: when it is not there, or has another size.
        """
        view = self.members.get(blob_path(name))
        if view is None:
            raise IntegrityError(f"the blob {name} is missing", _AGAIN)
        if len(view) != size:
            raise IntegrityError(f"the blob {name} has {len(view)} bytes, not {size}", _AGAIN)
        return view

    def fetch(self, entry: BlobEntry) -> Iterator[bytes]:
        """Yield a blob in pieces."""
        view = self.open(entry.digest, entry.size)
        for start in range(0, entry.size, CHUNK):
            yield bytes(view[start : start + CHUNK])

    def offers(self) -> list[Offer]:
        """Return its versions, as the index orders them."""
        return [
            Offer(bytes(self.open(each.entry.digest, each.entry.size)), each.name, each.number, each.aliases)
            for each in self.listed
        ]

    def verify(self, *, complete: bool) -> Verified:
        """Check every byte, and every version as a stranger's; `complete` wants all that is pinned in it, too."""
        blobs = {name: view for name, view in self.members.items() if name.startswith("blobs/")}
        verified = Verified(blobs=len(blobs), size=sum(map(len, blobs.values())))
        here, sound = {each.entry.digest for each in self.listed}, set()
        for each in self.listed:
            try:
                called, used, needs = self._check(each)
            except VectorstoreError as error:
                verified.problems.append((each.name or each.entry.digest, error.problem))
                continue
            sound |= used
            verified.versions.append(called)
            missing = [other for other in needs if complete and other not in here]
            verified.problems += [(called, f"it needs {other[:19]}, which is not in it") for other in missing]
        for name, view in blobs.items():
            if name not in sound and blob_path(found := digest(view)) != name:
                verified.problems.append((name, f"its bytes have another digest: {found[:19]}"))
        return verified

    def _check(self, listed: Listed) -> tuple[str, set[str], list[str]]:
        """Check a version; return what it is called, the files that are sound with it, and the digests it needs."""
        data = bytes(self.open(listed.entry.digest, listed.entry.size))
        manifest = read_manifest(data)
        if manifest.digest != listed.entry.digest:
            raise IntegrityError(f"the manifest {listed.entry.digest} was altered", _AGAIN)
        draft = stored_draft(manifest, self.open)
        name = f"{listed.name}@{listed.number}" if listed.name else manifest.annotations[NAME_ANNOTATION]
        used = {blob_path(entry.digest) for entry in (*manifest.blobs, listed.entry)}
        return name, used, [*(term.digest for term in draft.terms), *draft.about.parents]

    def _nested(self, entry: BlobEntry) -> bytes:
        data = bytes(self.open(entry.digest, entry.size))
        if digest(data) != entry.digest:
            raise IntegrityError(f"the index {entry.digest} was altered", _AGAIN)
        return data


def blob_path(name: str) -> str:
    """Return where a layout has the blob of this digest."""
    return f"blobs/sha256/{name.removeprefix('sha256:')}"


def open_layout(path: Path) -> Layout:
    """Open an archive; only the names of what is in it are read.

    Raises:
        NotFoundError: when there is no such file.
        IntegrityError: when it is no archive, holds something else, or is no layout.
        UnavailableError: when it cannot be read.
    """
    members = read_archive(_mapped(path), _LIMITS)
    if LAYOUT not in members or INDEX not in members:
        raise IntegrityError(f"{path} is no OCI image layout: it has no {LAYOUT} or no {INDEX}", _AGAIN)
    version = Fields(strict_loads(bytes(members[LAYOUT]), LAYOUT), LAYOUT).text("imageLayoutVersion")
    if version != LAYOUT_VERSION:
        raise IntegrityError(f"{path} is an OCI image layout of version {version[:20]}, not {LAYOUT_VERSION}", _AGAIN)
    return Layout(members)


def _mapped(path: Path) -> memoryview:
    try:
        if not path.is_file():
            raise NotFoundError(f"there is no file {path}", "check its name")
        with path.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise IntegrityError(f"{path} is empty", _AGAIN)
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise UnavailableError(f"cannot read {path} ({error.strerror or error})", "check its rights") from error
