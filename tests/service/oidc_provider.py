# ruff: noqa: ARG002 - the signatures are Authlib's
"""An OpenID provider on the loopback: Authlib's own server side, which can be told to misbehave."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, grants
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import OpenIDCode, UserInfo
from flask import Flask, jsonify, request
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from werkzeug.serving import make_server

CLIENT, SECRET = "steer", "a secret of this service alone"


class Client(ClientMixin):
    def __init__(self, redirect: str, auth: str) -> None:
        self.redirect, self.auth = redirect, auth

    def get_client_id(self) -> str:
        return CLIENT

    def get_default_redirect_uri(self) -> str:
        return self.redirect

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == self.auth

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


class Code:
    def __init__(self, payload: Any) -> None:
        self.data = payload.data.to_dict()

    def get_redirect_uri(self) -> str:
        return self.data["redirect_uri"]

    def get_scope(self) -> str:
        return self.data["scope"]

    def get_nonce(self) -> str:
        return self.data["nonce"]

    def get_auth_time(self) -> int:
        return int(time.time())

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None

    @property
    def code_challenge(self) -> str:
        return self.data["code_challenge"]

    @property
    def code_challenge_method(self) -> str:
        return self.data["code_challenge_method"]


@cache
def key_of(kid: str) -> RSAKey:
    """Make a key; once for all tests, since it takes long."""
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})


class Provider:
    """A provider of one person.

    Attributes:
        person: what it says of them.
        forge: makes the id_token instead, of its claims and the key.
        looks: how often its keys were asked for.
        published: what it says of itself beside its addresses.
        sent: the fields that its token endpoint was sent, each time.
    """

    def __init__(self, redirect: str, auth: str = "client_secret_basic") -> None:
        """Serve; its one client proves itself in this way, or not at all: `none`."""
        self.person: dict[str, Any] = {
            "sub": "1234",
            "preferred_username": "olga",
            "email": "olga@example.org",
            "email_verified": True,
        }
        self.forge: Callable[[dict[str, Any], RSAKey], str] | None = None
        self.looks, self.codes = 0, dict[str, Code]()
        self.published, self.sent = dict[str, Any](), list[dict[str, str]]()
        self.rotate("first")
        app = Flask("provider")
        self._server = make_server("127.0.0.1", 0, app, threaded=True)
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"
        self._routes(app, Client(redirect, auth))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def rotate(self, kid: str) -> None:
        """Sign with another key from now on; the one before is gone."""
        self.key = key_of(kid)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _routes(self, app: Flask, client: Client) -> None:
        server = AuthorizationServer(app, lambda _id: client, lambda _token, _request: None)
        server.register_grant(self._grant(), [self._openid(), CodeChallenge(required=True)])

        @app.get("/.well-known/openid-configuration")
        def published() -> Any:
            places = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
            addresses = {name: self.issuer + path for name, path in places.items()}
            return jsonify({"issuer": self.issuer, **addresses, **self.published})

        @app.get("/keys")
        def keys() -> Any:
            self.looks += 1
            return jsonify(KeySet([self.key]).as_dict(private=False))

        @app.get("/authorize")
        def authorize() -> Any:
            grant = server.get_consent_grant(end_user=self.person)
            return server.create_authorization_response(grant_user=self.person, grant=grant)

        @app.post("/token")
        def token() -> Any:
            self.sent.append(request.form.to_dict())
            return server.create_token_response()

    def _grant(self) -> type:
        provider = self

        class Grant(grants.AuthorizationCodeGrant):
            TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post", "none")

            def save_authorization_code(self, code: str, request: Any) -> None:
                provider.codes[code] = Code(request.payload)

            def query_authorization_code(self, code: str, client: Client) -> Code | None:
                return provider.codes.get(code)

            def delete_authorization_code(self, authorization_code: Code) -> None:
                provider.codes = {key: each for key, each in provider.codes.items() if each is not authorization_code}

            def authenticate_user(self, authorization_code: Code) -> Any:
                return provider.person

        return Grant

    def _openid(self) -> OpenIDCode:
        provider = self

        class OpenID(OpenIDCode):
            def exists_nonce(self, nonce: str, request: Any) -> bool:
                return False

            def get_client_claims(self, client: Client) -> dict[str, Any]:
                return {"iss": provider.issuer, "aud": [CLIENT]}

            def get_client_algorithm(self, client: Client) -> str:
                return "RS256"

            def get_encode_header(self, client: Client) -> dict[str, Any]:
                return {"alg": "RS256", "kid": provider.key.kid}

            def resolve_client_private_key(self, client: Client) -> RSAKey:
                return provider.key

            def generate_user_info(self, user: Any, scope: str) -> UserInfo:
                return UserInfo(user)

            def encode_id_token(self, token: Any, request: Any) -> str:
                text = super().encode_id_token(token, request)
                if provider.forge is None:
                    return text
                return provider.forge(dict(jwt.decode(text, provider.key).claims), provider.key)

        return OpenID()
