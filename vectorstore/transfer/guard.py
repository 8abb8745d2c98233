"""Guard: what a registry wants to see of who asks: nothing, a name and password, or a token that these buy."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import httpx2

from vectorstore.errors import NotAllowedError, UnavailableError
from vectorstore.transfer.credentials import PASSWORD, USERNAME, Credentials

MAX_TOKEN = 1 << 18  # bytes of an answer with a token
_BEARER = re.compile(r"\bBearer\s+(.*)", re.IGNORECASE | re.DOTALL)
_BASIC = re.compile(r"\bBasic\b", re.IGNORECASE)
_PARAMETER = re.compile(r'(\w+)="([^"\\]*)"')
_LOCAL = ("localhost", "127.0.0.1", "::1")


@dataclass
class Guard:
    """The answers to one registry's challenges; the authorization is the last one that was bought."""

    client: httpx2.Client
    host: str
    credentials: Credentials | None
    authorization: str | None = None

    def satisfy(self, answer: httpx2.Response) -> None:
        """Make ready to ask again what was answered with 401.

        Raises:
            NotAllowedError: when there is nothing else to show, or it is not enough.
            UnavailableError: when the tokens' server cannot be used.
        """
        challenge, before = answer.headers.get("www-authenticate", ""), self.authorization
        if bearer := _BEARER.search(challenge):
            self.authorization = f"Bearer {self._token(dict(_PARAMETER.findall(bearer[1])), answer.url)}"
        elif _BASIC.search(challenge) and self.credentials is not None:
            self.authorization = self.credentials.basic
        if self.authorization in (None, before):
            raise refused(self.host, known=self.credentials is not None)

    def _token(self, parameters: dict[str, str], asked: httpx2.URL) -> str:
        """Buy a token for what was asked, as the challenge says (distribution's token authentication)."""
        realm = self._realm(parameters.get("realm", ""), asked)
        wanted = {name: value for name, value in parameters.items() if name in ("service", "scope")}
        headers = {"Authorization": self.credentials.basic} if self.credentials else {}
        with self.client.stream("GET", realm.copy_merge_params(wanted), headers=headers) as answer:
            if answer.status_code in (401, 403):
                raise refused(self.host, known=self.credentials is not None)
            data = b""
            for chunk in answer.iter_raw():
                data += chunk
                if len(data) > MAX_TOKEN:
                    break
            token = _read_token(data) if answer.is_success else None
        if token is None:
            raise UnavailableError(
                f"{realm.host} gives no token for {self.host} (status {answer.status_code})", "try again later"
            )
        return token

    def _realm(self, text: str, asked: httpx2.URL) -> httpx2.URL:
        """Return where tokens are; secrets go there over https only, unless the registry itself speaks http."""
        try:
            realm = httpx2.URL(text)
        except httpx2.InvalidURL:
            realm = httpx2.URL("")
        near = asked.scheme == "http" and (realm.host == asked.host or realm.host in _LOCAL)
        if not realm.host or realm.userinfo or not (realm.scheme == "https" or (realm.scheme == "http" and near)):
            raise NotAllowedError(
                f"{self.host} sends us to an unsafe place for a token", "ask who runs it to use https"
            )
        return realm


def refused(host: str, *, known: bool) -> NotAllowedError:
    """Return the error for what a registry does not let us do."""
    if known:
        return NotAllowedError(f"{host} refuses these credentials for this", "ask for the right to, or log in anew")
    return NotAllowedError(f"{host} wants credentials", f"type: docker login {host}, or set {USERNAME} and {PASSWORD}")


def _read_token(data: bytes) -> str | None:
    try:
        fields = json.loads(data)
    except ValueError:
        return None
    token = (fields.get("token") or fields.get("access_token")) if isinstance(fields, dict) else None
    return token if isinstance(token, str) and token.isascii() and token.isprintable() else None
