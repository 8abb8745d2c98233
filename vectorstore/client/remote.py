"""Remote: another store, by the name that references use for it: `acme//team/love`."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vectorstore.canonical import Json
from vectorstore.client.files import changing, write
from vectorstore.errors import ConflictError, InvalidInputError, NotFoundError
from vectorstore.reference import check_name

MAX_URL = 512
FILE = "remotes.toml"


@dataclass(frozen=True)
class Remote:
    """Another store.

    Attributes:
        name: what references call it.
        url: of its service, without a slash at the end.
        ca: file of the certificates that it is checked against, instead of the system's.
        insecure: whether tokens may go to it unencrypted.
    """

    name: str
    url: str
    ca: str = ""
    insecure: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be reached, or not safely.

        Raises:
            InvalidInputError: for such a name or URL.
        """
        check_name(self.name, "remote")
        object.__setattr__(self, "url", self.url.rstrip("/"))
        _check_url(self.url, insecure=self.insecure)

    @property
    def key(self) -> str:
        """What the library keeps things about it under: its URL, since its name may come to mean another one."""
        return self.url

    def to_json(self) -> Json:
        """Return the fields, for programs."""
        return dict(vars(self))


def read_remotes(home: Path) -> dict[str, Remote]:
    """Return all remotes by name.

    Raises:
        InvalidInputError: when the file cannot be read.
    """
    return {name: Remote(name, **_known(home, name, values)) for name, values in read_tables(home / FILE).items()}


def find_remote(home: Path, name: str) -> Remote:
    """Return the remote of a name.

    Raises:
        NotFoundError: when there is none; says what to type.
    """
    remotes = read_remotes(home)
    if name not in remotes:
        near = get_close_matches(name, remotes, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise NotFoundError(f"there is no remote '{name}'", f"{hint}type: steer remote add {name} https://…")
    return remotes[name]


def add_remote(home: Path, remote: Remote) -> None:
    """Keep a remote.

    Raises:
        ConflictError: when its name means another URL.
    """
    with changing(home / FILE):
        remotes = read_remotes(home)
        present = remotes.get(remote.name)
        if present is not None and present.url != remote.url:
            raise ConflictError(
                f"{remote.name} is {present.url}", f"choose another name, or type: steer remote remove {remote.name}"
            )
        _write(home, remotes | {remote.name: remote})


def remove_remote(home: Path, name: str) -> Remote:
    """Forget a remote, and return it.

    Raises:
        NotFoundError: when there is none of this name.
    """
    with changing(home / FILE):
        remote = find_remote(home, name)
        _write(home, {other: each for other, each in read_remotes(home).items() if other != name})
    return remote


def read_tables(path: Path) -> dict[str, Mapping[str, Any]]:
    """Return the tables of a TOML file; nothing where there is none.

    Raises:
        InvalidInputError: when it cannot be read, or holds something else.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"cannot read {path} ({type(error).__name__})", "mend the file or remove it") from error
    if not all(isinstance(values, dict) for values in tables.values()):
        raise InvalidInputError(f"{path} holds something else than tables", "mend the file or remove it")
    return tables


def tables_text(tables: Mapping[str, Mapping[str, str | bool]]) -> str:
    """Return TOML; JSON's texts and booleans are TOML's too."""
    parts = (
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
        for name, values in sorted(tables.items())
    )
    return "\n".join(parts)


def _known(home: Path, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {"url": str, "ca": str, "insecure": bool}
    if "url" not in values or any(type(value) is not kinds.get(key) for key, value in values.items()):
        raise InvalidInputError(
            f"{home / FILE} says something else of {name} than url, ca and insecure", "mend the file or remove it"
        )
    return dict(values)


def _write(home: Path, remotes: Mapping[str, Remote]) -> None:
    tables = {
        name: {"url": each.url} | ({"ca": each.ca} if each.ca else {}) | ({"insecure": True} if each.insecure else {})
        for name, each in remotes.items()
    }
    write(home / FILE, tables_text(tables))


def _check_url(url: str, *, insecure: bool) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    plain = url.isascii() and url.isprintable() and not set(url) & set(' "<>\\^`{|}')
    if not plain or parts.scheme not in ("http", "https") or not host or len(url) > MAX_URL:
        raise InvalidInputError(f"'{url[:100]}' is not the URL of a service", "write https://vectors.example.com")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise InvalidInputError(
            "the URL has a password, a query or a fragment", "write it without; the token goes to `steer login`"
        )
    if parts.scheme == "http" and not insecure and not _is_here(host):
        raise InvalidInputError(
            f"tokens would go to {host} unencrypted", "write https://…, or add --insecure where nobody listens"
        )


def _is_here(host: str) -> bool:
    """Return whether a host is this machine, so that nothing travels."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
