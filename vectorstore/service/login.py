"""Login: signing in with a provider, from the first request to the token. Nothing of it is kept here meanwhile."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

from authlib.oauth2.rfc7636 import create_s256_code_challenge

from vectorstore.accounts.identities import Identity, sign_in
from vectorstore.accounts.secret import new_id
from vectorstore.errors import InvalidInputError, NotAllowedError, VectorstoreError
from vectorstore.service.oidc import Provider
from vectorstore.service.options import Options
from vectorstore.service.seal import Seal
from vectorstore.store import Store

BROWSER_SECONDS = 600
CODE_SECONDS = 60
MIN_SECRET = 32


@dataclass(frozen=True)
class Brought:
    """What the browser brings back from the provider: a state, with a code or an error."""

    state: str
    code: str
    error: str
    issuer: str


class Logins:
    """The sign-ins of a service."""

    def __init__(self, options: Options) -> None:
        """Take the settings.

        Raises:
            InvalidInputError: when they are not complete, or not safe.
        """
        self.provider = Provider(options)
        self.secure = options.url.startswith("https://")
        self.cookie = "__Host-steer-login" if self.secure else "steer-login"
        self._lifetime = timedelta(days=options.oidc_days)
        secret = _sealing(options)
        self._browser = Seal(secret, "login in a browser", BROWSER_SECONDS)
        self._code = Seal(secret, "login code", CODE_SECONDS)

    def begin(self, port: int, challenge: str) -> tuple[str, str]:
        """Return where the browser has to go, and the cookie that only this browser has."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        kept: dict[str, str | int] = {
            "state": state,
            "nonce": nonce,
            "verifier": verifier,
            "port": port,
            "challenge": challenge,
        }
        return self.provider.begin(state, nonce, verifier), self._browser.close(kept)

    def finish(self, cookie: str, brought: Brought) -> str:
        """Return where on the loopback the command line waits, with a code for it, or with what is wrong.

        Raises:
            NotAllowedError: when this browser began no such sign-in.
        """
        kept = self._browser.open(cookie)
        if not hmac.compare_digest(kept["state"].encode(), brought.state.encode()):
            raise NotAllowedError("this browser began another sign-in", "begin again: steer login REMOTE --sso")
        try:
            answer = {"code": self._made_code(kept, brought)}
        except VectorstoreError as error:
            answer = {"error": error.problem}
        return f"http://127.0.0.1:{int(kept['port'])}/?{urlencode({**answer, 'state': kept['challenge']})}"

    def token(self, store: Store, code: str, verifier: str) -> str:
        """Return a token for a code, once.

        Raises:
            NotAllowedError: for a code that is not ours, too old, used, or somebody else's.
        """
        kept = self._code.open(code)
        if not hmac.compare_digest(create_s256_code_challenge(verifier), kept["challenge"]):
            raise NotAllowedError("this code was made for another command line", "begin again")
        identity = Identity(kept["issuer"], kept["subject"], kept["name"], kept["email"])
        return sign_in(store, identity, kept["public"], self._lifetime)

    def _made_code(self, kept: dict[str, str], brought: Brought) -> str:
        if brought.issuer and brought.issuer != self.provider.issuer:  # RFC 9207
            raise NotAllowedError("another provider answered", "begin again")
        if brought.error or not brought.code:
            said = "".join(filter(str.isprintable, brought.error))[:60]
            raise NotAllowedError(f"the provider says: {said or 'nothing'}", "begin again")
        identity = self.provider.finish(brought.code, kept["nonce"], kept["verifier"])
        return self._code.close({**vars(identity), "public": new_id(), "challenge": kept["challenge"]})


def _sealing(options: Options) -> str:
    """Return what sign-ins are sealed with; whoever knew it could make a code of anybody."""
    if options.secret and len(options.secret) < MIN_SECRET:
        raise InvalidInputError(
            f"STEER_SERVE_SECRET has {len(options.secret)} characters, and needs {MIN_SECRET}",
            "type: openssl rand -hex 32",
        )
    if not (found := options.secret or options.oidc_client_secret):
        raise InvalidInputError(
            "STEER_SERVE_OIDC_ISSUER is set, and neither STEER_SERVE_OIDC_CLIENT_SECRET nor STEER_SERVE_SECRET is",
            "set what the provider gave; for a public client, STEER_SERVE_SECRET to what openssl rand -hex 32 prints",
        )
    return found
