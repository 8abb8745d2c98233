"""Secret: the text of a token, `stv_<id>_<secret>_<crc>`, of which only the hash is kept."""

from __future__ import annotations

import hashlib
import secrets
import zlib
from dataclasses import dataclass, field

from vectorstore.errors import NotAuthenticatedError

PREFIX = "stv"
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZabcdefghjkmnpqrstvwxyz"  # without those that are taken for each other
_ID_LENGTH, _SECRET_LENGTH = 12, 44  # 44 letters of 54 are more than 252 bits


@dataclass(frozen=True)
class Secret:
    """A token that was just made.

    Attributes:
        id: its public part.
        text: all of it, which is shown once.
        hash: what is kept.
    """

    id: str
    text: str = field(repr=False)
    hash: str = field(repr=False)


def new_id() -> str:
    """Return the public part of a token that may be made later."""
    return _random(_ID_LENGTH)


def new_secret(public: str | None = None) -> Secret:
    """Make a token; its public part may be known already."""
    public = public or new_id()
    body = f"{PREFIX}_{public}_{_random(_SECRET_LENGTH)}"
    text = f"{body}_{_crc(body)}"
    return Secret(public, text, _hash(text))


def split(text: str) -> tuple[str, str]:
    """Return the public part and the hash of a token.

    Raises:
        NotAuthenticatedError: for what cannot be one: mistyped or cut off. No database is asked.
    """
    body, _, crc = text.rpartition("_")
    parts = body.split("_")
    lengths = [len(part) for part in parts]
    if lengths != [len(PREFIX), _ID_LENGTH, _SECRET_LENGTH] or not text.isascii() or crc != _crc(body):
        raise NotAuthenticatedError("this is no token", "copy all of it: stv_…, as it was shown when it was made")
    return parts[1], _hash(text)


def _random(length: int) -> str:
    return "".join(secrets.choice(_LETTERS) for _ in range(length))


def _crc(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
