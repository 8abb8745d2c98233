"""Remotes: connections to other stores, as commands use them. Few commands do, so all is imported when it is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

import click

from vectorstore.client.where import Where
from vectorstore.settings import Settings

if TYPE_CHECKING:
    from vectorstore.client.library import Library
    from vectorstore.client.remotes import Remotes
    from vectorstore.identity import ModelIdentity
    from vectorstore.reference import Reference
    from vectorstore.store import Store


where_argument = click.argument(
    "where", metavar="REMOTE//NAMESPACE", callback=lambda _context, _parameter, text: Where.parse(text)
)


class Joined:
    """What brings in the versions that references to other stores name."""

    def __init__(self, settings: Settings) -> None:
        """Use the remotes of these settings."""
        self._settings = settings

    def bring(self, store: Store, reference: Reference, model: ModelIdentity | None) -> Reference:
        """Return the reference to the same version in `store`, which has it then."""
        return self._remotes.bring(store, reference, model)

    def close(self) -> None:
        """Close all connections."""
        if "_remotes" in vars(self):
            self._remotes.close()

    @cached_property
    def _remotes(self) -> Remotes:
        from vectorstore.client.remotes import Remotes  # noqa: PLC0415 - see above

        return Remotes(self._settings.home, say=_note, quiet=_quiet)


@contextmanager
def connected(settings: Settings, name: str) -> Iterator[Library]:
    """Give the library of a remote."""
    from vectorstore.client.library import Library  # noqa: PLC0415 - see above
    from vectorstore.client.remote import find_remote  # noqa: PLC0415 - see above
    from vectorstore.client.remotes import connect  # noqa: PLC0415 - see above

    _quiet()
    with connect(settings.home, find_remote(settings.home, name)) as connection:
        yield Library(connection)


def _note(text: str) -> None:
    click.echo(f"note: {text}", err=True)


def _quiet() -> None:
    """Let retries be silent: what logs them would write to stdout."""
    import stamina  # noqa: PLC0415 - see above

    stamina.instrumentation.set_on_retry_hooks(())
