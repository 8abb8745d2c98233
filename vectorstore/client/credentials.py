"""Credentials: the tokens for remotes, in a file of their own that only its owner can read."""

from __future__ import annotations

import os
from pathlib import Path

from vectorstore.client.files import changing, write
from vectorstore.client.remote import Remote, read_tables, tables_text
from vectorstore.errors import InvalidInputError

FILE = "credentials.toml"
MAX_TOKEN = 4096


def variable(name: str) -> str:
    """Return the name of the environment's variable that overrides the file: `STEER_TOKEN_ACME`."""
    return f"STEER_TOKEN_{name.upper().replace('-', '_')}"


def find_token(home: Path, remote: Remote) -> str | None:
    """Return the token for a remote, or None where nobody is signed in.

    A token that was kept for another URL does not go to this one.
    """
    if said := os.environ.get(variable(remote.name)):
        return check_token(said.strip())
    values = read_tables(home / FILE).get(remote.name, {})
    token = values.get("token")
    return check_token(token) if values.get("url") == remote.url and isinstance(token, str) else None


def keep_token(home: Path, remote: Remote, token: str) -> None:
    """Keep a token, instead of the one before."""
    with changing(home / FILE):
        tables = {name: dict(values) for name, values in read_tables(home / FILE).items()}
        write(home / FILE, tables_text(tables | {remote.name: {"url": remote.url, "token": check_token(token)}}))


def forget_token(home: Path, name: str) -> bool:
    """Forget the token of a remote; return whether there was one."""
    with changing(home / FILE):
        tables = {other: dict(values) for other, values in read_tables(home / FILE).items()}
        if tables.pop(name, None) is None:
            return False
        write(home / FILE, tables_text(tables))
    return True


def check_token(token: str) -> str:
    """Return a token that can stand in a header.

    Raises:
        InvalidInputError: for anything else; does not show it.
    """
    if not token or len(token) > MAX_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise InvalidInputError("that is not a token", "a token is one word: stv_…")
    return token
