"""An S3 server in a process of its own, and a connection to it that can be cut."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

SECRET = "s3cr3t-0f-n0b0dy"  # noqa: S105 - of a server without secrets; no message may show it
READY = 30  # seconds


class S3Server:
    """Moto's server: real requests over a real socket, objects in its memory."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.port = free_port()
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, empty, at its port."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        with self.log.open("ab") as log:
            # Few keys per answer, so that a few objects make several pages.
            environment = os.environ | {"MOTO_S3_DEFAULT_MAX_KEYS": "7"}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        deadline = time.monotonic() + READY
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"moto did not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.05)

    def make_bucket(self, name: str) -> None:
        self.request("PUT", f"/{name}")

    def request(self, method: str, path: str, data: bytes | None = None) -> bytes:
        """Do by hand what the store under test does not do itself."""
        headers = {"Authorization": "AWS AKIDTEST:unchecked", "Content-Type": "application/octet-stream"}
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=READY) as answer:  # noqa: S310 - the same
            return bytes(answer.read())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        try:
            self.request("GET", "/moto-api/data.json")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True


class Wire:
    """A proxy before a server, whose connections can be cut.

    Attributes:
        answers: how many bytes of answers each of the next connections carries; the others carry all.
        fuse: after how many bytes to the server something is done in place of passing on more.
        connections: how many there were.
    """

    def __init__(self, port: int) -> None:
        self.answers: list[int] = []
        self.fuse: tuple[int, Callable[[], None]] | None = None
        self.connections = 0
        self._target = port
        self._sent = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Refuse connections from now on."""
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._server.accept()
                self.connections += 1
                limit = self.answers.pop(0) if self.answers else sys.maxsize
                try:
                    server = socket.create_connection(("127.0.0.1", self._target))
                except ConnectionRefusedError:
                    client.close()
                    continue
                threading.Thread(target=self._pump, args=(client, server, sys.maxsize, self._burn), daemon=True).start()
                threading.Thread(target=self._pump, args=(server, client, limit, len), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, left: int, count: Callable[[bytes], int]) -> None:
        with suppress(OSError):
            while left and (data := source.recv(min(left, 65536))) and (passed := count(data)):
                sink.sendall(data)
                left -= passed
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()

    def _burn(self, data: bytes) -> int:
        self._sent += len(data)
        if self.fuse is not None and self._sent >= self.fuse[0]:
            action, self.fuse = self.fuse[1], None
            action()
            return 0
        return len(data)


def use_s3(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Point the environment to a server."""
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "AKIDTEST",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return int(server.getsockname()[1])
