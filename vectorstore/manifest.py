"""The manifest: the canonical bytes of a version. Its digest is the version's identity.

It has the shape of an OCI image manifest (image-spec 1.1, "artifact usage"): an empty config, blobs by digest, and the
initial annotations. It holds no time and no number, so the same content is the same version wherever it is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

from vectorstore.canonical import Json, canonical_bytes, digest, is_digest, strict_loads
from vectorstore.errors import IntegrityError
from vectorstore.fields import Fields

MAX_MANIFEST = 1 << 20  # bytes of one that somebody else made
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT_TYPES = {
    "vector": "application/vnd.steering-vectorstore.vector.v1+json",
    "recipe": "application/vnd.steering-vectorstore.recipe.v1+json",
}
VECTOR_BLOB = "application/vnd.safetensors"
ITEMS_BLOB = "application/jsonl"
RECIPE_BLOB = "application/vnd.steering-vectorstore.recipe-body.v1+json"
_BODIES = {"vector": VECTOR_BLOB, "recipe": RECIPE_BLOB}
NAME_ANNOTATION = "org.opencontainers.image.ref.name"
EMPTY_CONFIG = b"{}"
_EMPTY_CONFIG: Json = {
    "mediaType": "application/vnd.oci.empty.v1+json",
    "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    "size": 2,
    "data": "e30=",
}


class BlobEntry(NamedTuple):
    """A blob that belongs to the version: its media type, its digest, and its size in bytes."""

    media_type: str
    digest: str
    size: int

    @classmethod
    def of(cls, media_type: str, data: bytes) -> BlobEntry:
        """Describe `data`."""
        return cls(media_type, digest(data), len(data))


@dataclass(frozen=True)
class Manifest:
    """One version.

    Attributes:
        kind: `vector` or `recipe`.
        blobs: the vector's safetensors file or the recipe's body first, then its items, if they are apart.
        annotations: the initial name, description, license, authors, labels and presets, as strings.
    """

    kind: str
    blobs: tuple[BlobEntry, ...]
    annotations: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Freeze the annotations."""
        object.__setattr__(self, "annotations", MappingProxyType(dict(self.annotations)))

    def to_bytes(self) -> bytes:
        """Return the canonical bytes.

        Raises:
            InvalidInputError: when an annotation is not well-formed text.
        """
        return self._bytes

    @cached_property
    def _bytes(self) -> bytes:
        layers = [{"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size} for blob in self.blobs]
        return canonical_bytes(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "artifactType": ARTIFACT_TYPES[self.kind],
                "config": _EMPTY_CONFIG,
                "layers": layers,
                "annotations": dict(self.annotations),
            }
        )

    @cached_property
    def digest(self) -> str:
        """The version's identity."""
        return digest(self.to_bytes())

    @property
    def entry(self) -> BlobEntry:
        """The manifest itself, as a blob."""
        return BlobEntry(MANIFEST_TYPE, self.digest, len(self.to_bytes()))

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Read canonical bytes.

        Raises:
            IntegrityError: for anything that `to_bytes` would not have written, byte for byte.
        """
        fields = Fields(strict_loads(data, "the manifest"), "the manifest")
        kinds = {artifact_type: kind for kind, artifact_type in ARTIFACT_TYPES.items()}
        kind = kinds.get(fields.text("artifactType"))
        if kind is None:
            raise IntegrityError("the manifest is of an unknown artifact type", f"known: {', '.join(kinds)}")
        blobs = tuple(_blob(Fields(layer, "a blob of the manifest")) for layer in fields.sequence("layers", dict))
        manifest = cls(kind, blobs, fields.mapping("annotations", str))
        if not blobs or blobs[0].media_type != _BODIES[kind]:
            raise IntegrityError(f"the manifest is of a {kind}, but its first blob is not", f"expected {_BODIES[kind]}")
        if manifest.to_bytes() != data:
            raise IntegrityError("the manifest is not in its canonical form", "get it again from where it came")
        return manifest


def _blob(fields: Fields) -> BlobEntry:
    blob = BlobEntry(fields.text("mediaType"), fields.text("digest"), fields.integer("size"))
    if not is_digest(blob.digest):
        raise IntegrityError(f"the manifest names a blob '{blob.digest[:80]}'", "digests are sha256: and 64 hex digits")
    return blob
