"""Login: signing in with an OpenID provider, for a command line that waits on the loopback."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from vectorstore.errors import NotFoundError
from vectorstore.service.guard import Open
from vectorstore.service.login import BROWSER_SECONDS, Brought, Logins
from vectorstore.service.problems import documented
from vectorstore.service.team_shapes import LoginTokenIn, LoginTokenOut

router = APIRouter(prefix="/v1/login", tags=["login"])
_PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
_MAX = 8192
_ELSEWHERE = {302: {"description": "Go there."}, **documented(403)}


@router.get("", status_code=302, responses=_ELSEWHERE, response_class=Response)
def begin(
    request: Request,
    _desk: Open,
    port: Annotated[int, Query(ge=1024, le=65535, description="Where on 127.0.0.1 the command line waits.")],
    challenge: Annotated[str, Query(pattern="^[A-Za-z0-9_-]{43}$", description="Of its secret, as of RFC 7636: S256.")],
) -> Response:
    """Send the browser to the provider."""
    logins = _logins(request)
    url, kept = logins.begin(port, challenge)
    answer = RedirectResponse(url, 302, _PRIVATE)
    answer.set_cookie(
        logins.cookie, kept, max_age=BROWSER_SECONDS, path="/", secure=logins.secure, httponly=True, samesite="lax"
    )
    return answer


@router.get("/callback", status_code=302, responses=_ELSEWHERE, response_class=Response)
def callback(
    request: Request,
    _desk: Open,
    state: Annotated[str, Query(max_length=_MAX)] = "",
    code: Annotated[str, Query(max_length=_MAX)] = "",
    error: Annotated[str, Query(max_length=_MAX)] = "",
    iss: Annotated[str, Query(max_length=_MAX)] = "",
) -> Response:
    """Take what the browser brings from the provider, and send it on to the command line."""
    logins = _logins(request)
    url = logins.finish(request.cookies.get(logins.cookie, ""), Brought(state, code, error, iss))
    answer = RedirectResponse(url, 302, _PRIVATE)
    answer.delete_cookie(logins.cookie, path="/", secure=logins.secure, httponly=True, samesite="lax")
    return answer


@router.post(
    "/token",
    status_code=201,
    responses={201: {"model": LoginTokenOut}, **documented(403, 409)},
    response_class=JSONResponse,
)
def token(request: Request, desk: Open, wanted: LoginTokenIn) -> Response:
    """Make the token of whoever signed in: once for each code, and only for the command line that began."""
    text = _logins(request).token(desk.store, wanted.code, wanted.verifier)
    return JSONResponse({"token": text}, 201, _PRIVATE)


def _logins(request: Request) -> Logins:
    logins: Logins | None = request.app.state.logins
    if logins is None:
        raise NotFoundError("nobody signs in with a provider here", "ask an administrator for a token")
    return logins
