"""Address: where versions are in an OCI registry: `oci://registry/repository:tag`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vectorstore.errors import InvalidInputError

SCHEME = "oci://"
DEFAULT_TAG = "latest"
_WORD = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_ADDRESS = re.compile(
    rf"""(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::(?P<port>[0-9]{{1,5}}))?
        /(?P<repository>{_WORD}(?:/{_WORD})*)
        (?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}}))?
        (?:@(?P<digest>sha256:[0-9a-f]{{64}}))?""",
    re.VERBOSE,
)
MAX_REPOSITORY = 255
_LOCAL = ("localhost", "127.0.0.1", "[::1]")
_HUB = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}


@dataclass(frozen=True)
class Address:
    """A repository of a registry, and a tag or digest in it.

    Attributes:
        host: with its port, where one was given.
        repository: `team/vectors`.
        tag: of a tag; None where there is a digest alone.
        digest: of a manifest, or None.
        plain: whether it is spoken to over http.
    """

    host: str
    repository: str
    tag: str | None
    digest: str | None
    plain: bool

    def __str__(self) -> str:
        """Return the URL that reads back as this address."""
        tag = f":{self.tag}" if self.tag else ""
        return f"{SCHEME}{self.host}/{self.repository}{tag}{f'@{self.digest}' if self.digest else ''}"

    @property
    def reference(self) -> str:
        """What the registry is asked for: the digest, or else the tag."""
        return self.digest or self.tag or DEFAULT_TAG

    @property
    def root(self) -> str:
        """URL of the repository in the registry's interface."""
        host = _HUB.get(self.host, self.host)
        return f"{'http' if self.plain else 'https'}://{host}/v2/{self.repository}"


def parse_address(url: str, *, plain: bool | None = None) -> Address:
    """Read `oci://registry/repository[:tag][@sha256:…]`; without a tag or digest, `latest` is meant.

    Args:
        url: the address.
        plain: speak http; otherwise only to this machine.

    Raises:
        InvalidInputError: for anything else. A name or password in it is refused, and not repeated.
    """
    match = _ADDRESS.fullmatch(url.removeprefix(SCHEME)) if url.startswith(SCHEME) else None
    if match is None or len(match["repository"]) > MAX_REPOSITORY or int(match["port"] or 1) not in range(1, 1 << 16):
        hint = "write oci://registry.example.com/team/vectors:tag, in small letters"
        named = url if "@" not in url else "the address"
        raise InvalidInputError(f"{named[:120]} is no address of an OCI registry", hint)
    host = match["host"] + (f":{match['port']}" if match["port"] else "")
    tag = match["tag"] or (None if match["digest"] else DEFAULT_TAG)
    spoken = match["host"].lower() in _LOCAL if plain is None else plain
    return Address(host.lower(), match["repository"], tag, match["digest"], spoken)
