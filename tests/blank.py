"""A library without versions, copied from one that was migrated once: migrations take longer than most tests."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from vectorstore.store.database import upgrade


def blank(path: Path) -> str:
    """Put an empty SQLite library at `path`, unless there is one, and return its URL."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_migrated())
    return f"sqlite:///{path}"


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "library.db"
        upgrade(f"sqlite:///{path}")
        return path.read_bytes()
