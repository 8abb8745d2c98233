"""Problems: what a service says is wrong (RFC 9457), as the errors that the same would be here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from vectorstore.client.remote import Remote
from vectorstore.errors import (
    ConflictError,
    IntegrityError,
    InvalidInputError,
    MisfitError,
    NotAllowedError,
    NotAuthenticatedError,
    NotFoundError,
    UnavailableError,
    VectorstoreError,
)

MAX_TEXT = 500
CODES: Mapping[str, type[VectorstoreError]] = {
    "failed": UnavailableError,
    "damaged": UnavailableError,
    "invalid": InvalidInputError,
    "expression": InvalidInputError,
    "not-found": NotFoundError,
    "no-such-method": UnavailableError,
    "refused": UnavailableError,
    "not-allowed": NotAllowedError,
    "not-authenticated": NotAuthenticatedError,
    "conflict": ConflictError,
    "misfit": MisfitError,
    "integrity": IntegrityError,
    "unavailable": UnavailableError,
    "too-large": InvalidInputError,
    "too-many": UnavailableError,
}
"""The class of each code; what is wrong inside the service makes it unavailable, as far as we are concerned."""


class ChangedError(ConflictError):
    """The thing was changed at the remote since we looked."""


_STATUSES: Mapping[int, type[VectorstoreError]] = {
    401: NotAuthenticatedError,
    403: NotAllowedError,
    409: ConflictError,
    413: InvalidInputError,
}


def problem_of(remote: Remote, status: int, body: bytes) -> VectorstoreError:
    """Return the error that an answer says."""
    said = _document(body)
    code, detail, hint = (_text(said, key) for key in ("code", "detail", "hint"))
    if not detail:
        return _unknown(remote, status)
    return as_error(remote, code, detail, hint, status)


def as_error(remote: Remote, code: str, detail: str, hint: str, status: int = 0) -> VectorstoreError:
    """Return the error of a code; its words say where they come from."""
    kind = ChangedError if code == "precondition" else CODES.get(code) or _STATUSES.get(status) or UnavailableError
    if kind is NotAuthenticatedError and not hint.startswith("ask "):  # whom signing in again would not help
        hint = f"type: steer login {remote.name}"
    elif "`steer list`" in hint:  # of the library here
        hint = hint.replace("`steer list`", f"`steer list {remote.name}//`")
    elif "`GET /v1/" in hint:  # a route is no help at a command line
        hint = f"ask one of its owners for a role there, or sign in as somebody who has one: steer login {remote.name}"
    return kind(f"{remote.name} says: {detail[:MAX_TEXT]}", hint[:MAX_TEXT])


def said_problem(remote: Remote, said: Mapping[str, Any]) -> VectorstoreError:
    """Return the error of a problem that is a part of an answer."""
    code, detail, hint = (_text(said, key) for key in ("code", "detail", "hint"))
    return as_error(remote, code, detail or "no reason was given", hint)


def _unknown(remote: Remote, status: int) -> VectorstoreError:
    kind = _STATUSES.get(status, UnavailableError)
    hint = "see `steer remote list` for its URL, and whether a service of this kind runs there"
    return kind(f"{remote.name} answered {status}, and said no more", hint)


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _text(said: Mapping[str, Any], key: str) -> str:
    value = said.get(key)
    return value if isinstance(value, str) else ""
