"""Namespaces: which there are, who sees them, who works in them, and how much they may hold."""

from __future__ import annotations

from operator import attrgetter, itemgetter

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from vectorstore.accounts import namespaces
from vectorstore.accounts.page import cut
from vectorstore.accounts.rights import Right
from vectorstore.errors import NotAllowedError
from vectorstore.service.guard import Open, Owning, Reading, SignedIn
from vectorstore.service.listed import listed
from vectorstore.service.paths import DEFAULT_LIMIT, After, Limit, Namespace, User
from vectorstore.service.problems import documented
from vectorstore.service.team_shapes import (
    MembersOut,
    NamespaceChangesIn,
    NamespaceIn,
    NamespaceOut,
    NamespacesOut,
    RoleIn,
)

router = APIRouter(prefix="/v1/namespaces", tags=["namespaces"])
_QUOTAS = ("max_bytes", "max_versions")


@router.get("", responses={200: {"model": NamespacesOut}, **documented()}, response_class=JSONResponse)
def list_namespaces(desk: Open, limit: Limit = DEFAULT_LIMIT, after: After = None) -> Response:
    """List the namespaces that the caller may know of, by name."""
    found = namespaces.list_namespaces(desk.store, desk.caller, limit=limit + 1, after=after or "")
    return listed("namespaces", found, limit, attrgetter("name"))


@router.post(
    "", status_code=201, responses={201: {"model": NamespaceOut}, **documented(403, 409)}, response_class=JSONResponse
)
def add(desk: SignedIn, wanted: NamespaceIn) -> Response:
    """Make a namespace; whoever makes it owns it."""
    caller = desk.caller
    needed = Right.OWN if desk.options.open_namespaces else Right.ADMIN
    if caller.scopes < needed or caller.namespace_id is not None or not (caller.admin or desk.options.open_namespaces):
        raise NotAllowedError("you may not make namespaces", "ask an administrator, or use a token with a wider scope")
    made = namespaces.add_namespace(desk.store, wanted.name, wanted.visibility, owner=caller.name)
    return JSONResponse(made.to_json(), 201)


@router.get("/{namespace}", responses={200: {"model": NamespaceOut}, **documented(403)}, response_class=JSONResponse)
def show(desk: Reading, namespace: Namespace) -> Response:
    """Show a namespace."""
    return JSONResponse(namespaces.show_namespace(desk.store, namespace).to_json())


@router.patch(
    "/{namespace}", responses={200: {"model": NamespaceOut}, **documented(403, 409)}, response_class=JSONResponse
)
def change(desk: Owning, namespace: Namespace, wanted: NamespaceChangesIn) -> Response:
    """Change who sees a namespace; administrators also change its quotas."""
    changes = wanted.model_dump(exclude_unset=True)
    if not (desk.caller.admin and desk.caller.scopes >= Right.ADMIN) and any(quota in changes for quota in _QUOTAS):
        raise NotAllowedError("only administrators set quotas", "ask one of them")
    return JSONResponse(namespaces.set_namespace(desk.store, namespace, changes).to_json())


@router.get(
    "/{namespace}/members", responses={200: {"model": MembersOut}, **documented(403)}, response_class=JSONResponse
)
def members(desk: Reading, namespace: Namespace, limit: Limit = DEFAULT_LIMIT, after: After = None) -> Response:
    """List who works in a namespace, by name; for those who are signed in."""
    if desk.caller.user_id is None:
        raise NotAllowedError("members are shown to users", "sign in: steer login URL")
    found = list(namespaces.members(desk.store, namespace, limit=limit + 1, after=after or "").items())
    page, cursor = cut(found, limit, itemgetter(0))
    return JSONResponse({"members": dict(page), "cursor": cursor})


@router.put(
    "/{namespace}/members/{user}",
    responses={200: {"model": MembersOut}, **documented(403, 409)},
    response_class=JSONResponse,
)
def set_member(desk: Owning, namespace: Namespace, user: User, wanted: RoleIn) -> Response:
    """Give a user a role."""
    namespaces.set_member(desk.store, namespace, user, wanted.role)
    return JSONResponse({"members": {user: wanted.role}})


@router.delete("/{namespace}/members/{user}", status_code=204, responses=documented(403, 409), response_class=Response)
def remove_member(desk: Owning, namespace: Namespace, user: User) -> Response:
    """Take a user's role away."""
    namespaces.remove_member(desk.store, namespace, user)
    return Response(status_code=204)
