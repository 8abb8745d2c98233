"""Remotes: connections to other stores, as commands use them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from vectorstore.client.remote import find_remote
from vectorstore.client.remotes import Remotes, connect
from vectorstore.settings import Settings

if TYPE_CHECKING:
    from vectorstore.client.library import Library


def joined(settings: Settings) -> Remotes:
    """Return what brings in the versions that references to other stores name."""
    return Remotes(settings.home, say=_note, quiet=_quiet)


@contextmanager
def connected(settings: Settings, name: str) -> Iterator[Library]:
    """Give the library of a remote."""
    from vectorstore.client.library import Library  # noqa: PLC0415 - httpx takes a while to import

    _quiet()
    with connect(settings.home, find_remote(settings.home, name)) as connection:
        yield Library(connection)


def _note(text: str) -> None:
    click.echo(f"note: {text}", err=True)


def _quiet() -> None:
    """Let retries be silent: what logs them would write to stdout."""
    import stamina  # noqa: PLC0415 - as above

    stamina.instrumentation.set_on_retry_hooks(())
