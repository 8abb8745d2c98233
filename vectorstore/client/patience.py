"""Patience: how long a request is tried, and for which failures trying again helps and does no harm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

from vectorstore.errors import UnavailableError, VectorstoreError

BUSY = (429, 502, 503, 504)
_NOT_BEGUN = (429, 503)  # what a service answers before it has done anything
LONGEST_WAIT = 60.0  # seconds that a service may ask us to wait
_DIGITS = 5


@dataclass(frozen=True)
class Patience:
    """How long to try.

    Attributes:
        attempts: at most so many for one request.
        seconds: at most so long for one request with all its attempts.
        connect: seconds for a connection.
        idle: seconds between two pieces of an answer, or of a body.
    """

    attempts: int = 6
    seconds: float = 90
    connect: float = 10
    idle: float = 60


WAITING = Patience()
IN_PASSING = Patience(attempts=2, seconds=10, connect=3, idle=20)
"""For references that are looked up while something else is done, and that can be used offline too."""


class BusyError(UnavailableError):
    """The service asks us to come again; `wait` is after how many seconds, if it says."""

    def __init__(self, problem: str, hint: str, wait: float | None, *, begun: bool) -> None:
        """Keep how long to wait, and whether the request may have been carried out."""
        super().__init__(problem, hint)
        self.wait = wait
        self.begun = begun


def busy(error: VectorstoreError, status: int, headers: Mapping[str, str]) -> BusyError:
    """Return the error of an answer with a status of BUSY."""
    begun = status not in _NOT_BEGUN
    return BusyError(error.problem, error.hint or "try again later", _wait(headers), begun=begun)


def helps(error: Exception, *, repeatable: bool) -> bool | float:
    """Return whether to try again after `error`, or after how many seconds.

    What is not repeatable is tried again only where it was not begun.
    """
    if isinstance(error, BusyError):
        return (repeatable or not error.begun) and (True if error.wait is None else error.wait)
    if isinstance(error, httpx2.UnsupportedProtocol | httpx2.LocalProtocolError):
        return False
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout):
        return "CERTIFICATE" not in str(error)
    return repeatable and isinstance(error, httpx2.TransportError)


def _wait(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds the service asks us to wait; dates are not taken."""
    text = headers.get("retry-after", "")
    return min(float(text), LONGEST_WAIT) if text.isdecimal() and len(text) <= _DIGITS else None
