"""Lock: a file that pins all that expressions need, so that an application composes them without a server.

steer lock mood='acme//team/love:strong + calm' --to steer.lock
steer pull --locked steer.lock

compose(store, locked("steer.lock")["mood"])
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vectorstore.canonical import Json, is_digest, strict_loads
from vectorstore.client import sightings
from vectorstore.client.files import write
from vectorstore.client.remote import Remote
from vectorstore.compose import compose
from vectorstore.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError, UnavailableError
from vectorstore.fields import Fields
from vectorstore.manifest import BlobEntry
from vectorstore.recipe import Recipe
from vectorstore.reference import check_name, short_name
from vectorstore.store import Store
from vectorstore.store.texts import split_name
from vectorstore.transfer.closure import closure

if TYPE_CHECKING:
    from vectorstore.client.library import Library
    from vectorstore.client.pull import Advance, Pulled

LOCK_VERSION = 1
MAX_LOCK = 16 << 20  # bytes
_ANEW = "make it anew: steer lock"


@dataclass(frozen=True)
class Pin:
    """A version that the expressions need.

    Attributes:
        reference: `team/love@2`, where it was locked.
        digest: its identity.
        kind: `vector` or `recipe`.
        blobs: its bytes, by digest.
        remote: name of a remote that has it, or None.
        there: `team/love`, as that remote calls it, or None.
    """

    reference: str
    digest: str
    kind: str
    blobs: tuple[BlobEntry, ...]
    remote: str | None
    there: str | None

    def to_json(self) -> Json:
        """Return the fields."""
        return {**vars(self), "blobs": [blob._asdict() for blob in self.blobs]}


@dataclass(frozen=True)
class Lock:
    """What a lock file holds.

    Attributes:
        expressions: by name, with every reference pinned to a digest and every preset to its number.
        versions: all that they need, each after those it needs itself.
        remotes: the URLs of the remotes that have them.
    """

    expressions: Mapping[str, Recipe]
    versions: tuple[Pin, ...]
    remotes: Mapping[str, str]

    def to_json(self) -> Json:
        """Return everything."""
        return {
            "version": LOCK_VERSION,
            "expressions": {name: recipe.to_json() for name, recipe in self.expressions.items()},
            "versions": [pin.to_json() for pin in self.versions],
            "remotes": dict(self.remotes),
        }

    def save(self, path: Path) -> None:
        """Write the file; the same lock always gives the same text.

        Raises:
            UnavailableError: when the disk does not take it.
        """
        write(path, json.dumps(self.to_json(), indent=2, sort_keys=True, ensure_ascii=False) + "\n", private=False)


def locked(path: str | Path) -> Mapping[str, Recipe]:
    """Return the expressions of a lock file, to compose: whatever moves meanwhile, they mean what they meant.

    Raises:
        NotFoundError: when there is no such file.
        IntegrityError: when it is not what `steer lock` writes.
    """
    return read_lock(Path(path)).expressions


def read_lock(path: Path) -> Lock:
    """Read a lock file.

    Raises:
        NotFoundError, UnavailableError: when there is none, or it cannot be read.
        IntegrityError: when it is not what `steer lock` writes.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_LOCK + 1)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no {path}", "name the lock file, or make one: steer lock EXPRESSION") from error
    except OSError as error:
        raise UnavailableError(f"cannot read {path} ({error.strerror or error})", "check its rights") from error
    if len(data) > MAX_LOCK:
        raise IntegrityError(f"{path} has more than {MAX_LOCK} bytes", _ANEW)
    fields = Fields(strict_loads(data, str(path)), str(path))
    fields.only({"version", "expressions", "versions", "remotes"})
    if (version := fields.integer("version")) != LOCK_VERSION:
        raise IntegrityError(f"{path} is of version {version}, not {LOCK_VERSION}", "upgrade this program")
    return Lock(
        {name: Recipe.from_json(value) for name, value in fields.mapping("expressions", dict).items()},
        tuple(map(_pin, fields.sequence("versions", dict))),
        fields.mapping("remotes", str),
    )


