"""Edge: what every request passes first: an id, limits, and what logs and metrics say of it."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vectorstore.errors import InvalidInputError, VectorstoreError
from vectorstore.service.address import client_address
from vectorstore.service.options import Options
from vectorstore.service.patience import MAX_HEADERS
from vectorstore.service.problems import TooLargeError, TooManyError, TooSlowError, problem
from vectorstore.service.rate import Rate

log = structlog.get_logger("vectorstore.service")
_OF_BYTES = re.compile(r"/v1/[^/]*/(blobs|uploads)/")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
_QUIET = ("/healthz", "/readyz", "/metrics")


class Metrics:
    """What Prometheus is told of this process.

    Attributes:
        registry: all of it.
    """

    def __init__(self) -> None:
        """Make the counters, in a registry of their own: several services may live in one process."""
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self.requests = Counter("steer_requests", "Requests answered.", labels, registry=self.registry)
        self.seconds = Histogram(
            "steer_request_seconds", "Time to the end of the answer.", ("method", "route"), registry=self.registry
        )
        self.under_way = Gauge("steer_requests_under_way", "Requests being answered.", registry=self.registry)
        self.received = Counter("steer_received_bytes", "Bytes of bodies received.", registry=self.registry)
        self.sent = Counter("steer_sent_bytes", "Bytes of bodies sent.", registry=self.registry)


class Edge:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp, options: Options, metrics: Metrics) -> None:
        """Stand before `app`."""
        self.app, self.options, self.metrics = app, options, metrics
        self.rate = Rate(options.requests_per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, and see its answer out."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        await _Visit(self, scope, receive, send).run()


class _Visit:
    """One request, from its first line to the last byte of its answer."""

    def __init__(self, edge: Edge, scope: Scope, receive: Receive, send: Send) -> None:
        self.edge, self.scope, self._receive, self._send = edge, scope, receive, send
        self.headers = Headers(scope=scope)
        given = self.headers.get("x-request-id", "")
        self.id = given if _ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = self.id
        self.status, self.received, self.sent, self.ended = 0, 0, 0, False
        self.waited, self.came = 0.0, 0  # seconds for pieces of the body, and bytes in them

    async def run(self) -> None:
        metrics, started = self.edge.metrics, time.perf_counter()
        metrics.under_way.inc()
        try:
            if refused := self._refused():
                await problem(refused, self.id)(self.scope, self._receive, self.send)
            else:
                await self._let_in()
        finally:
            metrics.under_way.dec()
            self._note(time.perf_counter() - started)

    async def _let_in(self) -> None:
        try:
            await self.edge.app(self.scope, self.receive, self.send)
        except (TooLargeError, TooSlowError) as error:  # while the body was read, outside of any route
            if self.status:
                raise
            await problem(error, self.id, {"Connection": "close"})(self.scope, self._receive, self.send)

    def _refused(self) -> VectorstoreError | None:
        options = self.edge.options
        if sum(len(name) + len(value) for name, value in self.headers.raw) > MAX_HEADERS:  # that came all at once
            return TooLargeError(f"the headers are larger than {MAX_HEADERS} bytes", "send fewer")
        if "transfer-encoding" in self.headers and "content-length" in self.headers:  # a proxy may read it otherwise
            return InvalidInputError("the body has two lengths", "send Content-Length or Transfer-Encoding, not both")
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in _FORMS and self._has_body():  # what a form says beside a file could be another thing than the file
            return InvalidInputError("the body is a form", "send the bytes alone, or JSON, with their Content-Type")
        who = client_address(self.scope, options.trusted_proxies)
        if self.scope["path"] not in _QUIET and not self.edge.rate.admits(who):
            return TooManyError(f"more than {options.requests_per_minute} requests in a minute", "wait a moment")
        if (declared_size(self.headers) or 0) > self._most():
            return _too_large(self._most())
        return None

    def _most(self) -> int:
        """Return how large the body may be: documents are read into memory, and bytes are not."""
        options = self.edge.options
        return options.max_body if _OF_BYTES.match(self.scope["path"]) else options.max_document

    async def receive(self) -> Message:
        """Receive a piece of the body, soon and not too much of it."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.edge.options.seconds if not self.ended else None):
                message = await self._receive()
        except TimeoutError:
            raise TooSlowError("the body did not come in time", "send it again, faster") from None
        self.ended = self.ended or (message["type"] == "http.request" and not message.get("more_body", False))
        self.received += len(message.get("body", b""))
        if self.received > self._most():
            raise _too_large(self._most())
        if not self.ended:
            self._require_pace(time.monotonic() - began, len(message.get("body", b"")))
        return message

    def _require_pace(self, seconds: float, size: int) -> None:
        """Refuse a body that drips; only what was waited for it counts, not what was done with it."""
        options = self.edge.options
        self.waited += seconds
        self.came += size
        if self.waited < options.seconds:
            return
        if self.came < options.min_rate * self.waited:
            raise TooSlowError(
                f"{self.came} bytes of the body came in {self.waited:.0f} seconds", "send it again, faster"
            )
        self.waited, self.came = 0.0, 0

    async def send(self, message: Message) -> None:
        """Send a piece of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self.id
            headers.setdefault("X-Content-Type-Options", "nosniff")
            headers.setdefault("Cache-Control", "no-store")
            if not self.ended and self._has_body():  # nobody will read the rest of it, however long it is
                headers["Connection"] = "close"
        self.sent += len(message.get("body", b""))
        await self._send(message)

    def _has_body(self) -> bool:
        return "transfer-encoding" in self.headers or self.headers.get("content-length", "0") != "0"

    def _note(self, seconds: float) -> None:
        route: Any = self.scope.get("route")
        path = getattr(route, "path", "") or "unknown"
        method, metrics = self.scope["method"], self.edge.metrics
        method = method if method in _METHODS else "other"
        metrics.requests.labels(method, path, self.status or 500).inc()
        metrics.seconds.labels(method, path).observe(seconds)
        metrics.received.inc(self.received)
        metrics.sent.inc(self.sent)
        if path not in _QUIET:
            state = self.scope["state"]
            log.info(
                "request",
                id=self.id,
                method=method,
                path=self.scope["path"],
                status=self.status,
                ms=round(1000 * seconds, 1),
                user=state.get("user"),
                token=state.get("token"),
                address=client_address(self.scope, self.edge.options.trusted_proxies),
                received=self.received,
                sent=self.sent,
            )


def declared_size(headers: Headers) -> int | None:
    """Return how many bytes the headers say that the body has; None where they say nothing."""
    said = headers.get("content-length", "")
    return int(said[:20]) if said.isascii() and said.isdigit() else None


_METHODS = frozenset(("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"))


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"the body is larger than {limit} bytes", "send a blob as an upload, in parts")
