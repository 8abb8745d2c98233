"""People: who is asking, their tokens, and the users that administrators make."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from vectorstore.accounts import tokens, users
from vectorstore.accounts.rights import Right
from vectorstore.service.guard import Administering, SignedIn
from vectorstore.service.problems import documented
from vectorstore.service.shapes import (
    MadeTokenOut,
    MeOut,
    TokenId,
    TokenIn,
    TokensOut,
    User,
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
def list_tokens(desk: SignedIn) -> Response:
    """List the caller's tokens; never their secrets."""
    return JSONResponse({"tokens": [token.to_json() for token in tokens.list_tokens(desk.store, desk.caller.name)]})


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


@router.delete("/tokens/{token}", status_code=204, responses=documented(403), response_class=Response)
def revoke_token(desk: SignedIn, token: TokenId) -> Response:
    """Let a token be good for nothing, at once."""
    tokens.revoke_token(desk.store, token, by=desk.caller)
    return Response(status_code=204)


@router.get("/users", responses={200: {"model": UsersOut}, **documented(403)}, response_class=JSONResponse)
def list_users(desk: Administering) -> Response:
    """List the users."""
    return JSONResponse({"users": [user.to_json() for user in users.list_users(desk.store)]})


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
