"""Patience: how long a connection may take to say what it wants, also when the service is about to end."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_SECONDS = 10.0
LAST_SECONDS = 1.0
ENDING = "ending"  # what the connections of one server share says so
CLOSE = (b"connection", b"close")
MAX_HEADERS = 32 << 10
MAX_WAITING = 8  # requests of one connection behind the one that is answered


class PatientProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP, which closes connections whose headers do not come: its own timer stops at the first byte.

    It closes those too that send more than MAX_HEADERS bytes of headers, or of what stands between a body's chunks and
    after them, which the parser would keep; what stands there is not a header of the request.

    A service that ends leaves its connections open until they were idle for the usual time: a proxy may have sent the
    next request just now, and cannot send it to another copy once its body has gone out. Answers say that they are the
    last, also on connections that come while it ends; uvicorn would close without a word.
    """

    cycle: Any
    _running: Any = None  # the cycle that is answered; `cycle` is the last one that has come
    _timer: asyncio.TimerHandle | None = None
    _kept = 0  # bytes that came since the parser told of anything
    _in_headers = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more, and let what is answered know that nobody reads it."""
        self._stop()
        super().connection_lost(exc)
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Wait on while no request is under way, however many bytes come."""
        self._kept += len(data)
        super().data_received(data)
        if self._kept > MAX_HEADERS:
            self._refuse()
        elif self.cycle is None or self.cycle.response_complete:
            self._wait()
        else:
            self._stop()

    def on_message_begin(self) -> None:
        """Begin to count; whoever sends more than is answered is refused: each request takes memory."""
        if len(self.pipeline) >= MAX_WAITING:
            raise ValueError("too many requests at once")
        super().on_message_begin()
        self._in_headers = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; what comes after a body is none."""
        if self._in_headers:
            super().on_header(name, value.rstrip(b" \t"))

    def on_headers_complete(self) -> None:
        """Let the answer to what has come say that it is the last, where it is."""
        self._require_clear()
        self._in_headers, self._kept = False, 0
        super().on_headers_complete()
        if self.parser.should_upgrade():  # the parser drops what came with it
            self.cycle.keep_alive = False
        if ENDING in self.app_state:
            self._announce_end()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._kept = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        self._kept = 0
        super().on_message_complete()

    def shutdown(self) -> None:
        """Take at most one request more."""
        self.app_state[ENDING] = True
        if self.cycle is None:
            self.loop.call_later(LAST_SECONDS, self._close_unused)
        else:
            self._announce_end()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:  # noqa: ANN401 - uvicorn's
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _require_clear(self) -> None:
        """Refuse what a proxy may read otherwise than the parser does, which takes the body of an upgrade for more."""
        version, hosts = self.parser.get_http_version(), sum(name == b"host" for name, _ in self.headers)
        if version not in {"1.0", "1.1"} or hosts > 1 or (version == "1.1" and not hosts):
            raise ValueError("not one host, or another version of HTTP")
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        sized = any(name == b"content-length" and value != b"0" for name, value in self.headers)
        if codings not in ([], [b"chunked"]) or (self.parser.should_upgrade() and (codings or sized)):
            raise ValueError("the end of the body is not clear")

    def _announce_end(self) -> None:
        if not self.cycle.response_started and CLOSE not in self.cycle.default_headers:
            self.cycle.default_headers = [*self.cycle.default_headers, CLOSE]

    def _close_unused(self) -> None:
        if self.cycle is None:
            self._give_up()

    def _wait(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(HEADER_SECONDS, self._give_up)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self) -> None:
        if not self.transport.is_closing():
            if self._in_headers:
                self.send_400_response("Invalid HTTP request received.")
            self._stop()
            self._give_up()

    def _give_up(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            self.transport.close()
