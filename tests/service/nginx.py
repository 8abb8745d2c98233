"""A real nginx with the configuration of deploy/, on a port of its own."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Self

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.object_server import free_port

PROGRAM = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
NEEDED = pytest.mark.skipif(PROGRAM is None, reason="nginx is not installed: see scripts/system-packages")
DEPLOY = Path(__file__).parents[2] / "deploy"
MAIN = """
daemon off; {user} pid {folder}/nginx.pid; error_log {folder}/error.log info; worker_processes 1;
events {{}}
http {{
    access_log off; default_type text/html;
    client_body_temp_path {folder}/bodies; proxy_temp_path {folder}/answers; fastcgi_temp_path {folder}/f;
    uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    include {folder}/upstream.conf;
    include {folder}/site.conf;
}}
"""


class Nginx:
    """The server; `upstream` is the file that says where the service is."""

    def __init__(self, folder: Path, blobs: Path, upstream: str) -> None:
        folder.mkdir()
        self.folder, self.port = folder, free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.certificate = _certificate(folder)
        site = (DEPLOY / "nginx.conf").read_text()
        for old, new in {  # what the page says to change, and the ports
            "listen 80;": f"listen 127.0.0.1:{free_port()};",
            "listen 443 ssl;": f"listen 127.0.0.1:{self.port} ssl;",
            "    listen [::]:80;\n": "",
            "    listen [::]:443 ssl;\n": "",
            "vectors.example": "127.0.0.1",
            "/etc/nginx/tls/": f"{folder}/",
            "/var/lib/steer/blobs/": f"{blobs}/",
        }.items():
            assert old in site, old
            site = site.replace(old, new)
        (folder / "site.conf").write_text(site)
        (folder / "upstream.conf").write_text(upstream)
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(MAIN.format(folder=folder, user=user))
        self._words = [
            str(PROGRAM),
            "-p",
            str(folder),
            "-e",
            str(folder / "error.log"),
            "-c",
            str(folder / "nginx.conf"),
        ]

    def check(self) -> str:
        """Let it read its configuration; return what it says, which is nothing where all is well."""
        done = subprocess.run([*self._words, "-q", "-t"], capture_output=True, text=True, check=False)
        return done.stderr + (self.folder / "error.log").read_text()

    def __enter__(self) -> Self:
        """Start it."""
        self._process = subprocess.Popen(self._words, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                with self.client() as client:
                    client.get("/healthz")
            except httpx2.TransportError:
                assert self._process.poll() is None, self.log()
                time.sleep(0.05)
            else:
                return self
        raise AssertionError(self.log())

    def __exit__(self, *error: object) -> None:
        """Stop it."""
        self._process.terminate()
        self._process.wait(30)

    def client(self, token: str | None = None) -> httpx2.Client:
        """Return a client that trusts its certificate."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        verify = ssl.create_default_context(cafile=str(self.certificate))
        return httpx2.Client(base_url=self.url, headers=headers, verify=verify, trust_env=False, timeout=30)

    def log(self) -> str:
        """Return what it noted."""
        return (self.folder / "error.log").read_text()


def _certificate(folder: Path) -> Path:
    """Write a certificate of 127.0.0.1 and its key, as nginx.conf names them."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "fullchain.pem").write_bytes(made.public_bytes(pem))
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "privkey.pem").write_bytes(secret)
    return folder / "fullchain.pem"
