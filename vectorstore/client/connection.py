"""Connection: requests to one remote, tried again where that can help and does no harm.

Nothing but bytes is taken from a server: every path is made here, of names that our own grammar has passed, and
answers have bounded sizes. Only downloads of blobs follow redirects, never from https to http, and the token goes
nowhere but to the remote itself.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2
import stamina

import vectorstore
from vectorstore.client.patience import BUSY, WAITING, Patience, busy, helps
from vectorstore.client.problems import problem_of
from vectorstore.client.remote import Remote
from vectorstore.errors import IntegrityError, InvalidInputError, UnavailableError

MAX_ANSWER = 32 << 20  # bytes of a document
MAX_PROBLEM = 1 << 16
MAX_REDIRECTS = 3
_REDIRECTS = (301, 302, 303, 307, 308)
Answered = TypeVar("Answered")
Headers = Mapping[str, str]
_NONE: Headers = {}


class Connection:
    """Requests to one remote. Close it at the end."""

    def __init__(self, remote: Remote, token: str | None = None, patience: Patience = WAITING) -> None:
        """Prepare; nothing is connected yet."""
        self.remote = remote
        self.patience = patience
        self._authorization = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._client = httpx2.Client(
            verify=_context(remote),
            headers={
                "User-Agent": f"steering-vectorstore/{vectorstore.__version__}",
                "Accept-Encoding": "identity",  # nothing is unpacked, so nothing swells
            },
            timeout=httpx2.Timeout(patience.idle, connect=patience.connect),
            follow_redirects=False,
        )

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

    def document(  # noqa: PLR0913 - the parts of a request
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int | Sequence[str]] | None = None,
        body: object = None,
        content: bytes | None = None,
        headers: Headers = _NONE,
        repeatable: bool = True,
    ) -> Any:  # noqa: ANN401 - JSON is any of its types
        """Return the document of an answer, or None of an empty one.

        Args:
            method: of HTTP.
            path: after the remote's URL.
            params: its query.
            body: sent as JSON.
            content: sent as it is.
            headers: of the request.
            repeatable: whether carrying it out twice is as good as once.

        Raises:
            VectorstoreError: as the service says.
            UnavailableError: when it cannot be reached.
        """
        if body is not None:
            content, headers = json.dumps(body).encode(), {"Content-Type": "application/json", **headers}
        request = {"params": params, "content": content, "headers": headers}
        data = self.again(lambda: self._whole(method, path, MAX_ANSWER, **request), repeatable=repeatable)
        return None if not data else self._parsed(data)

    def data(self, path: str, limit: int) -> bytes:
        """Return the bytes of an answer, at most `limit`."""
        return self.again(lambda: self._whole("GET", path, limit))

    def has(self, path: str) -> bool:
        """Return whether there is such a thing, as far as the caller may know."""

        def ask() -> bool:
            with self._sent("HEAD", path, {}) as answer:
                if answer.status_code == HTTPStatus.NOT_FOUND:
                    return False
                self._refuse(answer)
                return True

        return self.again(ask)

    @contextmanager
    def stream(self, path: str, headers: Headers = _NONE) -> Iterator[httpx2.Response]:
        """Give an answer whose bytes are still to be read, from where a redirect leads. It is not tried again."""
        url, own = f"{self.remote.url}{path}", True
        for _ in range(MAX_REDIRECTS + 1):
            with self._opened("GET", url, {**headers, **(self._authorization if own else {})}) as answer:
                if answer.status_code not in _REDIRECTS:
                    self._refuse(answer)
                    yield answer
                    return
                url = str(self._next(answer))
                own = httpx2.URL(url).origin == httpx2.URL(self.remote.url).origin
        raise UnavailableError(f"{self.remote.name} redirects in a circle", "tell whoever runs it")

    def again(self, request: Callable[[], Answered], *, repeatable: bool = True) -> Answered:
        """Do `request`, and again after a while where that can help.

        Raises:
            UnavailableError: when it did not.
            VectorstoreError: whatever else it raises.
        """
        patience = self.patience

        try:
            for attempt in stamina.retry_context(
                on=partial(helps, repeatable=repeatable),
                attempts=patience.attempts,
                timeout=patience.seconds,
                wait_initial=0.2,
                wait_max=15,
            ):
                with attempt:
                    return request()
        except httpx2.HTTPError as error:
            raise self.unreachable(error) from error
        raise AssertionError  # pragma: no cover - the loop ends by returning or raising

    def unreachable(self, error: Exception) -> UnavailableError:
        """Return the error for a connection that could not be made, or broke."""
        reason = str(error).strip() or type(error).__name__
        return UnavailableError(
            f"{self.remote.name} ({self.remote.url}) cannot be reached ({reason[:200]})",
            "check the connection, proxies and certificates, and try again",
        )

    def _whole(self, method: str, path: str, limit: int, **request: Any) -> bytes:  # noqa: ANN401 - httpx's own
        with self._sent(method, path, request.pop("headers", _NONE), **request) as answer:
            self._refuse(answer)
            return self._read(answer, limit)

    @contextmanager
    def _sent(self, method: str, path: str, headers: Headers, **request: Any) -> Iterator[httpx2.Response]:  # noqa: ANN401 - as above
        with self._opened(method, f"{self.remote.url}{path}", {**headers, **self._authorization}, **request) as answer:
            yield answer

    @contextmanager
    def _opened(self, method: str, url: str, headers: Headers, **request: Any) -> Iterator[httpx2.Response]:  # noqa: ANN401 - as above
        with self._client.stream(method, url, headers=dict(headers), **request) as answer:
            if answer.headers.get("content-encoding", "identity") != "identity":
                raise IntegrityError(f"{self.remote.name} sends packed bytes, which nobody asked for", "try again")
            yield answer

    def _read(self, answer: httpx2.Response, limit: int) -> bytes:
        data = bytearray()
        for chunk in answer.iter_raw():
            data += chunk
            if len(data) > limit:
                raise IntegrityError(f"{self.remote.name} answers with more than {limit} bytes", "ask for less at once")
        return bytes(data)

    def _refuse(self, answer: httpx2.Response) -> None:
        """Raise what an answer says is wrong."""
        status = answer.status_code
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return
        if status in _REDIRECTS:
            raise UnavailableError(
                f"{self.remote.name} says that it is elsewhere",
                f"ask where, and type: steer remote remove {self.remote.name}, and steer remote add with the new URL",
            )
        error = problem_of(self.remote, status, self._beginning(answer))
        raise busy(error, status, answer.headers) if status in BUSY else error

    def _beginning(self, answer: httpx2.Response) -> bytes:
        try:
            return self._read(answer, MAX_PROBLEM)
        except IntegrityError:
            return b""

    def _next(self, answer: httpx2.Response) -> httpx2.URL:
        """Return where a redirect leads.

        Raises:
            UnavailableError: for where we do not go.
        """
        try:
            url = answer.url.join(answer.headers.get("location", ""))
        except httpx2.InvalidURL:
            url = httpx2.URL("")
        if url.scheme not in ("http", "https") or not url.host or url.userinfo:
            raise UnavailableError(f"{self.remote.name} redirects to nowhere", "tell whoever runs it")
        if answer.url.scheme == "https" and url.scheme != "https":
            raise UnavailableError(f"{self.remote.name} redirects from https to http", "tell whoever runs it")
        return url

    def _parsed(self, data: bytes) -> Any:  # noqa: ANN401 - as above
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise IntegrityError(
                f"{self.remote.name} answers with something else than JSON",
                "see `steer remote list` for its URL, and whether a service of this kind runs there",
            ) from error


def _context(remote: Remote) -> ssl.SSLContext | bool:
    """Return what certificates are checked against: the remote's own file, or SSL_CERT_FILE, or the system's."""
    if not remote.ca:
        return True
    try:
        return ssl.create_default_context(cafile=remote.ca)
    except OSError as error:
        raise InvalidInputError(
            f"cannot read the certificates in {remote.ca} ({error.strerror or error})",
            f"mend the file, or add {remote.name} anew with --ca",
        ) from error
