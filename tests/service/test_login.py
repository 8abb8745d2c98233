"""Signing in with an OpenID provider, and all that must not let anybody in."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest
from joserfc import jws, jwt
from joserfc.jwk import OctKey, RSAKey

from tests.service.conftest import Person, Service, serving
from tests.service.oidc_provider import CLIENT, SECRET, Provider
from vectorstore.errors import InvalidInputError
from vectorstore.service import oidc
from vectorstore.service.login import Logins
from vectorstore.service.options import Options
from vectorstore.store import Store

URL = "http://127.0.0.1:8000"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")  # the provider's: it is on the loopback
    made = Provider(f"{URL}/v1/login/callback")
    yield made
    made.close()


def settings(provider: Provider, **more: Any) -> dict[str, Any]:
    names = {"oidc_issuer": provider.issuer, "oidc_client_id": CLIENT, "oidc_client_secret": SECRET}
    return {"url": URL, **names, "oidc_domains": "example.org, example.com", **more}


@pytest.fixture
def team(store: Store, provider: Provider) -> Iterator[Service]:
    with serving(store, **settings(provider)) as made:
        made.client.follow_redirects = False
        yield made


def begin(team: Service) -> str:
    answer = team.anybody.get(f"/v1/login?port=4321&challenge={CHALLENGE}")
    assert answer.status_code == 302, answer.text
    return answer.headers["location"]


def back(team: Service) -> str:
    """Go through the provider, and return the path and query that it sends the browser to."""
    there = urlsplit(httpx2.get(begin(team)).headers["location"])
    return f"{there.path}?{there.query}"


def brought(team: Service) -> dict[str, str]:
    """Return what the command line would get."""
    answer = team.anybody.get(back(team))
    assert answer.status_code == 302, answer.text
    assert answer.headers["location"].startswith("http://127.0.0.1:4321/?")
    return {key: value[0] for key, value in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def exchange(team: Service, code: str, verifier: str = VERIFIER) -> Any:
    return team.anybody.post("/v1/login/token", json={"code": code, "verifier": verifier})


def signed_in(team: Service) -> Person:
    answer = exchange(team, brought(team)["code"])
    assert answer.status_code == 201, answer.text
    return Person(team.client, answer.json()["token"])


def test_who_signs_in_the_first_time_becomes_a_user_and_stays_it_under_another_name(team: Service, provider: Provider):
    me = signed_in(team).get("/v1/me").json()
    assert (me["user"], me["admin"], me["scope"]) == ("olga", False, "own")
    provider.person |= {"preferred_username": "renamed", "email": "new@example.com"}
    assert signed_in(team).get("/v1/me").json()["user"] == "olga"
    told = [(each["action"], each["actor"]) for each in team.admin.get("/v1/system/events").json()["events"]]
    assert told[-3:] == [("user.create", "olga"), ("user.login", "olga"), ("user.login", "olga")]


def test_a_user_of_the_same_name_is_never_taken_over(team: Service, provider: Provider):
    provider.person["preferred_username"] = "admin"
    me = signed_in(team).get("/v1/me").json()
    assert (me["user"], me["admin"]) == ("admin-2", False)


@pytest.mark.parametrize(("wish", "name"), [("Olga Ö. Öl", "Olga-l"), ("42", "user-42"), ("../..", "user")])
def test_names_are_made_to_fit_the_grammar(team: Service, provider: Provider, wish: str, name: str):
    provider.person["preferred_username"] = wish
    assert signed_in(team).get("/v1/me").json()["user"] == name


def test_a_user_who_is_shut_out_stays_out(team: Service):
    signed_in(team)
    team.admin.ask("PATCH", "/v1/users/olga", json={"disabled": True})
    assert exchange(team, brought(team)["code"]).status_code == 403


def test_a_code_is_good_once_and_for_the_command_line_that_began(team: Service):
    code = brought(team)["code"]
    assert exchange(team, code, "w" * 43).status_code == 403
    assert exchange(team, code).status_code == 201
    assert exchange(team, code).status_code == 403


def test_a_code_of_the_provider_is_good_once(team: Service):
    path = back(team)
    cookie = team.client.cookies["steer-login"]
    assert "code=" in team.anybody.get(path).headers["location"]
    again = team.anybody.get(path, headers={"Cookie": f"steer-login={cookie}"})
    assert "error=" in again.headers["location"]


def test_another_browser_cannot_finish_a_sign_in(team: Service):
    path = back(team)
    mine = team.client.cookies["steer-login"]
    begin(team)  # another browser, with a cookie of its own
    assert team.client.cookies["steer-login"] != mine
    assert team.anybody.get(path).status_code == 403
    team.client.cookies.clear()
    assert team.anybody.get(path).status_code == 403


def test_the_cookie_is_no_code_and_not_for_scripts(team: Service):
    answer = team.anybody.get(f"/v1/login?port=4321&challenge={CHALLENGE}")
    said = answer.headers["set-cookie"].lower()
    assert "httponly" in said
    assert "samesite=lax" in said
    assert exchange(team, team.client.cookies["steer-login"]).status_code == 403
    assert SECRET not in said + answer.headers["location"]


@pytest.mark.parametrize("port", ["80", "4321@evil.example", "https://evil.example", "70000", ""])
def test_the_browser_is_sent_to_the_loopback_and_nowhere_else(team: Service, port: str):
    asked = urlencode({"port": port, "challenge": CHALLENGE, "redirect_uri": "https://evil.example"})
    assert team.anybody.get(f"/v1/login?{asked}").status_code == 422


def changed(**claims: Any) -> Any:
    return lambda real, key: jwt.encode({"alg": "RS256", "kid": key.kid}, {**real, **claims}, key)


def unsigned(real: dict[str, Any], key: RSAKey) -> str:
    parts = ({"alg": "none", "kid": key.kid}, real)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."


def with_public_key_as_secret(real: dict[str, Any], key: RSAKey) -> str:
    secret = OctKey.import_key(base64.urlsafe_b64encode(key.as_pem(private=False)).decode())
    header = {"alg": "HS256", "kid": key.kid}
    return jws.serialize_compact(header, json.dumps(real).encode(), secret, algorithms=["HS256"])


def with_client_secret(real: dict[str, Any], key: RSAKey) -> str:
    header, secret = {"alg": "HS256", "kid": key.kid}, OctKey.import_key(SECRET)
    return jws.serialize_compact(header, json.dumps(real).encode(), secret, algorithms=["HS256"])


def with_another_key(real: dict[str, Any], key: RSAKey) -> str:
    return jwt.encode({"alg": "RS256", "kid": key.kid}, real, RSAKey.generate_key(2048))


ATTACKS = {
    "another nonce": changed(nonce="another"),
    "no nonce": lambda real, key: changed()({k: v for k, v in real.items() if k != "nonce"}, key),
    "another audience": changed(aud="another"),
    "one audience of several, for another": changed(aud=[CLIENT, "another"], azp="another"),
    "expired": changed(exp=int(time.time()) - 3600),
    "of the future": changed(iat=int(time.time()) + 3600),
    "another issuer": changed(iss="https://evil.example"),
    "nobody": changed(sub=""),
    "another access token": changed(at_hash="AAAAAAAAAAAAAAAAAAAAAA"),
    "alg none": unsigned,
    "HMAC with the public key": with_public_key_as_secret,
    "HMAC with the client's secret": with_client_secret,
    "another key under the same name": with_another_key,
    "no token at all": lambda _real, _key: "x.y",
    "an address not verified": changed(email_verified=False),
    "an address that says it is verified": changed(email_verified="true"),
    "another domain": changed(email="olga@evil.example"),
    "a domain that ends alike": changed(email="olga@notexample.org"),
}


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_token_that_does_not_hold_lets_nobody_in(team: Service, provider: Provider, attack: str):
    provider.forge = changed()
    assert "code" in brought(team)
    provider.forge = ATTACKS[attack]
    got = brought(team)
    assert "code" not in got
    assert got["error"]
    assert [each["name"] for each in team.admin.get("/v1/users").json()["users"]] == ["admin"]


def test_new_keys_of_the_provider_are_found_and_asked_for_no_more_than_needed(
    team: Service, provider: Provider, monkeypatch: pytest.MonkeyPatch
):
    signed_in(team)
    signed_in(team)
    assert provider.looks == 1
    provider.rotate("second")
    assert "error" in brought(team)  # too soon after the look before
    assert provider.looks == 1
    monkeypatch.setattr(oidc, "PAUSE_SECONDS", 0)
    signed_in(team)
    assert provider.looks == 2


def test_what_the_provider_refuses_reaches_the_command_line(team: Service):
    state = parse_qs(urlsplit(begin(team)).query)["state"][0]
    answer = team.anybody.get(f"/v1/login/callback?{urlencode({'state': state, 'error': 'access_denied'})}")
    assert "access_denied" in answer.headers["location"]


def test_without_a_provider_there_is_nothing_to_sign_in_with(service: Service):
    assert service.anybody.get(f"/v1/login?port=4321&challenge={CHALLENGE}").status_code == 404


def test_settings_that_are_incomplete_or_unsafe_are_refused_and_never_shown():
    with pytest.raises(InvalidInputError, match="STEER_SERVE_URL is not"):
        Logins(Options(oidc_issuer="https://id.example", oidc_client_id="x", oidc_client_secret=SECRET))
    given = {"url": URL, "oidc_client_id": "x", "oidc_client_secret": SECRET}
    with pytest.raises(InvalidInputError, match="no https"):
        Logins(Options(oidc_issuer="http://id.example", **given))
    assert SECRET not in repr(Options(**given))


def test_a_sign_in_that_one_process_began_another_one_finishes(store: Store, team: Service, provider: Provider):
    with serving(store, **settings(provider)) as other:
        other.client.follow_redirects = False
        there = back(team)
        name = "steer-login"
        headers = {"Cookie": f"{name}={team.client.cookies[name]}"}
        answer = other.anybody.get(there, headers=headers)
        assert answer.status_code == 302, answer.text
        code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
        made = exchange(team, code)
        assert made.status_code == 201, made.text
        assert Person(other.client, made.json()["token"]).get("/v1/me").json()["user"] == "olga"
        assert exchange(other, code).status_code == 403  # used, whoever made the token


def test_over_https_the_cookie_is_of_this_host_alone(store: Store, provider: Provider):
    with serving(store, **settings(provider, url="https://vectors.example")) as service:
        service.client.follow_redirects = False
        cookie = service.anybody.get(f"/v1/login?port=4321&challenge={CHALLENGE}").headers["set-cookie"]
    name, *attributes = (part.strip().lower() for part in cookie.split(";"))
    assert name.startswith("__host-steer-login=")
    assert {"secure", "httponly", "samesite=lax", "path=/"} <= set(attributes)
    assert not [each for each in attributes if each.startswith("domain")]
