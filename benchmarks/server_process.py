"""A server in a process of its own: started, waited for, its CPU and memory read, and stopped."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

READY = 120  # seconds; some import for a while
TICKS = os.sysconf("SC_CLK_TCK")
_PARENT, _OF_ENDED = 1, slice(13, 15)  # of /proc/PID/stat, counted from behind the program's name
_SCHEDULED = 2  # of a process's clocks, the one of its CPU time: see clock_getcpuclockid(3)


class Wire:
    """A connection that stays open, with little work of its own."""

    def __init__(self, port: int, headers: Mapping[str, str] | None = None) -> None:
        """Connect to a port of this machine; `headers` go with every request."""
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = dict(headers or {})

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send a request; return status, headers and body.

        Raises:
            RuntimeError: when it is refused.
        """
        self._connection.request(method, path, body, {**self._headers, **(headers or {})})
        answer = self._connection.getresponse()
        data = answer.read()
        if answer.status >= http.HTTPStatus.BAD_REQUEST:
            raise RuntimeError(f"{method} {path}: {answer.status} {data[:300]!r}")
        return answer.status, answer.headers, data

    def unchanged(self, path: str, etag: str, headers: Mapping[str, str] | None = None) -> bytes:
        """Ask for what is known already.

        Raises:
            RuntimeError: when it is sent nevertheless.
        """
        status, _, data = self.ask("GET", path, headers={**(headers or {}), "If-None-Match": etag})
        if status != http.HTTPStatus.NOT_MODIFIED:
            raise RuntimeError(f"GET {path}: {status}, and not 304")
        return data

    def drain(self, path: str, buffer: memoryview) -> int:
        """Get a body, and keep nothing of it; return its size."""
        self._connection.request("GET", path, headers=self._headers)
        answer, size = self._connection.getresponse(), 0
        while count := answer.readinto(buffer):
            size += count
        return size


class ServerProcess:
    """A server that is there within the block."""

    def __init__(
        self,
        command: Sequence[str],
        port: int,
        log: Path,
        *,
        ready: str = "/",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Say how to start it; it works once `ready` is answered."""
        self.command, self.port, self._log, self._ready = command, port, log, ready
        self._environment = os.environ | (settings or {})

    def __enter__(self) -> Self:
        """Start it, and wait for it."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - what this benchmark compares
                self.command, stdout=log, stderr=log, env=self._environment, start_new_session=True
            )
        end = time.monotonic() + READY
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                self.__exit__(None, None, None)
                raise RuntimeError(f"{self.command[0]} did not start: {self._log.read_text()[-2000:]}")
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """End it, and whatever it started."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def _answers(self) -> bool:
        try:
            return Wire(self.port).ask("GET", self._ready)[0] == http.HTTPStatus.OK
        except (OSError, RuntimeError, http.client.HTTPException):
            return False


def cpu_of(pid: int) -> float:
    """Return the seconds of CPU, user and system, of a process and all that it ever started.

    Those that ended are known by ticks of 10 ms alone, and those that run to the nanosecond.
    """
    tree = tree_of(pid)
    ended = sum(sum(map(int, fields[_OF_ENDED])) for fields in tree.values()) / TICKS
    return ended + sum(time.clock_gettime(~number << 3 | _SCHEDULED) for number in tree)


def tree_of(pid: int) -> dict[int, list[str]]:
    """Return the numbers of a process and all below it, with what /proc says of them."""
    stats = dict(_stats())
    tree = [pid]
    for number in tree:
        tree += [child for child, fields in stats.items() if int(fields[_PARENT]) == number]
    return {number: stats[number] for number in tree}


def peak_memory(pid: int) -> int:
    """Return the most bytes of memory that a process has had at once."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def forget_peak(pid: int) -> None:
    """Let the most bytes of memory be those of now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="utf-8")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _stats() -> list[tuple[int, list[str]]]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "stat").read_text(encoding="utf-8")
        except OSError:  # it ended meanwhile
            continue
        found.append((int(folder.name), text.rpartition(")")[2].split()))
    return found
