"""Shapes: what bodies hold, for those that are read and for the OpenAPI document."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Depends, Header, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from vectorstore.reference import MAX_NAME
from vectorstore.store.lists.listing import LIMIT, MAX_LIMIT

DEFAULT_LIMIT = LIMIT
NAME_PATTERN = rf"^[A-Za-z][A-Za-z0-9_-]{{0,{MAX_NAME - 1}}}$"
DIGEST_PATTERN = r"^sha256:[0-9a-f]{64}$"
WHICH_PATTERN = rf"^([1-9][0-9]{{0,8}}|sha256:[0-9a-f]{{4,64}}|[A-Za-z][A-Za-z0-9_-]{{0,{MAX_NAME - 1}}})$"
MAX_SEQ = (1 << 63) - 1

Namespace = Annotated[str, Path(pattern=NAME_PATTERN, description="A namespace.")]
Kind = Annotated[Literal["vectors", "recipes"], Path(description="What lies there: vectors or recipes.")]
Name = Annotated[str, Path(pattern=NAME_PATTERN, description="The name within its namespace.")]
Which = Annotated[str, Path(pattern=WHICH_PATTERN, description="A number, an alias, or a digest or its beginning.")]
Alias = Annotated[str, Path(pattern=NAME_PATTERN, description="An alias.")]
Digest = Annotated[str, Path(pattern=DIGEST_PATTERN, description="`sha256:` and 64 hex digits.")]
User = Annotated[str, Path(pattern=NAME_PATTERN, description="A user.")]
TokenId = Annotated[str, Path(pattern="^[0-9A-Za-z]{12}$", description="The public part of a token.")]
ProposalId = Annotated[int, Path(ge=1, le=(1 << 63) - 1, description="A proposal.")]
WebhookId = Annotated[int, Path(ge=1, le=(1 << 63) - 1, description="A webhook.")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="At most so many.")]
After = Annotated[str | None, Query(max_length=600, description="The cursor of the page before.")]
IfMatch = Annotated[str | None, Header(max_length=1000, description="The ETag of the thing as the caller saw it.")]
IfNoneMatch = Annotated[str | None, Header(max_length=1000, description="ETags that the caller has already.")]
Role = Literal["reader", "writer", "maintainer", "owner"]
Scope = Literal["read", "write", "maintain", "own", "admin"]
Visibility = Literal["public", "internal", "private"]


class Strict(BaseModel):
    """A body that is read: it has these fields and no others."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class NameParts:
    """A path to a name."""

    namespace: Namespace
    kind: Kind
    name: Name


@dataclass(frozen=True)
class VersionParts(NameParts):
    """A path to a version."""

    which: Which


@dataclass(frozen=True)
class AliasParts(NameParts):
    """A path to an alias."""

    alias: Alias


@dataclass(frozen=True)
class Narrowing:
    """What a list is narrowed by, and which page of it is wanted."""

    label: Annotated[list[str] | None, Query(max_length=20, description="`key=value`; all of them.")] = None
    model: Annotated[str | None, Query(max_length=512)] = None
    method: Annotated[str | None, Query(max_length=128)] = None
    layer: Annotated[int | None, Query(ge=0, le=999_999)] = None
    site: Annotated[str | None, Query(max_length=16)] = None
    author: Annotated[str | None, Query(max_length=255)] = None
    text: Annotated[str | None, Query(max_length=1000, description="Words, or beginnings such as `wed*`.")] = None
    sort: Literal["newest", "oldest", "name"] = "newest"
    limit: Limit = DEFAULT_LIMIT
    after: After = None


NamePath = Annotated[NameParts, Depends()]
VersionPath = Annotated[VersionParts, Depends()]
AliasPath = Annotated[AliasParts, Depends()]
Narrowed = Annotated[Narrowing, Depends()]


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


class NamespaceIn(Strict):
    """A namespace to make."""

    name: str = Field(pattern=NAME_PATTERN)
    visibility: Visibility = "private"


