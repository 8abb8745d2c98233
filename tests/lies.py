"""Versions whose bytes are those that their digests say, and which contradict themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tests.builders import make_card, make_vector
from vectorstore.canonical import canonical_bytes, digest
from vectorstore.codec import pack
from vectorstore.items import items_bytes
from vectorstore.manifest import ITEMS_BLOB, NAME_ANNOTATION, VECTOR_BLOB, BlobEntry, Manifest
from vectorstore.store import Store
from vectorstore.store.draft import PRESETS_ANNOTATION, About, draft_vector
from vectorstore.store.save import commit

VECTOR = make_vector((2, 3))
CARD = make_card(VECTOR)
BODY = pack(VECTOR, CARD)
MANY = tuple({"positive": f"{number:0200}", "negative": " "} for number in range(400))


@dataclass(frozen=True)
class Lie:
    """A version that lies: its manifest, and its blobs in the manifest's order."""

    manifest: Manifest
    blobs: tuple[bytes, ...]

    @property
    def by_digest(self) -> dict[str, bytes]:
        """Its blobs under their true digests."""
        return {digest(blob): blob for blob in self.blobs}


def told(*blobs: bytes, **annotations: str) -> Lie:
    """Return a version of a vector's blob and its items, whose digests and sizes are true."""
    types = (VECTOR_BLOB, ITEMS_BLOB)
    entries = tuple(BlobEntry.of(kind, blob) for kind, blob in zip(types, blobs, strict=False))
    return Lie(Manifest("vector", entries, {NAME_ANNOTATION: "team/lie", **annotations}), blobs)


def header(change: Callable[[dict[str, Any]], object], body: bytes = BODY) -> bytes:
    """Return a safetensors file whose header says something else of the same bytes."""
    length = int.from_bytes(body[:8], "little")
    said = json.loads(body[8 : 8 + length])
    change(said)
    text = json.dumps(said, separators=(",", ":")).encode()
    return len(text).to_bytes(8, "little") + text + body[8 + length :]


def card(change: Callable[[dict[str, Any]], object], body: bytes = BODY) -> bytes:
    """Return a vector's blob whose card says something else."""

    def changed(said: dict[str, Any]) -> None:
        document = json.loads(said["__metadata__"]["card"])
        change(document)
        said["__metadata__"]["card"] = canonical_bytes(document).decode()

    return header(changed, body)


def _tensor(**said: Any) -> Callable[[dict[str, Any]], object]:
    return lambda whole: whole["resid_pre.2"].update(said)


def _apart() -> tuple[bytes, bytes]:
    """Return a vector's blob without its items, and other items of the same count."""
    body = pack(VECTOR, make_card(VECTOR, items=MANY))
    return body, items_bytes(({"positive": "other", "negative": " "}, *MANY[1:]))


def _renamed(said: dict[str, Any]) -> None:
    said["resid_pre.4"] = said.pop("resid_pre.3")


LIES: dict[str, Lie] = {
    "a dtype of half the bytes": told(header(_tensor(dtype="F16"))),
    "a dtype and a width that fill the same bytes": told(header(_tensor(dtype="F16", shape=[16]))),
    "a dtype of the same size": told(header(_tensor(dtype="I32"))),
    "another width": told(header(_tensor(shape=[2, 4]))),
    "another layer than the card's": told(header(_renamed)),
    "a second name beside the card": told(header(lambda said: said["__metadata__"].update(name="other/name"))),
    "a card of a wider model": told(card(lambda said: said["model"]["widths"].update(resid_pre=16))),
    "a card of a model with fewer layers": told(card(lambda said: said["model"].update(layer_count=3))),
    "a card with another norm": told(card(lambda said: said["norms"].update({"resid_pre.2": 1.0}))),
    "a card with a place more": told(card(lambda said: said["norms"].update({"resid_pre.5": 1.0}))),
    "a card that lists other layers": told(card(lambda said: said.update(layers=[2, 3, 5]))),
    "a card that lists another site": told(card(lambda said: said.update(sites=["mlp_out"]))),
    "a card with an R of a place that is not there": told(card(lambda said: said["residual_norms"].update(X=1.0))),
    "a card with an R of a layer that is not there": told(
        card(lambda said: said["residual_norms"].update({"resid_pre.5": 1.0}))
    ),
    "a card with a key more": told(card(lambda said: said.update(name="other/name"))),
    "a card with other items than it counts": told(card(lambda said: said["data"].update(count=7))),
    "a card with other items than its digest": told(card(lambda said: said["data"].update(digest=digest(b"")))),
    "items apart that are not the card's": told(*_apart()),
    "items apart where they are in the card": told(BODY, items_bytes(MANY)),
    "a preset of a layer that the vector has not": told(
        BODY, **{PRESETS_ANNOTATION: '{"strong":{"coefficient":"2","layers":[5,5],"tokens":null}}'}
    ),
}


def tell(store: Store, lie: Lie, name: str) -> str:
    """Let a library keep a lie, which none of ours would, and return its manifest's digest."""
    draft = draft_vector(name, VECTOR, CARD, About())
    contents = tuple((blob, None) for blob in lie.blobs)
    return commit(store.database, store.blobs, replace(draft, manifest=lie.manifest, contents=contents)).version.digest
