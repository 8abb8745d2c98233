"""An S3 server in a process of its own, and a connection to it that can be cut."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
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
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + READY
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"moto did not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.05)

    def make_bucket(self, name: str) -> None:
        self.request("PUT", f"/{name}")

    def request(self, method: str, path: str, data: bytes | None = None) -> bytes:
        """Do by hand what the store under test does not do itself."""
        request = urllib.request.Request(f"{self.url}{path}", data=data, method=method)  # noqa: S310 - http, loopback
        with urllib.request.urlopen(request) as answer:  # noqa: S310 - the same
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
    """A proxy before a server: connections can be refused, or cut after a number of bytes of the answers."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.answers_left: list[int] = []  # for the next connections: how many bytes of answers they live for
        self.connections = 0
        self.server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.getsockname()[1]}"

    def close(self) -> None:
        self.server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.server.accept()
                self.connections += 1
                limit = self.answers_left.pop(0) if self.answers_left else sys.maxsize
                server = socket.create_connection(("127.0.0.1", self.target))
                for source, sink, left in ((client, server, sys.maxsize), (server, client, limit)):
                    threading.Thread(target=_pump, args=(source, sink, left), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, left: int) -> None:
    with suppress(OSError):
        while left and (data := source.recv(min(left, 65536))):
            sink.sendall(data)
            left -= len(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    source.close()


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
