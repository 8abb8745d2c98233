"""Feeds: references looked up at once, the newest versions and the events of a namespace."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse, Response

from vectorstore.accounts.access import access
from vectorstore.accounts.rights import Right
from vectorstore.canonical import Json
from vectorstore.errors import NotAuthenticatedError, VectorstoreError
from vectorstore.reference import parse_reference
from vectorstore.service import desk_versions as versions
from vectorstore.service.guard import Desk, Open, Reading
from vectorstore.service.paths import MAX_SEQ, Namespace, Narrowed
from vectorstore.service.problems import documented, said
from vectorstore.service.shapes import EventsOut, PageOut, ReferencesIn, ResolvedOut
from vectorstore.store import catalogue, feed, lookup

router = APIRouter(prefix="/v1", tags=["feeds"])


@router.post("/resolve", responses={200: {"model": ResolvedOut}, **documented()}, response_class=JSONResponse)
def resolve(desk: Open, wanted: ReferencesIn) -> Response:
    """Say which version each reference means now; what the caller may not see is not there."""
    with desk.store.database.read() as session:
        answers = [_answer(desk, session, reference) for reference in wanted.references]
    return JSONResponse({"answers": answers})


@router.get(
    "/{namespace}/versions", responses={200: {"model": PageOut}, **documented(403)}, response_class=JSONResponse
)
def newest(desk: Reading, namespace: Namespace, wanted: Narrowed) -> Response:
    """List the newest version of each name that is not yanked, vectors and recipes."""
    return versions.newest(desk, namespace, wanted)


@router.get(
    "/{namespace}/events", responses={200: {"model": EventsOut}, **documented(403)}, response_class=JSONResponse
)
def events(
    desk: Reading,
    namespace: Namespace,
    after: Annotated[
        int | None, Query(ge=0, le=MAX_SEQ, description="The number of an event; the last ones without.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=feed.MAX_LIMIT)] = 100,
) -> Response:
    """List what was changed, when and by whom, oldest first; for those who are signed in."""
    if desk.caller.user_id is None:  # it names people and what they may do
        raise NotAuthenticatedError("events are shown to users", "sign in: steer login URL")
    found = feed.feed(desk.store, namespace, after=after, limit=limit)
    return JSONResponse({"events": [event.to_json() for event in found]})


def _answer(desk: Desk, session: Session, text: str) -> Json:
    try:
        reference = parse_reference(text).plain()
        access(session, desk.caller, reference.namespace, Right.READ)
        return {
            "reference": text,
            "version": versions.document(catalogue.load(session, lookup.find(session, reference))),
        }
    except VectorstoreError as error:
        return {"reference": text, "problem": said(error)}
