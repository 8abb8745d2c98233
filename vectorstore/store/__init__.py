"""The store: a database of versions and the blobs they consist of.

`store` is the library as programs see it. `save` is the commit protocol, `schema` and `database` the tables, `lookup`
turns references into versions, `changes` moves what may move, `deletion` removes, and `events` remembers all of it.
`blobs/` keeps the bytes, `lists/` lists and searches, `nearest/` finds similar directions, and `upkeep/` collects,
checks, copies and rebuilds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vectorstore.store.store import Store

__all__ = ["Store"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the protocol of modules
    """Import the store when it is asked for: `listing` needs neither numpy nor the ORM, and shall not wait for them."""
    if name == "Store":
        from vectorstore.store.store import Store  # noqa: PLC0415 - see above

        return Store
    raise AttributeError(f"module {__name__} has no attribute {name}")
