"""Problems: what is said where something cannot be done (RFC 9457), one code for each class of error."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from pydantic import BaseModel
from starlette.responses import JSONResponse

from vectorstore.errors import (
    ConflictError,
    ExpressionError,
    IntegrityError,
    InvalidInputError,
    MisfitError,
    NotAllowedError,
    NotAuthenticatedError,
    NotFoundError,
    UnavailableError,
    VectorstoreError,
)

log = structlog.get_logger("vectorstore.service")
_OURS = {500: "something is wrong here", 503: "something that this needs cannot be reached"}
MEDIA_TYPE = "application/problem+json"
CODES: Mapping[type[VectorstoreError], tuple[int, str]] = {
    VectorstoreError: (500, "failed"),
    InvalidInputError: (422, "invalid"),
    ExpressionError: (422, "expression"),
    NotFoundError: (404, "not-found"),
    NotAllowedError: (403, "not-allowed"),
    NotAuthenticatedError: (401, "not-authenticated"),
    ConflictError: (409, "conflict"),
    MisfitError: (409, "misfit"),
    IntegrityError: (422, "integrity"),
    UnavailableError: (503, "unavailable"),
}
"""The status and code of each class; classes that are not here take their parent's."""


class Problem(BaseModel):
    """What went wrong, and what to do next."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    hint: str = ""
    request: str = ""


class DamagedStoreError(IntegrityError):
    """Something in the library itself is damaged: no fault of the request."""


class PreconditionError(ConflictError):
    """The thing was changed since the caller looked at it."""


class TooLargeError(InvalidInputError):
    """More bytes than are taken."""


class TooSlowError(UnavailableError):
    """A body that did not come in time."""


class TooManyError(UnavailableError):
    """More requests than are taken."""


OWN: Mapping[type[VectorstoreError], tuple[int, str]] = {
    DamagedStoreError: (500, "damaged"),
    PreconditionError: (412, "precondition"),
    TooLargeError: (413, "too-large"),
    TooManyError: (429, "too-many"),
    TooSlowError: (408, "too-slow"),
}


def problem(error: VectorstoreError, request: str = "", headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the answer for an error; `request` is the request's id."""
    status, code = _status(error)
    extra = dict(headers or {})
    if status in _OURS:  # it may name folders and databases: the log has it
        log.error("problem", id=request, problem=str(error))
        return answer(
            status,
            code,
            _OURS[status],
            "try again, or tell whoever runs the service this id",
            request,
            extra | {"Retry-After": "1"},
        )
    if status == HTTPStatus.UNAUTHORIZED:
        extra["WWW-Authenticate"] = 'Bearer realm="steering-vectorstore"'
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        extra.setdefault("Retry-After", "1")
    return answer(status, code, error.problem, error.hint, request, extra)


def said(error: VectorstoreError) -> dict[str, Any]:
    """Return what a problem says, where it is a part of an answer."""
    status, code = _status(error)
    return {"status": status, "code": code, "detail": _OURS.get(status, error.problem), "hint": error.hint}


def _status(error: VectorstoreError) -> tuple[int, str]:
    known = {**CODES, **OWN}
    return next(known[kind] for kind in type(error).__mro__ if kind in known)


def answer(  # noqa: PLR0913, PLR0917 - a problem has this many parts
    status: int, code: str, detail: str, hint: str = "", request: str = "", headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """Return a problem as an answer."""
    body = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, code=code, hint=hint, request=request
    ).model_dump()
    return JSONResponse(body, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what a route says of its problems: those that every route has, and these."""
    always = (400, 401, 404, 408, 413, 422, 429, 500, 503)
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": _SCHEMA}}}
        for status in sorted({*always, *statuses})
    }


_SCHEMA: dict[str, Any] = {"$ref": "#/components/schemas/Problem"}
