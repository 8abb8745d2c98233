"""A real registry, Debian's docker-registry, in a folder of its own; it can be killed and started again."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

PROGRAM = shutil.which("docker-registry")
NEEDED = pytest.mark.skipif(PROGRAM is None, reason="docker-registry is not installed: see scripts/system-packages")
CONFIG = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}}}, maintenance: {{uploadpurging: {{enabled: false}}}}}}
http: {{addr: "127.0.0.1:{port}", secret: {secret}}}
{more}
"""


class Registry:
    """The registry. `more` is added to its configuration; `secret` signs what it says of unfinished uploads."""

    def __init__(self, folder: Path, more: str = "", secret: str | None = None) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = folder
        self.config = folder.with_suffix(".yml")
        self.config.write_text(CONFIG.format(folder=folder, port=self.port, secret=secret or "tests", more=more))
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self, knock: Callable[[], object] | None = None) -> None:
        """Start it, and wait until it answers; `knock` asks it, if not over http."""
        knock = knock or self._knock
        words = [str(PROGRAM), "serve", str(self.config)]
        log = self.folder.with_suffix(".log").open("ab")
        with log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                knock()
            except httpx2.TransportError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError(self.folder.with_suffix(".log").read_text())

    def _knock(self) -> None:
        httpx2.get(f"http://127.0.0.1:{self.port}/v2/", trust_env=False)

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def url(self, repository: str = "team/vectors:v1", port: int | None = None) -> str:
        """Return the address of a repository; `port` is that of a wire before it."""
        return f"oci://127.0.0.1:{port or self.port}/{repository}"

    def blob(self, digest: str) -> Path:
        """Return the file of a blob in the registry's own storage."""
        name = digest.removeprefix("sha256:")
        return self.folder / "docker" / "registry" / "v2" / "blobs" / "sha256" / name[:2] / name / "data"
