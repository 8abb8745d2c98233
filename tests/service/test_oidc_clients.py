"""The clients that an OpenID provider may know the service as, and providers that change or are not what they say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.service.conftest import Person, Service, serving
from tests.service.oidc_provider import CLIENT, SECRET, Provider
from tests.service.test_login import CHALLENGE, URL, back, begin, brought, exchange, signed_in
from vectorstore.errors import InvalidInputError
from vectorstore.service import oidc
from vectorstore.service.login import Logins
from vectorstore.service.options import Options
from vectorstore.store import Store

SEALING = "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def _on_the_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")


@contextmanager
def provider(auth: str = "client_secret_basic", **published: Any) -> Iterator[Provider]:
    made = Provider(f"{URL}/v1/login/callback", auth)
    made.published = published
    try:
        yield made
    finally:
        made.close()


@contextmanager
def team(store: Store, provider: Provider, **more: Any) -> Iterator[Service]:
    given = {"oidc_issuer": provider.issuer, "oidc_client_id": CLIENT, "oidc_client_secret": SECRET}
    with serving(store, url=URL, **{**given, **more}) as made:
        made.client.follow_redirects = False
        yield made


def user_of(service: Service) -> str:
    return str(signed_in(service).get("/v1/me").json()["user"])


BOTH = ["client_secret_post", "client_secret_basic"]


@pytest.mark.parametrize(
    ("auth", "published", "set_to"),
    [
        ("client_secret_basic", None, ""),
        ("client_secret_basic", ["private_key_jwt", *BOTH], ""),
        ("client_secret_post", ["private_key_jwt", "client_secret_post"], ""),
        ("client_secret_post", BOTH, "client_secret_post"),
        ("client_secret_post", None, "client_secret_post"),
    ],
)
def test_a_secret_is_shown_as_the_provider_takes_it_or_as_is_set(
    store: Store, auth: str, published: list[str] | None, set_to: str
):
    said = {} if published is None else {"token_endpoint_auth_methods_supported": published}
    with provider(auth, **said) as there, team(store, there, oidc_auth=set_to) as service:
        assert user_of(service) == "olga"
        assert ("client_secret" in there.sent[0]) == (auth == "client_secret_post")
        assert there.sent[0]["code_verifier"]


def test_a_provider_that_takes_no_secret_of_ours_is_named_as_such(store: Store):
    with provider(token_endpoint_auth_methods_supported=["private_key_jwt"]) as there, team(store, there) as service:
        assert "neither by client_secret_basic nor by client_secret_post" in brought(service)["error"]


def test_a_public_client_needs_no_secret_and_pkce_stands_for_it(store: Store):
    with provider("none") as there, team(store, there, oidc_client_secret="", secret=SEALING) as service:
        asked = parse_qs(urlsplit(begin(service)).query)
        assert (asked["code_challenge_method"], len(asked["code_challenge"][0])) == (["S256"], 43)
        assert user_of(service) == "olga"
        assert "client_secret" not in there.sent[0]
        assert there.sent[0]["client_id"] == CLIENT


def test_a_code_that_was_stolen_from_a_public_client_is_of_no_use(store: Store):
    """Who has the provider's code has not the verifier, which is sealed in the cookie of the browser that began."""
    with provider("none") as there, team(store, there, oidc_client_secret="", secret=SEALING) as service:
        stolen = httpx2.get(begin(service)).headers["location"]
        code = parse_qs(urlsplit(stolen).query)["code"][0]
        begin(service)  # the thief's browser
        state = parse_qs(urlsplit(begin(service)).query)["state"][0]
        answer = service.anybody.get(f"/v1/login/callback?code={code}&state={state}")
        assert "error=" in answer.headers["location"]
        assert [each["name"] for each in service.admin.get("/v1/users").json()["users"]] == ["admin"]