class NamespaceChangesIn(Strict):
    """What shall be different about a namespace; a quota that is null is none."""

    visibility: Visibility = "private"
    max_bytes: int | None = Field(default=None, ge=0, le=1 << 62)
    max_versions: int | None = Field(default=None, ge=0, le=1 << 62)


class NamespaceOut(BaseModel):
    """A namespace."""

    name: str
    visibility: Visibility
    max_bytes: int | None
    max_versions: int | None
    created_at: datetime


class NamespacesOut(BaseModel):
    """Namespaces, by name."""

    namespaces: list[NamespaceOut]
    cursor: str | None


class RoleIn(Strict):
    """A role to give."""

    role: Role


class MembersOut(BaseModel):
    """Roles by user."""

    members: dict[str, Role]
    cursor: str | None = None


class MeOut(BaseModel):
    """Who is asking."""

    user: str
    admin: bool
    token: str
    scope: str


class TokenIn(Strict):
    """A token to make."""

    name: str = Field(max_length=255)
    scope: Scope = "write"
    namespace: str | None = Field(default=None, pattern=NAME_PATTERN)
    days: float | None = Field(default=None, gt=0, le=3650)
    user: str | None = Field(default=None, pattern=NAME_PATTERN)


class TokenOut(BaseModel):
    """What is known of a token."""

    id: str
    user: str
    name: str
    scope: str
    namespace: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    parent: str | None


class MadeTokenOut(TokenOut):
    """A token that was just made, with its text."""

    token: str


class TokensOut(BaseModel):
    """Tokens, oldest first."""

    tokens: list[TokenOut]
    cursor: str | None


class LoginTokenIn(Strict):
    """The code that the browser brought to the command line, and the secret that only the command line has."""

    code: str = Field(max_length=8192)
    verifier: str = Field(pattern="^[A-Za-z0-9._~-]{43,128}$")


class LoginTokenOut(BaseModel):
    """The token of whoever signed in."""

    token: str


class UserIn(Strict):
    """A user to make."""

    name: str = Field(pattern=NAME_PATTERN)
    admin: bool = False


class UserChangesIn(Strict):
    """What shall be different about a user."""

    disabled: bool | None = None
    admin: bool | None = None


class UserOut(BaseModel):
    """A user."""

    name: str
    admin: bool
    created_at: datetime
    disabled: bool


class UsersOut(BaseModel):
    """Users, by name."""

    users: list[UserOut]
    cursor: str | None


class ProtectionIn(Strict):
    """How an alias is protected."""

    needs_approval: bool = False


class ProtectionOut(BaseModel):
    """An alias that only maintainers move."""

    alias: str
    needs_approval: bool


class ProtectionsOut(BaseModel):
    """Protected aliases."""

    protections: list[ProtectionOut]


class ProposalOut(BaseModel):
    """The wish to move a protected alias."""

    id: int
    name: str
    alias: str
    number: int | None
    state: Literal["open", "approved", "rejected", "withdrawn"]
    reason: str
    proposed_by: str
    proposed_at: datetime
    decided_by: str | None
    decided_at: datetime | None


class ProposalsOut(BaseModel):
    """Proposals, newest first."""

    proposals: list[ProposalOut]


class WebhookIn(Strict):
    """Who is to be told, and of what."""

    url: str = Field(pattern="^https?://[!-~]+$", max_length=1024)
    actions: list[Annotated[str, Field(pattern=r"^[a-z]+\.[a-z]+$", max_length=32)]] = Field(
        default_factory=list, max_length=15
    )


class WebhookOut(BaseModel):
    """Who is told, and how far they are."""

    id: int
    url: str
    actions: list[str]
    created_at: datetime
    sent_seq: int
    attempts: int
    disabled: bool
    last_error: str
    made_by: str | None


class MadeWebhookOut(WebhookOut):
    """A webhook that was just made, with its secret."""

    secret: str


class WebhooksOut(BaseModel):
    """Webhooks."""

    webhooks: list[WebhookOut]
