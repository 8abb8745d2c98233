"""Services in processes of their own, over one library, which are killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import httpx2

from tests.object_server import free_port
from vectorstore.canonical import digest
from vectorstore.manifest import Manifest

READY = 60  # seconds


class Process:
    """One service at a port of its own."""

    def __init__(self, log: Path, options: Sequence[str] = (), **settings: str) -> None:
        """Start it over the library of these settings, with options of `steer serve`."""
        self.log, self.options, self.settings, self.port = log, options, settings, free_port()
        self.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it can work."""
        command = [sys.executable, "-c", "from cli.main import main; main()", "serve", "--port", str(self.port)]
        command += self.options
        with self.log.open("ab") as log:
            environment = os.environ | self.settings | {"STEER_SERVE_REQUESTS_PER_MINUTE": "0"}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        end = time.monotonic() + READY
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the service did not start: {self.log.read_text()[-3000:]}")
            time.sleep(0.1)

    def __enter__(self) -> Self:
        """Have it run until the end of a block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Ask it to end, if it still runs."""
        if self.process.poll() is None:
            self.stop()

    def kill(self) -> None:
        """Kill it, whatever it is at."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end, and return what it ended with."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def until(self, words: str) -> None:
        """Wait until its log says so."""
        end = time.monotonic() + READY
        while words not in self.log.read_text():
            if time.monotonic() > end:
                raise AssertionError(self.log.read_text()[-3000:])
            time.sleep(0.02)

    def _ready(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/readyz", timeout=5, trust_env=False).status_code == 200
        except httpx2.HTTPError:
            return False


def push(client: httpx2.Client, url: str, path: str, manifest: bytes, blobs: dict[str, bytes]) -> bool:
    """Push a version to `team/vectors/love`; return whether it was acknowledged."""
    namespace, _, rest = path.partition("/")
    try:
        for name, data in blobs.items():
            if client.put(f"{url}/v1/{namespace}/blobs/{name}", content=data).status_code != 201:
                return False
        answer = client.put(f"{url}/v1/{namespace}/{rest}/versions/{digest(manifest)}", content=manifest)
    except httpx2.HTTPError:
        return False
    return answer.status_code in (200, 201)


def require_whole(client: httpx2.Client, url: str, path: str, name: str) -> None:
    """Read a version with all its bytes, and check every digest."""
    namespace = path.partition("/")[0]
    manifest = client.get(f"{url}/v1/{path}/versions/{name}/manifest")
    assert digest(manifest.content) == name, manifest.text
    for blob in Manifest.from_bytes(manifest.content).blobs:
        assert digest(client.get(f"{url}/v1/{namespace}/blobs/{blob.digest}").content) == blob.digest
