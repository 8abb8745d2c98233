"""Team shapes: the bodies that tell of namespaces, people, their tokens, review and webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from vectorstore.accounts.actions import ACTIONS
from vectorstore.service.paths import NAME_PATTERN
from vectorstore.service.shapes import Strict

Role = Literal["reader", "writer", "maintainer", "owner"]
Scope = Literal["read", "write", "maintain", "own", "admin"]
Visibility = Literal["public", "internal", "private"]


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
    actions: list[Annotated[str, Field(json_schema_extra={"enum": list(ACTIONS)})]] = Field(
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
