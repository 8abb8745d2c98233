"""Reviews: protected aliases, and proposals to move them."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from vectorstore.accounts import review
from vectorstore.service.guard import Maintaining, Reading, Writing
from vectorstore.service.paths import Alias, Namespace, ProposalId
from vectorstore.service.problems import documented
from vectorstore.service.team_shapes import ProposalOut, ProposalsOut, ProtectionIn, ProtectionOut, ProtectionsOut

router = APIRouter(prefix="/v1/{namespace}", tags=["reviews"])
_ONE = {200: {"model": ProposalOut}, **documented(403, 409)}


@router.get("/protections", responses={200: {"model": ProtectionsOut}, **documented(403)}, response_class=JSONResponse)
def protections(desk: Reading, namespace: Namespace) -> Response:
    """List the aliases that only maintainers move."""
    found = review.protections(desk.store, desk.namespace_id)
    return JSONResponse({"protections": [each.to_json() for each in found]})


@router.put(
    "/protections/{alias}",
    responses={200: {"model": ProtectionOut}, **documented(403, 409)},
    response_class=JSONResponse,
)
def protect(desk: Maintaining, namespace: Namespace, alias: Alias, wanted: ProtectionIn) -> Response:
    """Let only maintainers move an alias, each time with somebody else's approval if that is wanted."""
    made = review.protect(desk.store, desk.namespace_id, alias, needs_approval=wanted.needs_approval, right=desk.right)
    return JSONResponse(made.to_json())


@router.delete("/protections/{alias}", status_code=204, responses=documented(403, 409), response_class=Response)
def unprotect(desk: Maintaining, namespace: Namespace, alias: Alias) -> Response:
    """Let writers move an alias again."""
    review.unprotect(desk.store, desk.namespace_id, alias, right=desk.right)
    return Response(status_code=204)


@router.get("/proposals", responses={200: {"model": ProposalsOut}, **documented(403)}, response_class=JSONResponse)
def proposals(desk: Reading, namespace: Namespace, state: review.State = "open") -> Response:
    """List proposals, newest first."""
    found = review.proposals(desk.store, desk.namespace_id, None if state == "all" else state)
    return JSONResponse({"proposals": [each.to_json() for each in found]})


@router.get(
    "/proposals/{proposal}", responses={200: {"model": ProposalOut}, **documented(403)}, response_class=JSONResponse
)
def show(desk: Reading, namespace: Namespace, proposal: ProposalId) -> Response:
    """Show one proposal."""
    return JSONResponse(review.find_proposal(desk.store, desk.namespace_id, proposal).to_json())


@router.post("/proposals/{proposal}/approve", responses=_ONE, response_class=JSONResponse)
def approve(desk: Maintaining, namespace: Namespace, proposal: ProposalId) -> Response:
    """Approve somebody else's proposal, which moves the alias."""
    return JSONResponse(review.approve(desk.store, desk.namespace_id, proposal, by=desk.caller).to_json())


@router.post("/proposals/{proposal}/reject", responses=_ONE, response_class=JSONResponse)
def reject(desk: Maintaining, namespace: Namespace, proposal: ProposalId) -> Response:
    """Reject a proposal."""
    return JSONResponse(review.reject(desk.store, desk.namespace_id, proposal, by=desk.caller).to_json())


@router.post("/proposals/{proposal}/withdraw", responses=_ONE, response_class=JSONResponse)
def withdraw(desk: Writing, namespace: Namespace, proposal: ProposalId) -> Response:
    """Withdraw one's own proposal."""
    return JSONResponse(review.withdraw(desk.store, desk.namespace_id, proposal, by=desk.caller).to_json())
