"""`steer init`."""

from __future__ import annotations

from vectorstore.errors import NotFoundError
from vectorstore.store import database
from vectorstore.store.engine import read_url, shown

from .answer import Answer
from .command import command
from .library import Library, library_options


@command("init", example="steer init")
@library_options
def init(library: Library) -> Answer:
    """Create or open the library; safe to repeat."""
    settings = library.settings
    created = _is_empty(settings.database_url)
    library.open().close()
    where = shown(read_url(settings.database_url))
    document = {
        "database": where,
        "blobs": settings.blobs_url,
        "schema": database.current(settings.database_url),
        "created": created,
    }
    said = "Created the library" if created else "The library is ready"
    return Answer(document, [f"{said}: {where}, blobs in {settings.blobs_url}"])


def _is_empty(url: str) -> bool:
    try:
        return database.current(url) is None
    except NotFoundError:
        return True
