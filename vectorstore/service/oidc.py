"""Oidc: an OpenID provider, and what it says of who signed in there (OpenID Connect Core 1.0, code flow with PKCE)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import OAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from vectorstore.accounts.identities import Identity
from vectorstore.errors import InvalidInputError, NotAllowedError, UnavailableError
from vectorstore.service.options import Options

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
"""What an id_token may be signed with: never `none`, and never HMAC, whose key could be a public one."""
MAX_DOCUMENT = 1 << 18
FRESH_SECONDS = 3600.0
PAUSE_SECONDS = 10.0
"""Between two looks for a key that is not known."""
LEEWAY_SECONDS = 60
_WITH_SECRET = ("client_secret_basic", "client_secret_post")
_TIMEOUT = 10.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_MAX_SUBJECT = 255
_AGAIN = "begin again: steer login REMOTE --sso"
_ASK = "ask whoever runs the service"


class Provider:
    """The provider that a service's people sign in with. What it publishes is kept for an hour."""

    def __init__(self, options: Options) -> None:
        """Take the settings; nothing is asked yet.

        Raises:
            InvalidInputError: when one is missing, or an address is not safe.
        """
        for name in ("url", "oidc_client_id"):
            if not getattr(options, name):
                raise InvalidInputError(
                    f"STEER_SERVE_OIDC_ISSUER is set, and STEER_SERVE_{name.upper()} is not", "set both, or neither"
                )
        if options.oidc_auth not in ("", *_WITH_SECRET):
            raise InvalidInputError(
                f"STEER_SERVE_OIDC_AUTH cannot be '{options.oidc_auth[:40]}'", f"use {' or '.join(_WITH_SECRET)}"
            )
        _check_url(options.url, "STEER_SERVE_URL")
        _check_url(options.oidc_issuer, "STEER_SERVE_OIDC_ISSUER")
        self.issuer = options.oidc_issuer
        self.redirect = f"{options.url.rstrip('/')}/v1/login/callback"
        self._id, self._secret, self._scope = options.oidc_client_id, options.oidc_client_secret, options.oidc_scopes
        self._auth = options.oidc_auth
        self._domains = {part.strip().lower() for part in options.oidc_domains.split(",") if part.strip()}
        self._lock = threading.Lock()
        self._document: tuple[float, dict[str, Any]] | None = None
        self._keys: tuple[float, dict[str, Any]] | None = None

    def begin(self, state: str, nonce: str, verifier: str) -> str:
        """Return where the browser has to go.

        Raises:
            UnavailableError: when the provider does not answer.
        """
        with self._client() as client:
            url, _ = client.create_authorization_url(
                self._place("authorization_endpoint"), state=state, nonce=nonce, code_verifier=verifier
            )
        return str(url)

    def finish(self, code: str, nonce: str, verifier: str) -> Identity:
        """Return who signed in, for the code that the browser brought.

        Raises:
            NotAllowedError: when what the provider says does not hold, or they may not come in.
            UnavailableError: when the provider does not answer.
        """
        place = self._place("token_endpoint")
        with self._client(self._authenticated()) as client:
            try:
                answer = client.fetch_token(place, code=code, code_verifier=verifier)
            except OAuthError as error:
                raise NotAllowedError(f"the provider refuses the code ({str(error)[:100]})", _AGAIN) from error
            except (httpx2.HTTPError, ValueError) as error:
                raise _away(error) from error
        text = answer.get("id_token")
        if not isinstance(text, str):
            raise NotAllowedError("the provider sent no id_token", f"{_ASK} to allow the scope openid")
        return self._identity(self._claims(text, nonce, str(answer.get("access_token", ""))))

    def _claims(self, text: str, nonce: str, access_token: str) -> Mapping[str, Any]:
        """Return what an id_token says, once all of it was checked."""
        try:
            token = jwt.decode(text, self._key_set(_kid(text)), algorithms=list(ALGORITHMS))
            claims = CodeIDToken(
                token.claims,
                token.header,
                {"iss": {"essential": True, "value": self.issuer}, "aud": {"essential": True, "value": self._id}},
                {"nonce": nonce, "client_id": self._id, "access_token": access_token},
            )
            claims.validate(leeway=LEEWAY_SECONDS)
        except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise NotAllowedError(f"the provider's id_token does not hold ({str(error)[:100]})", _AGAIN) from error
        return dict(claims)

    def _identity(self, claims: Mapping[str, Any]) -> Identity:
        """Return who it is, if they may come in."""
        subject, email = claims.get("sub"), claims.get("email", "")
        if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_SUBJECT or not isinstance(email, str):
            raise NotAllowedError("the provider does not say who signed in", _ASK)
        if self._domains:
            if claims.get("email_verified") is not True:
                raise NotAllowedError("the provider has not verified your e-mail address", "verify it there")
            if email.rpartition("@")[2].lower() not in self._domains:
                raise NotAllowedError("people of your e-mail domain may not sign in here", _ASK)
        wish = claims.get("preferred_username")
        return Identity(self.issuer, subject, wish if isinstance(wish, str) and wish else email, email[:_MAX_SUBJECT])

    def _key_set(self, kid: str | None) -> KeySet:
        """Return the provider's public keys; they are asked for again where this one is not among them."""
        with self._lock:
            kept, now = self._keys, time.monotonic()
            old = kept is None or now - kept[0] > FRESH_SECONDS
            unknown = kept is not None and kid not in {key.get("kid") for key in kept[1]["keys"]}
            if kept is None or old or (unknown and now - kept[0] > PAUSE_SECONDS):
                found = self._fetch(self._place("jwks_uri", locked=True)).get("keys")
                keys = [key for key in found if isinstance(key, dict)] if isinstance(found, list) else []
                kept = self._keys = (now, {"keys": [key for key in keys if _signs(key)]})
        mine = [key for key in kept[1]["keys"] if kid is None or key.get("kid") == kid]
        return KeySet.import_key_set({"keys": mine})

    def _place(self, name: str, *, locked: bool = False) -> str:
        """Return an address that the provider publishes."""
        if locked:
            document = self._published()
        else:
            with self._lock:
                document = self._published()
        return _check_url(str(document.get(name, "")), f"the provider's {name}")

    def _published(self) -> Mapping[str, Any]:
        now = time.monotonic()
        if self._document is None or now - self._document[0] > FRESH_SECONDS:
            document = self._fetch(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
            if document.get("issuer") != self.issuer:
                raise UnavailableError("the provider calls itself something else than its issuer", _ASK)
            self._document = now, document
        return self._document[1]

    def _fetch(self, url: str) -> dict[str, Any]:
        """Return a document of the provider's, of bounded size; redirects are not followed."""
        data = bytearray()
        try:
            with httpx2.stream("GET", url, timeout=_TIMEOUT, headers={"Accept-Encoding": "identity"}) as answer:
                answer.raise_for_status()
                for chunk in answer.iter_raw():
                    data += chunk
                    if len(data) > MAX_DOCUMENT:
                        raise UnavailableError("the provider sends too much", _ASK)
            found = json.loads(data)
        except (httpx2.HTTPError, ValueError, RecursionError) as error:
            raise _away(error) from error
        return found if isinstance(found, dict) else {}

    def _authenticated(self) -> str:
        """Return how the service shows the provider its secret: as set, or the first that both know.

        A client without a secret is a public one; then PKCE alone proves that who began also finishes.
        """
        if not self._secret or self._auth:
            return self._auth if self._secret else "none"
        with self._lock:
            known = self._published().get("token_endpoint_auth_methods_supported", _WITH_SECRET)
        for way in _WITH_SECRET:  # OpenID Connect Discovery 1.0, section 3: Basic where nothing is said
            if isinstance(known, list | tuple) and way in known:
                return way
        raise UnavailableError(f"the provider takes a secret neither by {' nor by '.join(_WITH_SECRET)}", _ASK)

    def _client(self, auth: str = "none") -> Any:  # noqa: ANN401 - Authlib has no types
        return OAuth2Client(
            self._id,
            self._secret or None,
            token_endpoint_auth_method=auth,
            scope=self._scope,
            redirect_uri=self.redirect,
            code_challenge_method="S256",
            timeout=_TIMEOUT,
        )


def _kid(text: str) -> str | None:
    """Return the name of the key that a token says it is signed with. Nothing is believed yet."""
    kid = jws.extract_compact(text.encode()).headers().get("kid")
    return kid if isinstance(kid, str) else None


def _signs(key: Mapping[str, Any]) -> bool:
    """Return whether a published key may check signatures: a secret one (`oct`) never."""
    return key.get("kty") in ("RSA", "EC", "OKP") and key.get("use", "sig") == "sig"


def _check_url(url: str, what: str) -> str:
    parts = urlsplit(url)
    safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    if not safe or not parts.hostname or parts.username is not None or parts.fragment:
        raise InvalidInputError(f"{what} is no https address: '{url[:80]}'", "http is for the loopback alone")
    return url


def _away(error: Exception) -> UnavailableError:
    return UnavailableError(f"the provider does not answer as it should ({type(error).__name__})", "try again later")
