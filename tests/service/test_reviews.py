"""Protected aliases, and moves that somebody else approves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.service.conftest import Person, Service, made_elsewhere, push

ALIAS = "/v1/team/vectors/love/aliases/prod"


@pytest.fixture
def team(service: Service, tmp_path: Path) -> dict[str, Person]:
    """Make a team with two versions of `love`."""
    service.namespace("team")
    roles = {"rita": "reader", "wendy": "writer", "max": "maintainer", "mia": "maintainer"}
    people = {name: service.person(name, team=role) for name, role in roles.items()}
    for seed in (0, 1):
        push(people["wendy"], made_elsewhere(tmp_path, seed=seed), "team/vectors/love")
    return people


def protect(team: dict[str, Person], *, needs_approval: bool = False) -> None:
    body = {"needs_approval": needs_approval}
    assert team["max"].put("/v1/team/protections/prod", json=body).status_code == 200


def test_only_maintainers_move_or_remove_a_protected_alias(team: dict[str, Person]):
    protect(team)
    refused = team["wendy"].put(ALIAS, json={"version": "1"})
    assert (refused.status_code, refused.json()["detail"]) == (403, "the alias 'prod' is protected")
    assert team["wendy"].put("/v1/team/vectors/love/aliases/test", json={"version": "1"}).status_code == 200
    assert team["max"].put(ALIAS, json={"version": "1"}).status_code == 200
    assert team["wendy"].ask("DELETE", ALIAS).status_code == 403
    assert team["max"].ask("DELETE", ALIAS).status_code == 204
    assert team["wendy"].ask("DELETE", "/v1/team/protections/prod").status_code == 403
    assert team["mia"].ask("DELETE", "/v1/team/protections/prod").status_code == 204
    assert team["wendy"].put(ALIAS, json={"version": "2"}).status_code == 200


def test_a_move_waits_until_another_maintainer_approves_it(team: dict[str, Person]):
    protect(team, needs_approval=True)
    proposed = team["max"].put(ALIAS, json={"version": "2", "reason": "better"})
    assert (proposed.status_code, proposed.json()["state"]) == (202, "open")
    assert team["rita"].get(ALIAS).status_code == 404
    path = f"/v1/team/proposals/{proposed.json()['id']}"
    for who, status in (("max", 403), ("wendy", 403), ("rita", 403)):
        assert team[who].post(f"{path}/approve").status_code == status
    approved = team["mia"].post(f"{path}/approve").json()
    assert (approved["state"], approved["proposed_by"], approved["decided_by"]) == ("approved", "max", "mia")
    assert team["rita"].get(ALIAS).json()["number"] == 2
    assert team["mia"].post(f"{path}/approve").status_code == 409
    actions = [event["action"] for event in team["rita"].get("/v1/team/events").json()["events"]][-3:]
    assert actions == ["alias.propose", "alias.approve", "alias.set"]


def test_what_is_rejected_or_withdrawn_moves_nothing(team: dict[str, Person]):
    protect(team, needs_approval=True)
    first = team["wendy"].put(ALIAS, json={"version": "1"}).json()
    twice = team["wendy"].put(ALIAS, json={"version": "2"})
    assert (twice.status_code, twice.json()["code"]) == (409, "conflict")
    assert team["max"].post(f"/v1/team/proposals/{first['id']}/withdraw").status_code == 403
    assert team["max"].post(f"/v1/team/proposals/{first['id']}/reject").json()["state"] == "rejected"
    second = team["wendy"].put(ALIAS, json={"version": "2"}).json()
    assert team["wendy"].post(f"/v1/team/proposals/{second['id']}/withdraw").json()["state"] == "withdrawn"
    assert team["rita"].get(ALIAS).status_code == 404
    assert team["rita"].get("/v1/team/proposals").json()["proposals"] == []
    assert len(team["rita"].get("/v1/team/proposals?state=all").json()["proposals"]) == 2


def test_taking_a_protected_alias_away_is_approved_too(team: dict[str, Person]):
    team["max"].put(ALIAS, json={"version": "1"})
    protect(team, needs_approval=True)
    proposed = team["max"].ask("DELETE", ALIAS)
    assert (proposed.status_code, proposed.json()["number"]) == (202, None)
    assert team["mia"].post(f"/v1/team/proposals/{proposed.json()['id']}/approve").status_code == 200
    assert team["rita"].get(ALIAS).status_code == 404


def test_proposals_of_another_namespace_are_not_there(service: Service, team: dict[str, Person]):
    protect(team, needs_approval=True)
    proposed = team["wendy"].put(ALIAS, json={"version": "1"}).json()
    service.namespace("other")
    stranger = service.person("otto", other="maintainer")
    assert stranger.post(f"/v1/other/proposals/{proposed['id']}/approve").status_code == 404
    assert stranger.post(f"/v1/team/proposals/{proposed['id']}/approve").status_code == 404


def test_approval_is_not_gone_round(team: dict[str, Person], service: Service):
    team["max"].put(ALIAS, json={"version": "1"})
    protect(team, needs_approval=True)
    path = "/v1/team/vectors/love/versions/1"
    assert team["max"].ask("DELETE", path).status_code == 409
    assert team["wendy"].ask("PATCH", path, json={"presets": {"strong": 9}}).status_code == 409
    assert team["wendy"].ask("PATCH", path, json={"labels": {"tone": "warm"}}).status_code == 200
    weaker = team["max"].put("/v1/team/protections/prod", json={"needs_approval": False})
    assert (weaker.status_code, team["max"].ask("DELETE", "/v1/team/protections/prod").status_code) == (403, 403)
    assert service.admin.put("/v1/team/protections/prod", json={"needs_approval": False}).status_code == 200


def test_one_proposal_is_shown_to_readers(team: dict[str, Person]):
    protect(team, needs_approval=True)
    proposed = team["wendy"].put(ALIAS, json={"version": "1", "reason": "better"}).json()
    assert team["rita"].get(f"/v1/team/proposals/{proposed['id']}").json() == proposed
    missing = team["rita"].get("/v1/team/proposals/99")
    assert (missing.status_code, missing.json()["detail"]) == (404, "there is no proposal 99")
