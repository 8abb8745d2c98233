"""Wire: requests to one registry, authorised, tried again where that helps, with answers of bounded size."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import httpx2
import stamina

import vectorstore
from vectorstore.errors import IntegrityError, NotAllowedError, NotFoundError, UnavailableError, VectorstoreError
from vectorstore.transfer.address import Address
from vectorstore.transfer.credentials import find_credentials
from vectorstore.transfer.guard import Guard, refused

MAX_ANSWER = 1 << 16  # bytes of an answer that is no manifest and no blob
MAX_REDIRECTS = 5
LONGEST_WAIT = 60.0  # seconds that a registry may ask us to wait
_REDIRECTS = (301, 302, 303, 307, 308)
_BUSY = (408, 429, 500, 502, 503, 504)
_BROKEN = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError)
_UNAUTHORISED, _FORBIDDEN, _MISSING = 401, 403, 404
Answered = TypeVar("Answered")
Headers = Mapping[str, str]
_NONE: Headers = {}


@dataclass(frozen=True)
class Patience:
    """How long to try: so many attempts for a request, and so many seconds for all of these together."""

    attempts: int = 6
    seconds: float = 90


@dataclass(frozen=True)
class Answer:
    """An answer that was read to its end."""

    status: int
    headers: httpx2.Headers
    data: bytes
    url: httpx2.URL


class BrokenError(UnavailableError):
    """The connection broke, or the registry is busy: trying again may help. `wait` is how long it asks us to."""

    def __init__(self, problem: str, hint: str = "try again later", wait: float | None = None) -> None:
        """Keep how long to wait."""
        super().__init__(problem, hint)
        self.wait = wait


class Wire:
    """Requests to the repository of an address. Close it at the end."""

    def __init__(self, address: Address, patience: Patience | None = None) -> None:
        """Prepare; nothing is connected yet. Proxies and certificates are those of the environment."""
        self.address = address
        self.patience = patience or Patience()
        self._client = httpx2.Client(
            headers={
                "User-Agent": f"steering-vectorstore/{vectorstore.__version__}",
                "Accept-Encoding": "identity",  # nothing is unpacked, so nothing swells
            },
            timeout=httpx2.Timeout(60, connect=10),
            follow_redirects=False,
        )
        self._root = httpx2.URL(address.root)
        self._guard = Guard(self._client, address.host, find_credentials(address.host))

    def close(self) -> None:
        """Close it."""
        self._client.close()

    def __enter__(self) -> Self:
        """Close it at the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def url(self, path: str) -> httpx2.URL:
        """Return the URL of a part of the repository: `blobs/sha256:…`."""
        return httpx2.URL(f"{self.address.root}/{path}")

    def again(self, request: Callable[[], Answered]) -> Answered:
        """Do `request`, and again after a while where that can help.

        Raises:
            VectorstoreError: as it does at last.
        """
        patience = self.patience
        try:
            for attempt in stamina.retry_context(
                on=_helps, attempts=patience.attempts, timeout=patience.seconds, wait_initial=0.2, wait_max=15
            ):
                with attempt:
                    return request()
        except BrokenError as error:
            raise UnavailableError(error.problem, error.hint) from error
        raise AssertionError  # pragma: no cover - the loop ends by returning or raising

    def send(
        self,
        method: str,
        url: httpx2.URL,
        *,
        headers: Headers = _NONE,
        content: bytes | None = None,
        limit: int = MAX_ANSWER,
    ) -> Answer:
        """Send a request once, and read its answer.

        Raises:
            BrokenError: when trying again may help.
            NotAllowedError: when the registry does not let us.
            UnavailableError, IntegrityError: when there is no answer that can be used.
        """
        with self._opened(method, url, headers, content) as answer:
            data = bytearray()
            for chunk in answer.iter_raw():
                data += chunk
                if len(data) > limit:
                    raise IntegrityError(f"{self.address.host} answers with more than {limit} bytes", "ask who runs it")
            return Answer(answer.status_code, answer.headers, bytes(data), answer.url)

    @contextmanager
    def stream(self, url: httpx2.URL, headers: Headers = _NONE) -> Iterator[httpx2.Response]:
        """Give an answer whose bytes are still to be read."""
        with self._opened("GET", url, headers, None) as answer:
            yield answer

    def location(self, answer: Answer) -> httpx2.URL:
        """Return where an answer says that an upload goes on.

        Raises:
            UnavailableError: for where we do not go.
        """
        return self._next(answer.url, answer.headers.get("location", ""))

    def refusal(self, answer: Answer | httpx2.Response, what: str) -> VectorstoreError:
        """Return the error for a status that was not expected; `what` says what was asked."""
        status = answer.status if isinstance(answer, Answer) else answer.status_code
        said = _said(answer.data) if isinstance(answer, Answer) else ""
        if status == _MISSING:
            return NotFoundError(f"{self.address.host} has no {what}", "check the repository and its tag")
        return UnavailableError(f"{self.address.host} refuses {what} (status {status}{said})", "ask who runs it")

    @contextmanager
    def _opened(
        self, method: str, url: httpx2.URL, headers: Headers, content: bytes | None
    ) -> Iterator[httpx2.Response]:
        """Follow redirects and answer challenges; what is left is an answer that can be used, or is refused."""
        with self._translated():
            authorised, redirects = False, 0
            while True:
                with self._client.stream(method, url, headers=self._headers(url, headers), content=content) as answer:
                    if answer.status_code == _UNAUTHORISED and self._own(url) and not authorised:
                        authorised = True
                        self._guard.satisfy(answer)
                    elif answer.status_code in _REDIRECTS and method in ("GET", "HEAD") and redirects < MAX_REDIRECTS:
                        redirects += 1
                        url = self._next(url, answer.headers.get("location", ""))
                    else:
                        self._check(answer)
                        yield answer
                        return

    def _check(self, answer: httpx2.Response) -> None:
        if answer.status_code in (_UNAUTHORISED, _FORBIDDEN):
            raise refused(self.address.host, known=self._guard.credentials is not None)
        if answer.status_code in _BUSY:
            problem = f"{self.address.host} is busy, or broken (status {answer.status_code})"
            raise BrokenError(problem, wait=_wait(answer.headers.get("retry-after", "")))

    def _headers(self, url: httpx2.URL, headers: Headers) -> dict[str, str]:
        """Add the authorization, for the registry itself alone."""
        own = self._guard.authorization if self._own(url) else None
        return {**headers, **({"Authorization": own} if own else {})}

    def _own(self, url: httpx2.URL) -> bool:
        return url.origin == self._root.origin

    def _next(self, url: httpx2.URL, location: str) -> httpx2.URL:
        try:
            found = url.join(location) if location else httpx2.URL("")
        except httpx2.InvalidURL:
            found = httpx2.URL("")
        if found.scheme not in ("http", "https") or not found.host or found.userinfo:
            raise UnavailableError(f"{self.address.host} sends us to nowhere", "ask who runs it")
        if url.scheme == "https" and found.scheme != "https":
            raise NotAllowedError(f"{self.address.host} sends us from https to http", "ask who runs it")
        return found

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx2.HTTPError as error:
            passing = isinstance(error, _BROKEN) and not _lasts(error)
            raise (BrokenError if passing else UnavailableError)(*self._unreachable(error)) from error

    def _unreachable(self, error: Exception) -> tuple[str, str]:
        reason = str(error).strip() or type(error).__name__
        problem = f"{self.address.host} cannot be reached ({reason[:200]})"
        return problem, "check the address, the network, proxies and certificates"


def _lasts(error: BaseException | None) -> bool:
    """Return whether a failure to connect will be the same next time: a wrong certificate, or an unknown host."""
    while error is not None:
        unknown = isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME
        if unknown or isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _helps(error: Exception) -> bool | float:
    if not isinstance(error, BrokenError):
        return False
    return True if error.wait is None else error.wait


def _wait(text: str) -> float | None:
    return min(float(text), LONGEST_WAIT) if text.isdecimal() else None


def _said(data: bytes) -> str:
    """Return the code that a registry gives with a refusal."""
    try:
        code = json.loads(data)["errors"][0]["code"]
    except (ValueError, LookupError, TypeError):
        return ""
    return f", {code[:60]}" if isinstance(code, str) else ""
