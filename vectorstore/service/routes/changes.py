"""Changes: what may be said anew about a version, its yank, its deprecation and its end."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse, Response

from vectorstore.accounts import review
from vectorstore.accounts.access import visible
from vectorstore.service import desk_versions as versions
from vectorstore.service.edits import edits_of
from vectorstore.service.guard import Desk, Maintaining, Writing
from vectorstore.service.paths import IfMatch, VersionParts, VersionPath
from vectorstore.service.problems import documented
from vectorstore.service.shapes import ChangesIn, ReasonIn, VersionOut
from vectorstore.store import changes
from vectorstore.store.schema import VersionRow
from vectorstore.store.store import ChangeVersion
from vectorstore.store.texts import check_text
from vectorstore.store.version import Version

router = APIRouter(prefix="/v1/{namespace}/{kind}/{name}/versions/{which}", tags=["changes"])
_SHOWN: dict[int | str, dict[str, Any]] = {200: {"model": VersionOut}, **documented(403, 409, 412)}
Reason = Annotated[str, Header(max_length=1000, description="Why; kept in the log.")]


@router.patch("", responses=_SHOWN, response_class=JSONResponse)
def change(desk: Writing, path: VersionPath, wanted: ChangesIn, if_match: IfMatch = None) -> Response:
    """Change labels, presets or the description, all or nothing."""
    free = [partial(review.require_unprotected, right=desk.right)] if wanted.presets else []
    return _changed(desk, path, if_match, *free, *edits_of(wanted))


@router.post("/yank", responses=_SHOWN, response_class=JSONResponse)
def yank(desk: Maintaining, path: VersionPath, why: ReasonIn, if_match: IfMatch = None) -> Response:
    """Withdraw a version: a bare name means it no more, while what names or pins it outright still gets it."""
    check_text("reason", why.reason)
    return _changed(desk, path, if_match, partial(changes.yank, reason=why.reason))


@router.post("/restore", responses=_SHOWN, response_class=JSONResponse)
def restore(desk: Maintaining, path: VersionPath, if_match: IfMatch = None) -> Response:
    """Take a yank back."""
    return _changed(desk, path, if_match, changes.restore)


@router.post("/deprecate", responses=_SHOWN, response_class=JSONResponse)
def deprecate(desk: Maintaining, path: VersionPath, why: ReasonIn, if_match: IfMatch = None) -> Response:
    """Tell whoever uses a version why they should no longer; it goes on working."""
    check_text("reason", why.reason)
    return _changed(desk, path, if_match, partial(changes.deprecate, reason=why.reason))


@router.post("/undeprecate", responses=_SHOWN, response_class=JSONResponse)
def undeprecate(desk: Maintaining, path: VersionPath, if_match: IfMatch = None) -> Response:
    """Take a deprecation back."""
    return _changed(desk, path, if_match, changes.undeprecate)


@router.delete("", status_code=204, responses=documented(403, 409, 412), response_class=Response)
def delete(desk: Maintaining, path: VersionPath, x_reason: Reason = "", if_match: IfMatch = None) -> Response:
    """Delete a version for good; its number never means anything else."""

    def expect(_session: Session, _row: VersionRow, version: Version) -> None:
        versions.require_kind(version, path.kind)
        versions.require_match(versions.state(version), if_match)

    free = partial(review.require_unprotected, right=desk.right)
    desk.store.delete(versions.reference(path, path.which), x_reason, guards=(expect, free), seen=visible(desk.caller))
    return Response(status_code=204)


def _changed(desk: Desk, path: VersionParts, if_match: str | None, *wanted: ChangeVersion) -> Response:
    def expect(version: Version) -> None:
        versions.require_kind(version, path.kind)
        versions.require_match(versions.state(version), if_match)

    return versions.shown(desk, desk.store.change(versions.reference(path, path.which), *wanted, expect=expect))
