"""Shapes: what bodies hold, for those that are read and for the OpenAPI document."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from vectorstore.service.paths import DIGEST_PATTERN, WHICH_PATTERN


class Strict(BaseModel):
    """A body that is read: it has these fields and no others."""

    model_config = ConfigDict(extra="forbid")


class VersionOut(BaseModel):
    """A version; see the documentation of `steer show --json`."""

    model_config = ConfigDict(extra="allow")
    namespace: str
    name: str
    number: int
    reference: str
    digest: str
    kind: str
    yanked: bool
    yank_reason: str
    deprecation: str | None
    aliases: list[str]
    labels: dict[str, str]
    blobs: list[dict[str, Any]]


class PageOut(BaseModel):
    """A page of versions; `cursor` asks for the next one."""

    versions: list[VersionOut]
    cursor: str | None


class EventOut(BaseModel):
    """One change."""

    seq: int
    created_at: datetime
    actor: str
    token: str | None
    action: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    hash: str


class EventsOut(BaseModel):
    """Events, oldest first."""

    events: list[EventOut]


class AliasOut(BaseModel):
    """An alias, and the version it means."""

    alias: str
    number: int
    digest: str


class AliasesOut(BaseModel):
    """The aliases of a name."""

    aliases: list[AliasOut]


class AliasIn(Strict):
    """Which version an alias shall mean: a number, an alias or a digest."""

    version: str = Field(pattern=WHICH_PATTERN)
    reason: str = Field(default="", max_length=1000)


class ReasonIn(Strict):
    """Why."""

    reason: str = Field(default="", max_length=1000)


class ChangesIn(Strict):
    """What shall be different: a label or preset that is null goes away."""

    labels: dict[str, str | None] = Field(default_factory=dict, max_length=100)
    presets: dict[str, str | float | dict[str, Any] | None] = Field(default_factory=dict, max_length=100)
    description: str | None = None


class ReferencesIn(Strict):
    """References to look up at once."""

    references: list[Annotated[str, Field(max_length=600)]] = Field(max_length=200)


class ResolvedOut(BaseModel):
    """What each reference means: a version, or a problem; in the order of the request."""

    answers: list[dict[str, Any]]


class DigestsIn(Strict):
    """Blobs that somebody is about to send."""

    digests: list[Annotated[str, Field(pattern=DIGEST_PATTERN)]] = Field(max_length=1000)


class AbsentOut(BaseModel):
    """Those of them that a version of the namespace can have only once they are sent."""

    absent: list[str]


class UploadIn(Strict):
    """Bytes that will be sent in parts."""

    digest: str = Field(pattern=DIGEST_PATTERN)
    size: int = Field(ge=1)


class UploadOut(BaseModel):
    """How far an upload is."""

    id: str
    digest: str
    size: int
    received: int
    finished: bool
    expires_at: datetime


class BlobOut(BaseModel):
    """Bytes that a namespace has now."""

    digest: str
    size: int
