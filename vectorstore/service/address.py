"""Whom a request comes from: the peer, or what the trusted proxies in front say of it."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import Scope


def client_address(scope: Scope, trusted_proxies: int) -> str:
    """Return the address of the client: of what X-Forwarded-For says, only what trusted proxies added counts."""
    peer = scope.get("client") or ("unknown", 0)
    said = [part.strip() for part in Headers(scope=scope).get("x-forwarded-for", "").split(",") if part.strip()]
    if trusted_proxies and said:
        return said[-min(trusted_proxies, len(said))][:64]
    return str(peer[0])
