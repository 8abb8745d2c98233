"""Remotes: references to other stores, used as any other: what they name comes in first, and works offline then.

store = Store.open(remotes=Remotes())
compose(store, "2*acme//team/love@prod + calm")
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vectorstore.client import sightings
from vectorstore.client.credentials import find_token
from vectorstore.client.remote import Remote, find_remote
from vectorstore.errors import UnavailableError
from vectorstore.reference import Reference
from vectorstore.settings import Settings

if TYPE_CHECKING:
    from vectorstore.client.connection import Connection
    from vectorstore.client.library import Library
    from vectorstore.client.patience import Patience
    from vectorstore.client.there import There
    from vectorstore.identity import ModelIdentity
    from vectorstore.store import Store
    from vectorstore.store.version import Found

FRESH = 10.0  # seconds for which an answer is not asked for again
_WHOLE = len("sha256:") + 64


class RemoteWarning(UserWarning):
    """Something to know of a remote: it could not be asked, or it says that a version should not be used."""


def _warn(text: str) -> None:
    warnings.warn(text, RemoteWarning, stacklevel=2)


@dataclass
class Remotes:
    """The remotes of `STEER_HOME`, for `Store.open(remotes=…)`; closing the store closes them.

    Attributes:
        home: folder with `remotes.toml` and the credentials; that of the settings by default.
        say: is told what a user should know, each thing once; by default a warning.
        quiet: called before the first connection is made.
    """

    home: Path = field(default_factory=lambda: Settings.load().home)
    say: Callable[[str], None] = _warn
    quiet: Callable[[], None] = lambda: None
    _connections: dict[str, Connection] = field(default_factory=dict, repr=False)
    _said: set[str] = field(default_factory=set, repr=False)
    _asked: dict[tuple[str, str], tuple[float, There | UnavailableError]] = field(default_factory=dict, repr=False)

    def close(self) -> None:
        """Close all connections; the next use makes new ones."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def bring(self, store: Store, reference: Reference, model: ModelIdentity | None) -> Reference:
        """Return the reference to the same version in `store`; what is missing is pulled.

        Where the remote cannot be reached, it is what it was when the remote was last asked.

        Raises:
            NotFoundError: for an unknown remote; or when it has no such version.
            UnavailableError: when the remote cannot be reached, and the version is not here.
            ConflictError: when its name or number means something else here.
        """
        remote = find_remote(self.home, str(reference.remote))
        asked = replace(reference, remote=None, layers=None, preset=None)
        found = self._kept(store, remote, asked) or self._fetched(store, remote, asked, model)
        own = replace(reference, remote=None, alias=None, digest=None)
        return replace(own, namespace=found.namespace, name=found.name, version=found.number)

    def _kept(self, store: Store, remote: Remote, asked: Reference) -> Found | None:
        """Return what is here of what never means anything else: a number or a whole digest."""
        if asked.digest is not None and len(asked.digest) == _WHOLE:
            return sightings.here(store, asked.digest, f"{asked.namespace}/{asked.name}")
        seen = sightings.find(store, remote, _text(asked)) if asked.version else None
        return None if seen is None else sightings.here(store, seen.digest, f"{asked.namespace}/{asked.name}")

    def _fetched(self, store: Store, remote: Remote, asked: Reference, model: ModelIdentity | None) -> Found:
        from vectorstore.client.pull import pull  # noqa: PLC0415 - httpx is imported by who needs it

        try:
            there = self._ask(remote, asked)
            there = self._fitting(remote, asked, there, model)
            found = sightings.here(store, there.digest, there.full_name)
            if found is None:
                (found,) = pull(self._library(remote), store, [there]).versions
            else:
                self._heed(store, remote, there, found)
        except UnavailableError as error:
            return self._remembered(store, remote, asked, error)
        sightings.note(store, remote, _text(asked), there.digest)
        return found

    def _ask(self, remote: Remote, asked: Reference) -> There:
        """Return what a reference means there; asked once in a while, since an expression is looked at repeatedly."""
        key = remote.key, _text(asked)
        then, answer = self._asked.get(key, (None, None))
        if then is None or answer is None or time.monotonic() - then > FRESH:
            try:
                answer = self._library(remote).resolve(_text(asked))
            except UnavailableError as error:
                answer = error
            self._asked[key] = time.monotonic(), answer
        if isinstance(answer, UnavailableError):
            raise answer
        return answer

    def _fitting(self, remote: Remote, asked: Reference, there: There, model: ModelIdentity | None) -> There:
        """Return the newest version that fits the model, where a bare name was asked for and there is one."""
        if model is None or there.model is None or asked.is_one_version or there.model.fit(model) != "mismatch":
            return there
        return self._library(remote).fitting(there, model) or there

    def _remembered(self, store: Store, remote: Remote, asked: Reference, error: UnavailableError) -> Found:
        seen = sightings.find(store, remote, _text(asked))
        found = None if seen is None else sightings.here(store, seen.digest, f"{asked.namespace}/{asked.name}")
        if seen is None or found is None:
            raise error
        self._tell(f"{error.problem}: {remote.name}//{_text(asked)} is {found.reference}, as it was {seen.age} ago")
        return found

    def _heed(self, store: Store, remote: Remote, there: There, found: Found) -> None:
        """Tell what the remote says against a version, unless that is known here: then it is told anyway."""
        if not there.yanked and there.deprecation is None:
            return
        here = store.resolve(str(found))
        for what, why, known in (
            ("yanked", there.yank_reason if there.yanked else None, here.yanked),
            ("deprecated", there.deprecation, here.deprecation is not None),
        ):
            if why is not None and not known:
                self._tell(f"{here.reference} is {what} at {remote.name}{f': {why}' if why else ''}")

    def _tell(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self.say(text)

    def _library(self, remote: Remote) -> Library:
        from vectorstore.client.library import Library  # noqa: PLC0415 - as above
        from vectorstore.client.patience import IN_PASSING  # noqa: PLC0415 - as above

        if remote.key not in self._connections:
            self.quiet()
            self._connections[remote.key] = connect(self.home, remote, IN_PASSING)
        return Library(self._connections[remote.key])


def connect(home: Path, remote: Remote, patience: Patience | None = None) -> Connection:
    """Return a connection to a remote, with the token that there is for it."""
    from vectorstore.client.connection import Connection  # noqa: PLC0415 - as above
    from vectorstore.client.patience import WAITING  # noqa: PLC0415 - as above

    return Connection(remote, find_token(home, remote), patience or WAITING)


def _text(asked: Reference) -> str:
    """Return the reference as the remote reads it, with its namespace: `team/love@prod`."""
    which = asked.version or asked.alias or asked.digest
    return f"{asked.namespace}/{asked.name}{f'@{which}' if which else ''}"
