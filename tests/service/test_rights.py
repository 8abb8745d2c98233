"""Who may do what: every route, every role, every visibility."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute

from tests.service.conftest import Person, Service
from vectorstore.accounts.rights import ROLES, Right
from vectorstore.service.guard import Needs

DIGEST = f"sha256:{'0' * 64}"
PARTS = {
    "namespace": "team",
    "kind": "vectors",
    "name": "love",
    "which": "1",
    "digest": DIGEST,
    "alias": "prod",
    "upload": "0" * 32,
    "proposal": "1",
    "user": "nobody",
    "token": "0" * 12,
    "webhook": "1",
}
ROLES_OF = ("stranger", *ROLES, "admin")


def routes(service: Service) -> Iterator[APIRoute]:
    for route in service.client.app.routes:  # type: ignore[attr-defined]
        yield from _flat(route)


def _flat(route: Any) -> Iterator[APIRoute]:
    if isinstance(route, APIRoute):
        yield route
    for inner in getattr(getattr(route, "original_router", None), "routes", ()):
        yield from _flat(inner)


def needs(route: APIRoute) -> list[Needs]:
    return [each.call for each in route.dependant.dependencies if isinstance(each.call, Needs)]


def test_every_route_says_which_right_it_needs(service: Service):
    found = list(routes(service))
    assert len(found) > 40
    for route in found:
        assert len(needs(route)) == 1, f"{route.path} does not say which right it needs"


def test_only_routes_that_are_known_are_open_to_everybody(service: Service):
    open_ones = {route.path for route in routes(service) if needs(route)[0].right is None}
    logins = {"/v1/login", "/v1/login/callback", "/v1/login/token"}
    assert open_ones == {"/healthz", "/readyz", "/metrics", "/v1/resolve", "/v1/namespaces"} | logins


@pytest.mark.parametrize("visibility", ["public", "internal", "private"])
def test_every_route_of_a_namespace_answers_as_role_and_visibility_say(service: Service, visibility: str):
    service.namespace("team", visibility)
    people: dict[str, Person] = {"anonymous": service.anybody, "admin": service.admin}
    people["stranger"] = service.person("stranger")
    people |= {role: service.person(role, team=role) for role in ROLES}
    for route in routes(service):
        if "{namespace}" not in route.path:
            continue
        right = needs(route)[0].right
        path = route.path.format(**PARTS)
        assert right is not None
        for method in route.methods:
            for who, person in people.items():
                status = person.ask(method, path, content=b"").status_code
                place = f"{who} {method} {path} ({visibility}): {status}"
                if who == "admin" or (who in ROLES and ROLES[who] >= right):
                    assert status not in (401, 403, 500), place
                elif who in ROLES or (right == Right.READ and _sees(who, visibility)):
                    assert (status == 403) == (who in ROLES or ("members" in path and who == "anonymous")), place
                elif _sees(who, visibility):
                    assert status == (401 if who == "anonymous" else 403), place
                else:
                    assert status == 404, place


def _sees(who: str, visibility: str) -> bool:
    return visibility == "public" or (visibility == "internal" and who != "anonymous")


def test_what_is_hidden_is_answered_as_what_is_not_there(service: Service):
    service.namespace("team")
    stranger = service.person("stranger")
    for route in routes(service):
        if "{namespace}" not in route.path:
            continue
        for method in route.methods:
            hidden = stranger.ask(method, route.path.format(**PARTS), content=b"")
            unknown = stranger.ask(method, route.path.format(**PARTS | {"namespace": "none"}), content=b"")
            assert hidden.status_code == unknown.status_code == 404, route.path
            if method != "HEAD":
                said = [each.json()["detail"] + each.json()["hint"] for each in (hidden, unknown)]
                assert said[0].replace("'team'", "'none'") == said[1]


@pytest.mark.parametrize("role", ROLES)
def test_a_token_narrows_its_owner_and_never_widens(service: Service, role: str):
    service.namespace("team")
    owner = service.person("olga", team=role)
    for scope in ("read", "write", "maintain", "own"):
        made = owner.post("/v1/tokens", json={"name": "narrow", "scope": scope}).json()["token"]
        narrow = Person(service.client, made)
        granted = min(ROLES[role], Right.parse(scope))
        assert narrow.get("/v1/team/vectors").status_code == 200
        wrote = narrow.put(f"/v1/team/blobs/{DIGEST}", content=b"x").status_code
        assert (wrote == 403) == (granted < Right.WRITE)
        yanked = narrow.post("/v1/team/vectors/love/versions/1/yank", json={}).status_code
        assert (yanked == 403) == (granted < Right.MAINTAIN)
        wider = narrow.post("/v1/tokens", json={"name": "wider", "scope": "own"}).status_code
        assert (wider == 403) == (scope != "own")
    assert owner.post("/v1/tokens", json={"name": "too wide", "scope": "admin"}).status_code == 403


def test_a_token_of_one_namespace_is_good_for_no_other(service: Service):
    service.namespace("team")
    service.namespace("other")
    owner = service.person("olga", team="owner", other="owner")
    made = owner.post("/v1/tokens", json={"name": "one", "scope": "own", "namespace": "team"}).json()["token"]
    narrow = Person(service.client, made)
    assert narrow.get("/v1/team/vectors").status_code == 200
    assert narrow.get("/v1/other/vectors").status_code == 404
    assert narrow.post("/v1/tokens", json={"name": "all", "scope": "read"}).status_code == 403
    seen = [each["name"] for each in narrow.get("/v1/namespaces").json()["namespaces"]]
    assert seen == ["team"]


def test_tokens_of_others_can_be_neither_seen_nor_revoked(service: Service):
    service.namespace("team")
    olga, otto = service.person("olga", team="owner"), service.person("otto", team="owner")
    (token,) = (each["id"] for each in olga.get("/v1/tokens").json()["tokens"])
    assert token not in str(otto.get("/v1/tokens").json())
    assert otto.ask("DELETE", f"/v1/tokens/{token}").status_code == 404
    assert otto.post("/v1/tokens", json={"name": "x", "user": "olga"}).status_code == 403
    assert olga.get("/v1/me").json()["user"] == "olga"
    assert olga.ask("DELETE", f"/v1/tokens/{token}").status_code == 204
    assert olga.get("/v1/me").status_code == 401


def test_rights_go_at_once_with_the_membership_the_user_and_the_token(service: Service):
    service.namespace("team")
    olga = service.person("olga", team="writer")
    assert olga.get("/v1/team/vectors").status_code == 200
    assert service.admin.ask("DELETE", "/v1/namespaces/team/members/olga").status_code == 204
    assert olga.get("/v1/team/vectors").status_code == 404
    service.admin.put("/v1/namespaces/team/members/olga", json={"role": "reader"})
    assert olga.get("/v1/team/vectors").status_code == 200
    service.admin.ask("PATCH", "/v1/users/olga", json={"disabled": True})
    assert olga.get("/v1/team/vectors").status_code == 401
    service.admin.ask("PATCH", "/v1/users/olga", json={"disabled": False})
    assert olga.get("/v1/team/vectors").status_code == 200


def test_the_last_owner_and_the_last_administrator_stay(service: Service):
    service.namespace("team")
    assert service.admin.ask("DELETE", "/v1/namespaces/team/members/admin").status_code == 409
    assert service.admin.ask("PATCH", "/v1/users/admin", json={"admin": False}).status_code == 409
    assert service.admin.ask("PATCH", "/v1/users/admin", json={"disabled": True}).status_code == 409
    assert service.admin.get("/v1/me").json()["admin"] is True


@pytest.mark.parametrize(
    "text", ["Bearer", "Bearer x", "Basic dXNlcg==", "stv_x", f"Bearer stv_{'0' * 12}_{'0' * 44}_0"]
)
def test_what_is_no_token_is_401_also_where_anybody_may_read(service: Service, text: str):
    service.namespace("team", "public")
    assert service.anybody.get("/v1/team/vectors").status_code == 200
    refused = service.anybody.get("/v1/team/vectors", headers={"Authorization": text})
    assert (refused.status_code, refused.json()["code"]) == (401, "not-authenticated")
    assert refused.headers["www-authenticate"].startswith("Bearer")


def test_the_namespace_of_the_service_itself_is_read_by_administrators_alone(service: Service):
    olga = service.person("olga")
    assert olga.get("/v1/system/events").status_code == 404
    actions = [event["action"] for event in service.admin.get("/v1/system/events").json()["events"]]
    assert sorted(set(actions)) == ["token.create", "user.create"]
    assert service.admin.put(f"/v1/system/blobs/{DIGEST}", content=b"x").status_code == 403
    assert service.admin.post("/v1/namespaces", json={"name": "system"}).status_code == 422


def test_lists_come_in_pages(service: Service):
    for name in ("ada", "bob", "cid"):
        service.namespace(f"of-{name}")
    service.namespace("team")
    people = [service.person(name, team="reader") for name in ("ada", "bob", "cid")]
    for name in ("one", "two", "three"):
        assert people[0].post("/v1/tokens", json={"name": name}).status_code == 201
    lists = {
        "/v1/namespaces": ("namespaces", "name", service.admin),
        "/v1/users": ("users", "name", service.admin),
        "/v1/tokens": ("tokens", "id", people[0]),
    }
    for path, (word, key, person) in lists.items():
        whole = person.get(path).json()
        assert len(whole[word]) >= 4, path
        assert whole["cursor"] is None
        found, after = [], ""
        while after is not None:
            page = person.get(path, params={"limit": 3} | ({"after": after} if after else {})).json()
            assert len(page[word]) <= 3
            found += page[word]
            after = page["cursor"]
        assert [each[key] for each in found] == [each[key] for each in whole[word]]
    first = people[0].get("/v1/namespaces/team/members?limit=2").json()
    assert first == {"members": {"ada": "reader", "admin": "owner"}, "cursor": "admin"}
    rest = people[0].get("/v1/namespaces/team/members", params={"limit": 2, "after": "admin"}).json()
    assert rest == {"members": {"bob": "reader", "cid": "reader"}, "cursor": None}