def make_lock(store: Store, recipes: Mapping[str, Recipe], remotes: Mapping[str, Remote]) -> Lock:
    """Return the lock of expressions that are pinned already; each version with a remote where it was seen."""
    digests = {
        term.digest: f"{term.namespace}/{term.name}@{term.digest}" for each in recipes.values() for term in each.terms
    }
    pins = []
    for version in closure(store, digests.values()):
        remote, there = sightings.seen_at(store, remotes, version.digest) or (None, None)
        pins.append(Pin(str(version), version.digest, version.kind, version.blobs, remote, there))
    used = {pin.remote: remotes[pin.remote].url for pin in pins if pin.remote}
    return Lock(recipes, tuple(pins), used)


def check_lock(lock: Lock, store: Store) -> list[str]:
    """Check without any server that all of a lock is in the library; return what is missing.

    Raises:
        IntegrityError: when bytes are damaged, or the file contradicts itself.
    """
    missing = []
    for pin in lock.versions:
        found = sightings.here(store, pin.digest, pin.reference.partition("@")[0])
        if found is None:
            missing.append(pin.reference)
            continue
        if found.blobs != pin.blobs:
            raise IntegrityError(f"the lock file gives {pin.reference} other blobs than it has", _ANEW)
        store.read_manifest(found)
        for blob in found.blobs:
            store.blobs.verify(blob.digest, blob.size, full=True)
    if not missing:
        for recipe in lock.expressions.values():
            compose(store, recipe)
    return missing


def pull_locked(
    lock: Lock,
    store: Store,
    remotes: Mapping[str, Remote],
    connected: Callable[[str], AbstractContextManager[Library]],
    *,
    advance: Advance | None = None,
) -> Pulled:
    """Bring in what a lock lists and the library does not have; a number that is taken here becomes the next one.

    Raises:
        NotFoundError: for a remote that is not known here, or a version that was on none.
        ConflictError: for a remote that means another URL here.
    """
    from vectorstore.client.pull import Pulled, pull  # noqa: PLC0415 - httpx is imported by who needs it

    absent: dict[str, list[Pin]] = {}
    for pin in lock.versions:
        if sightings.here(store, pin.digest, pin.reference.partition("@")[0]) is None:
            absent.setdefault(_remote(lock, remotes, pin), []).append(pin)
    pulled = Pulled()
    for remote, pins in absent.items():
        with connected(remote) as library:
            wanted = [library.show(pin.kind, str(pin.there), pin.digest) for pin in pins]
            pulled += pull(library, store, wanted, renumber=True, advance=advance)
    return pulled


def _remote(lock: Lock, remotes: Mapping[str, Remote], pin: Pin) -> str:
    """Return the remote that has a version, where it is the one that the lock means."""
    if pin.remote is None:
        raise NotFoundError(
            f"{short_name(pin.reference)} was on no remote when it was locked",
            "push it and lock again, or carry it over: steer bundle create",
        )
    url = lock.remotes.get(pin.remote)
    if pin.remote not in remotes:
        raise NotFoundError(
            f"the lock file needs the remote {pin.remote}", f"type: steer remote add {pin.remote} {url}"
        )
    if remotes[pin.remote].url != url:
        raise ConflictError(
            f"{pin.remote} is {remotes[pin.remote].url} here, and {url} in the lock file",
            f"type: steer remote remove {pin.remote}, and add it anew, if you trust that",
        )
    return pin.remote


def _pin(value: Json) -> Pin:
    fields = Fields(value, "a version of the lock file")
    fields.only(set(Pin.__dataclass_fields__))
    pin = Pin(
        fields.text("reference"),
        fields.text("digest"),
        fields.text("kind"),
        tuple(map(_blob, fields.sequence("blobs", dict))),
        fields.maybe("remote", str),
        fields.maybe("there", str),
    )
    try:
        split_name(pin.reference.partition("@")[0])
        if pin.remote is not None:
            check_name(pin.remote, "remote")
            split_name(pin.there or "")
    except InvalidInputError as error:
        raise IntegrityError(f"the lock file is wrong: {error.problem}", _ANEW) from error
    if not is_digest(pin.digest) or pin.kind not in ("vector", "recipe"):
        raise IntegrityError(f"the lock file gives {pin.reference[:80]} no digest, or no kind", _ANEW)
    return pin


def _blob(value: Json) -> BlobEntry:
    fields = Fields(value, "a blob of the lock file")
    return BlobEntry(fields.text("media_type"), fields.text("digest"), fields.integer("size"))
