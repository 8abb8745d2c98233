"""Credentials for registries: of the environment, or as `docker login` keeps them in its config file."""

from __future__ import annotations

import base64
import binascii
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from vectorstore.errors import InvalidInputError, UnavailableError

USERNAME, PASSWORD = "STEER_OCI_USERNAME", "STEER_OCI_PASSWORD"
MAX_CONFIG = 1 << 20
_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")


@dataclass(frozen=True)
class Credentials:
    """A name and a password; the latter is not shown."""

    username: str
    password: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The header that says both."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


def find_credentials(host: str) -> Credentials | None:
    """Return what the environment says, else what docker's config file has for this registry.

    Raises:
        InvalidInputError: when only one of both variables is set, or the file cannot be understood.
        UnavailableError: when the file cannot be read.
    """
    username, password = os.environ.get(USERNAME), os.environ.get(PASSWORD)
    if username and password:
        return Credentials(username, password)
    if username or password:
        missing = PASSWORD if username else USERNAME
        raise InvalidInputError(f"{missing} is not set, and the other one is", f"set both {USERNAME} and {PASSWORD}")
    path = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    return _of_file(path, host)


def _of_file(path: Path, host: str) -> Credentials | None:
    try:
        if not path.is_file():
            return None
        config = json.loads(path.read_bytes()[:MAX_CONFIG])
    except OSError as error:
        raise UnavailableError(f"cannot read {path} ({error.strerror or error})", "check its rights") from error
    except ValueError as error:
        raise InvalidInputError(f"{path} is not valid JSON", "mend it, or type: docker login") from error
    auths = config.get("auths") if isinstance(config, dict) else None
    for key, value in auths.items() if isinstance(auths, dict) else ():
        if _host(key) == host or {_host(key), host} <= set(_HUB):
            return _of_entry(path, value)
    return None


def _host(key: str) -> str:
    return key.removeprefix("https://").removeprefix("http://").partition("/")[0].lower()


def _of_entry(path: Path, value: object) -> Credentials | None:
    """Read an entry; an empty one means that a helper program keeps them, which we do not start."""
    auth = value.get("auth") if isinstance(value, dict) else None
    if not auth:
        return None
    try:
        username, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
    except (binascii.Error, TypeError, ValueError) as error:
        raise InvalidInputError(f"an entry of {path} cannot be understood", "type: docker login") from error
    return Credentials(username, password) if colon else None
