"""The store: a database of versions and the blobs they consist of.

`store` is the library as programs see it. `save` is the commit protocol, `blobs` keeps the bytes, `schema` and
`database` the tables, `lookup` turns references into versions, `catalogue` lists and searches, `changes` moves what may
move, and `events` remembers all of it.
"""

from vectorstore.store.store import Store

__all__ = ["Store"]
