"""People: who is asking, their tokens, and the users that administrators make."""

from __future__ import annotations

from datetime import timedelta
from operator import attrgetter

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from vectorstore.accounts import tokens, users
from vectorstore.accounts.rights import Right
from vectorstore.service.guard import Administering, SignedIn
from vectorstore.service.listed import listed
from vectorstore.service.paths import DEFAULT_LIMIT, After, Limit, TokenId, User
from vectorstore.service.problems import documented
from vectorstore.service.team_shapes import (
    MadeTokenOut,
    MeOut,
    TokenIn,
    TokensOut,
    UserChangesIn,
    UserIn,
    UserOut,
    UsersOut,
)

router = APIRouter(prefix="/v1", tags=["people"])


@router.get("/me", responses={200: {"model": MeOut}, **documented(403)}, response_class=JSONResponse)
def me(desk: SignedIn) -> Response:
    """Say who is asking, and how far the token goes."""
    caller = desk.caller
    return JSONResponse(
        {"user": caller.name, "admin": caller.admin, "token": caller.token, "scope": caller.scopes.word}
    )


@router.get("/tokens", responses={200: {"model": TokensOut}, **documented(403)}, response_class=JSONResponse)
def list_tokens(desk: SignedIn, limit: Limit = DEFAULT_LIMIT, after: After = None) -> Response:
    """List the caller's tokens, oldest first; never their secrets."""
    found = tokens.list_tokens(desk.store, desk.caller.name, limit=limit + 1, after=after)
    return listed("tokens", found, limit, attrgetter("id"))


@router.post(
    "/tokens",
    status_code=201,
    responses={201: {"model": MadeTokenOut}, **documented(403, 409)},
    response_class=JSONResponse,
)
def make_token(desk: SignedIn, wanted: TokenIn) -> Response:
    """Make a token, for oneself or, as an administrator, for another; this answer alone has its text."""
    text, token = tokens.make_token(
        desk.store,
        wanted.user or desk.caller.name or "",
        wanted.name,
        Right.parse(wanted.scope),
        namespace=wanted.namespace,
        lifetime=None if wanted.days is None else timedelta(days=wanted.days),
        by=desk.caller,
    )
    return JSONResponse({"token": text, **token.to_json()}, 201)


@router.delete("/tokens/{token}", status_code=204, responses=documented(403, 409), response_class=Response)
def revoke_token(desk: SignedIn, token: TokenId) -> Response:
    """Let a token be good for nothing, at once."""
    tokens.revoke_token(desk.store, token, by=desk.caller)
    return Response(status_code=204)


@router.get("/users", responses={200: {"model": UsersOut}, **documented(403)}, response_class=JSONResponse)
def list_users(desk: Administering, limit: Limit = DEFAULT_LIMIT, after: After = None) -> Response:
    """List the users, by name."""
    found = users.list_users(desk.store, limit=limit + 1, after=after or "")
    return listed("users", found, limit, attrgetter("name"))


@router.post(
    "/users", status_code=201, responses={201: {"model": UserOut}, **documented(403, 409)}, response_class=JSONResponse
)
def add_user(desk: Administering, wanted: UserIn) -> Response:
    """Make a user."""
    return JSONResponse(users.add_user(desk.store, wanted.name, admin=wanted.admin).to_json(), 201)


@router.patch("/users/{user}", responses={200: {"model": UserOut}, **documented(403, 409)}, response_class=JSONResponse)
def change_user(desk: Administering, user: User, wanted: UserChangesIn) -> Response:
    """Shut a user out or let them in, make them an administrator or no longer."""
    found = None
    if wanted.disabled is not None:
        found = users.set_disabled(desk.store, user, disabled=wanted.disabled)
    if wanted.admin is not None:
        found = users.set_admin(desk.store, user, admin=wanted.admin)
    if found is None:
        found = users.show_user(desk.store, user)
    return JSONResponse(found.to_json())