def test_copies_finish_each_others_sign_ins_only_where_their_secret_is_the_same(store: Store):
    public = {"oidc_client_secret": ""}
    with (
        provider("none") as there,
        team(store, there, **public, secret=SEALING) as one,
        team(store, there, **public, secret=SEALING) as same,
        team(store, there, **public, secret=SEALING[::-1]) as another,
    ):
        path = back(one)
        cookie = {"Cookie": f"steer-login={one.client.cookies['steer-login']}"}
        assert another.anybody.get(path, headers=cookie).status_code == 403
        code = parse_qs(urlsplit(same.anybody.get(path, headers=cookie).headers["location"]).query)["code"][0]
        assert exchange(another, code).status_code == 403
        made = exchange(one, code)
        assert Person(same.client, made.json()["token"]).get("/v1/me").json()["user"] == "olga"


def test_settings_of_a_client_that_cannot_be_are_refused_and_name_the_variable():
    given = {"url": URL, "oidc_issuer": "https://id.example", "oidc_client_id": "x"}
    with pytest.raises(InvalidInputError, match="neither STEER_SERVE_OIDC_CLIENT_SECRET nor STEER_SERVE_SECRET"):
        Logins(Options(**given))
    with pytest.raises(InvalidInputError, match="STEER_SERVE_SECRET has 5 characters, and needs 32"):
        Logins(Options(**given, secret=SEALING[:5]))
    with pytest.raises(InvalidInputError, match="STEER_SERVE_OIDC_AUTH cannot be 'private_key_jwt'"):
        Logins(Options(**given, oidc_client_secret=SECRET, oidc_auth="private_key_jwt"))
    assert SEALING not in repr(Options(secret=SEALING))


def test_keys_that_rotate_between_two_sign_ins_shut_nobody_out(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(oidc, "PAUSE_SECONDS", 0)
    with provider() as there, team(store, there) as service:
        assert user_of(service) == "olga"
        there.rotate("second")
        assert user_of(service) == "olga"
        old = there.key
        there.rotate("third")
        assert user_of(service) == "olga"
        there.forge = lambda real, _key: jwt.encode({"alg": "RS256", "kid": old.kid}, real, old)
        assert "error" in brought(service)  # a key that the provider took away signs nothing
        assert there.looks == 4


def test_a_key_that_changes_under_its_old_name_is_not_believed_before_the_keys_are_asked_for_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
):
    with provider() as there, team(store, there) as service:
        assert user_of(service) == "olga"
        there.key = RSAKey.generate_key(2048, {"kid": there.key.kid, "use": "sig"})
        assert "error" in brought(service)
        monkeypatch.setattr(oidc, "FRESH_SECONDS", 0)
        assert user_of(service) == "olga"


def test_another_issuer_in_what_the_browser_brings_is_refused(store: Store):
    with provider() as there, team(store, there) as service:
        answer = service.anybody.get(f"{back(service)}&iss=https://evil.example")
        assert "another+provider+answered" in answer.headers["location"]
        assert there.sent == []  # its code was not even tried
        assert "code=" in service.anybody.get(f"{back(service)}&iss={there.issuer}").headers["location"]


@pytest.mark.parametrize("change", [lambda _: "", lambda state: state[::-1], lambda state: state + "x", str.upper])
def test_another_state_is_refused(store: Store, change: Any):
    with provider() as there, team(store, there) as service:
        path = re.sub("(?<=state=)[^&]*", lambda found: change(found[0]), back(service))
        assert service.anybody.get(path).status_code == 403
        assert there.sent == []


@pytest.mark.parametrize("issuer", ["https://evil.example", "", None])
def test_a_provider_that_calls_itself_something_else_signs_nobody_in(store: Store, issuer: str | None):
    with provider(issuer=issuer) as there, team(store, there) as service:
        answer = service.anybody.get(f"/v1/login?port=4321&challenge={CHALLENGE}")
        assert answer.status_code == 503
        assert "location" not in answer.headers


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize("url", ["http://id.example/", "https://user:pw@id.example/"])
def test_addresses_of_the_provider_that_are_not_safe_are_not_asked(store: Store, name: str, url: str):
    with provider(**{name: url}) as there, team(store, there) as service:
        if name == "authorization_endpoint":
            assert service.anybody.get(f"/v1/login?port=4321&challenge={CHALLENGE}").status_code == 422
        else:
            assert name in brought(service)["error"]
