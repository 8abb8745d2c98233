"""Patience: how long a connection may take to say what it wants, also when the service is about to end."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0
LAST_SECONDS = 1.0
ENDING = "ending"  # what the connections of one server share says so
CLOSE = (b"connection", b"close")
MAX_HEADERS = 32 << 10


class PatientProtocol(H11Protocol):
    """Uvicorn's HTTP, which closes connections whose headers do not come: its own timer stops at the first byte.

    A service that ends leaves its connections open until they were idle for the usual time: a proxy may have sent the
    next request just now, and cannot send it to another copy once its body has gone out. Answers say that they are the
    last, also on connections that come while it ends; uvicorn would close without a word.
    """

    cycle: Any
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Wait on while the headers are not complete, however many bytes come."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._wait()
        else:
            self._stop()

    def shutdown(self) -> None:
        """Take at most one request more."""
        self.app_state[ENDING] = True
        if self.cycle is None:
            self.loop.call_later(LAST_SECONDS, self._close_unused)
        else:
            self._announce_end()

    def handle_events(self) -> None:
        """Let the answer to what has come say that it is the last."""
        super().handle_events()
        if ENDING in self.app_state and self.cycle is not None:
            self._announce_end()

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

    def _give_up(self) -> None:
        self._timer = None
        transport: Any = self.transport
        if not transport.is_closing():
            transport.close()
