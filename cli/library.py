"""Library: the options that say which library a command works on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from vectorstore.errors import InvalidInputError
from vectorstore.settings import Settings
from vectorstore.store.database import Database

from .remotes import Joined

if TYPE_CHECKING:
    from vectorstore.store import Store


@dataclass(frozen=True)
class Library:
    """Where the library is, as far as the options say: the environment and the config file say the rest.

    Attributes:
        database: SQLAlchemy URL, or None.
        blobs: folder or URL, or None.
    """

    database: str | None
    blobs: str | None

    @property
    def settings(self) -> Settings:
        """The whole truth: options over environment over config file."""
        return Settings.load(self.database, self.blobs)

    def open(self) -> Store:
        """Open it; an empty one is made."""
        from vectorstore.store import Store  # noqa: PLC0415 - takes longer to import than a list takes

        return Store.open(self.database, blobs=self.blobs, remotes=Joined(self.settings))

    def look(self) -> Store:
        """Open it for what makes nothing new: one that was named has to be there; the default one is made."""
        from vectorstore.store import Store  # noqa: PLC0415 - as above

        create = not self.settings.names_database
        return Store.open(self.database, blobs=self.blobs, create=create, remotes=Joined(self.settings))

    def catalogue(self) -> Database:
        """Open its database alone, for lists, as `look` does."""
        settings = self.settings
        return Database.open(settings.database_url, create=not settings.names_database)


def library_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--database` and `--blobs`; the function gets a `library`."""

    @click.option("--database", metavar="URL", help="Database of the library.")
    @click.option("--blobs", metavar="URL", help="Folder or URL of its blobs.")
    @wraps(function)
    def with_library(*args: Any, database: str | None, blobs: str | None, **kwargs: Any) -> Any:  # noqa: ANN401
        for option, value in (("--database", database), ("--blobs", blobs)):
            if value == "":
                raise InvalidInputError(f"{option} is empty", "give a URL, or leave the option out")
        return function(*args, library=Library(database, blobs), **kwargs)

    return with_library
