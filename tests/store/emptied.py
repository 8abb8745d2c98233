"""Empty libraries, made of used ones more quickly than anew."""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy import create_engine, text

from vectorstore.store.schema import Base


def empty(url: str, template: Path) -> None:
    """Take all rows away: most quickly, on SQLite, with the file."""
    if url.startswith("sqlite"):
        for path in Path(url.removeprefix("sqlite:///")).parent.glob("library.db*"):
            path.unlink()
        shutil.copy(template, url.removeprefix("sqlite:///"))
        return
    engine = create_engine(url)
    with engine.begin() as connection:
        tables = ", ".join([*Base.metadata.tables, "version_search"])
        connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    engine.dispose()
