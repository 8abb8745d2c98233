"""Paths: what paths, queries and headers of requests may be, and nothing else is let in."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from inspect import signature
from typing import Annotated, Any, Literal, TypeVar

from fastapi import Depends, Header, Path, Query

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

Parts = TypeVar("Parts")


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


def _made(parts: type[Parts]) -> Callable[..., Coroutine[Any, Any, Parts]]:
    """Return what makes a thing of its parts at once: a class would be called in a thread, which takes longer."""

    async def make(**values: Any) -> Parts:  # noqa: ANN401 - what the class takes
        return parts(**values)

    make.__signature__ = signature(parts, eval_str=True)  # type: ignore[attr-defined]
    return make


NamePath = Annotated[NameParts, Depends(_made(NameParts))]
VersionPath = Annotated[VersionParts, Depends(_made(VersionParts))]
AliasPath = Annotated[AliasParts, Depends(_made(AliasParts))]
Narrowed = Annotated[Narrowing, Depends(_made(Narrowing))]
