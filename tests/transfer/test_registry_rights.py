"""A real registry that lets nobody in without a password, or without a token that somebody else sells."""

from __future__ import annotations

import base64
import json
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from tests.transfer.libraries import contents, fill, library
from tests.transfer.oci_registry import NEEDED, Registry
from tests.transfer.scripted import Asked, Reply, scripted
from vectorstore.errors import NotAllowedError, UnavailableError
from vectorstore.store import Store
from vectorstore.transfer.registry import pull, push
from vectorstore.transfer.wire import Patience

pytestmark = NEEDED
BASIC = "Basic " + base64.b64encode(b"ann:hunter2").decode()
HTPASSWD = "ann:$2y$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8."  # bcrypt of hunter2, of little cost
ALL = ("mixed", "made")


class Authority:
    """A key with its certificate, for 127.0.0.1, that is nobody's but its own."""

    def __init__(self, folder: Path) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
        now = datetime.now(UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.file, self.secret = folder / "authority.pem", folder / "authority.key"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        shape = serialization.PrivateFormat.TraditionalOpenSSL
        self.secret.write_bytes(self.key.private_bytes(serialization.Encoding.PEM, shape, plain))

    def token(self, access: list[dict]) -> str:
        """Return a signed token, as the distribution project specifies it."""
        der = self.certificate.public_bytes(serialization.Encoding.DER)
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        now = int(time.time())
        claims = {"iss": "tests", "sub": "ann", "aud": "registry", "exp": now + 300, "nbf": now - 5, "iat": now - 5}
        parts = [_text(json.dumps(part).encode()) for part in (header, claims | {"jti": "1", "access": access})]
        signature = self.key.sign(".".join(parts).encode(), padding.PKCS1v15(), hashes.SHA256())
        return ".".join([*parts, _text(signature)])


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def sender(tmp_path: Path) -> Iterator[Store]:
    with library(tmp_path / "sender") as opened:
        fill(opened)
        yield opened


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Store]:
    with library(tmp_path / "receiver") as opened:
        yield opened


@pytest.fixture(autouse=True)
def _nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


def log_in(monkeypatch: pytest.MonkeyPatch, password: str = "hunter2") -> None:  # noqa: S107 - a test's
    monkeypatch.setenv("STEER_OCI_USERNAME", "ann")
    monkeypatch.setenv("STEER_OCI_PASSWORD", password)


def test_a_name_and_password_open_it(sender: Store, receiver: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "passwords").write_text(HTPASSWD)
    registry = Registry(tmp_path / "registry", f"auth: {{htpasswd: {{realm: tests, path: {tmp_path}/passwords}}}}")
    try:
        with pytest.raises(NotAllowedError, match="wants credentials"):
            push(sender, ALL, registry.url())
        log_in(monkeypatch, "wrong")
        with pytest.raises(NotAllowedError, match="refuses these credentials"):
            push(sender, ALL, registry.url())
        log_in(monkeypatch)
        push(sender, ALL, registry.url())
        pull(receiver, registry.url())
        assert contents(receiver) == contents(sender)
    finally:
        registry.kill()


def test_tokens_are_bought_for_what_is_done(
    sender: Store, receiver: Store, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def sell(asked: Asked) -> Reply:
        """Let anybody read, and push who knows the password."""
        wanted = parse_qs(urlsplit(asked.path).query).get("scope", [])
        kind, name, actions = wanted[0].split(":")
        known = asked.headers.get("authorization") == BASIC
        allowed = [action for action in actions.split(",") if known or action == "pull"]
        token = authority.token([{"type": kind, "name": name, "actions": allowed}])
        return Reply(200, json.dumps({"token": token}).encode())

    with scripted(sell) as tokens:
        settings = f"realm: 'http://127.0.0.1:{tokens.port}/token', service: registry, issuer: tests"
        more = f"auth: {{token: {{{settings}, rootcertbundle: {authority.file}}}}}"
        registry = Registry(tmp_path / "registry", more)
        try:
            with pytest.raises(NotAllowedError):
                push(sender, ALL, registry.url())
            log_in(monkeypatch)
            push(sender, ALL, registry.url())
            for name in ("STEER_OCI_USERNAME", "STEER_OCI_PASSWORD"):
                monkeypatch.delenv(name)
            pull(receiver, registry.url())
        finally:
            registry.kill()
    assert contents(receiver) == contents(sender)


def test_a_certificate_of_ones_own_is_trusted_where_the_environment_says_so(
    sender: Store, receiver: Store, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    registry = Registry(tmp_path / "registry")
    registry.kill()
    tls = f"tls: {{certificate: {authority.file}, key: {authority.secret}}}"
    registry.config.write_text(registry.config.read_text().replace("secret: tests", f"secret: tests, {tls}"))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    context = ssl.create_default_context(cafile=str(authority.file))
    registry.start(lambda: httpx2.get(f"https://127.0.0.1:{registry.port}/v2/", verify=context, trust_env=False))
    try:
        push(sender, ALL, registry.url(), plain_http=False)
        pull(receiver, registry.url(), plain_http=False)
        assert contents(receiver) == contents(sender)
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(UnavailableError, match=r"cannot be reached \(.*certificate"):
            pull(receiver, registry.url(), plain_http=False, patience=Patience(attempts=100, seconds=10_000))
    finally:
        registry.kill()
