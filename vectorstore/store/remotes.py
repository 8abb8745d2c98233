"""Remotes: what a library asks of other stores: that a version of theirs comes in when a reference names it.

The client has it (`vectorstore.client.remotes`); this room knows no network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from vectorstore.reference import Reference

if TYPE_CHECKING:
    from vectorstore.identity import ModelIdentity
    from vectorstore.store.store import Store


class Remotes(Protocol):
    """The other stores that references may name."""

    def bring(self, store: Store, reference: Reference, model: ModelIdentity | None) -> Reference:
        """Return the reference to the same version in `store`, which has it then; layers and preset stay."""

    def close(self) -> None:
        """Close all connections; the next use makes new ones."""
