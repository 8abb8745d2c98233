"""Sso: a token for a remote whose people sign in with an OpenID provider, in their browser.

As RFC 8252 has it: a server on the loopback waits for the browser to bring a code, which is good for nothing without
the secret that only this process has (PKCE, RFC 7636).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from vectorstore.client.connection import Connection
from vectorstore.errors import NotAllowedError, UnavailableError

SECONDS = 300.0
_PAGE = (
    b"<!doctype html><meta charset=utf-8><title>steer</title><p>You can close this page and go back to the terminal."
)


def browser_token(connection: Connection, show: Callable[[str], object], seconds: float = SECONDS) -> str:
    """Return a token for whoever signs in within so many seconds.

    Args:
        connection: to the remote, without a token.
        show: told the URL that the browser has to open.
        seconds: how long to wait.

    Raises:
        UnavailableError: when nobody does.
        NotAllowedError: when the provider or the remote refuses them.
    """
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    with _Waiting(challenge) as waiting:
        asked = urlencode({"port": waiting.server_port, "challenge": challenge})
        show(f"{connection.remote.url}/v1/login?{asked}")
        code = waiting.code(seconds)
    answer = connection.document("POST", "/v1/login/token", body={"code": code, "verifier": verifier}, repeatable=False)
    return str(answer.get("token", "")) if isinstance(answer, dict) else ""


class _Waiting(HTTPServer):
    """Waits on the loopback for the browser."""

    def __init__(self, state: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state = state
        self.brought: dict[str, str] | None = None

    def code(self, seconds: float) -> str:
        until = time.monotonic() + seconds
        while self.brought is None:
            self.timeout = until - time.monotonic()
            if self.timeout <= 0:
                raise UnavailableError(f"nobody signed in within {seconds:g} seconds", "try again")
            self.handle_request()
        if "code" not in self.brought:
            raise NotAllowedError(f"not signed in: {self.brought.get('error', 'no reason was given')}", "try again")
        return self.brought["code"]


class _Handler(BaseHTTPRequestHandler):
    """Takes what belongs to this sign-in; whatever other pages send here changes nothing."""

    server: _Waiting
    timeout = 5

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        values = {key: value[0] for key, value in parse_qs(parts.query).items()}
        mine = parts.path == "/" and hmac.compare_digest(values.get("state", "").encode(), self.server.state.encode())
        self.send_response(200 if mine else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        if mine:
            self.wfile.write(_PAGE)
            self.server.brought = {key: "".join(filter(str.isprintable, text)) for key, text in values.items()}

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the path has the code in it."""
