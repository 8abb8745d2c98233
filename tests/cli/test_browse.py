"""What a remote has, from the command line: listed and shown without taking any of it."""

from __future__ import annotations

import pytest

from tests.cli.steering import Steer
from tests.client.made import saved
from tests.client.server import Server
from vectorstore.store import Store


@pytest.fixture
def shared(signed_in: Steer) -> Steer:
    """Push a vector with two versions, another one, and a recipe of both."""
    with Store.open() as store:
        saved(store, "hate", seed=5, labels={"topic": "anger"})
        saved(store, "love", seed=6)
    signed_in.ok("compose", "love - hate", "--save", "mood")
    signed_in.ok("push", "love@1", "love@2", "hate", "mood", "acme//team/")
    signed_in.ok("push", "love@1", "acme//team/", "--alias", "prod")
    return signed_in


def test_a_remote_is_listed_as_the_library_is(shared: Steer):
    found = shared.ok("list", "acme//team")
    assert found["remote"] == "acme"
    assert sorted(each["reference"] for each in found["versions"]) == ["team/hate@1", "team/love@2", "team/mood@1"]
    here = {each["name"]: each for each in shared.ok("list")["versions"]}
    for there in found["versions"]:
        assert there["directions"] == here[there["name"]]["directions"]
        assert there["labels"] == here[there["name"]]["labels"]
    lines = shared("list", "acme//team/", "--sort", "name").out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["acme//team/hate@1", "acme//team/love@2", "acme//team/mood@1"]


def test_a_remote_is_searched_and_comes_in_pages(shared: Steer):
    assert names(shared.ok("list", "acme//team", "--label", "topic=anger")) == ["hate"]
    assert names(shared.ok("list", "acme//team", "--kind", "recipe")) == ["mood"]
    assert names(shared.ok("list", "acme//team", "--text", "lov*", "--sort", "name")) == ["love"]
    assert shared("list", "acme//team", "--text", "nothing").err.startswith("note: nothing matches")
    first = shared.ok("list", "acme//team", "--sort", "name", "--limit", "2")
    assert names(first) == ["hate", "love"]
    assert names(shared.ok("list", "acme//team", "--sort", "name", "--after", first["cursor"])) == ["mood"]


def test_the_namespaces_of_a_remote_are_listed(shared: Steer, server: Server):
    server.namespace("commons", "public")
    server.namespace("theirs")
    found = shared.ok("list", "acme//")
    assert found["namespaces"] == [
        {"name": "commons", "visibility": "public"},
        {"name": "team", "visibility": "private"},
    ]
    assert "acme//commons" in shared("list", "acme//").out
    assert names(shared.ok("list", "acme//commons")) == []
    assert "name one: acme//NAMESPACE" in shared.fails(2, "list", "acme//", "--kind", "recipe")
    assert "there is no namespace 'theirs'" in shared.fails(3, "list", "acme//theirs")


def test_what_somebody_who_did_not_sign_in_sees(steer: Steer, server: Server):
    steer("remote", "add", "acme", server.url)
    assert steer("list", "acme//").err == ("note: acme has no namespace that you may see; sign in: steer login acme\n")


def test_a_version_of_a_remote_is_shown_without_coming_here(shared: Steer, server: Server):
    there = server.store.resolve("team/love@prod")
    server.store.deprecate("team/love@1", "use love@2")
    shown = shared.ok("show", "acme//team/love@prod")
    assert (shown["remote"], shown["number"], shown["digest"]) == ("acme", 1, there.digest)
    text = shared("show", "acme//team/love@prod").out
    for said in ("acme//team/love@1", "use love@2", "@prod", "resid_pre", "acme//team/love:strong"):
        assert said in text
    assert "steer pull acme//team/love@1" in shared("show", "acme//team/love@prod").err
    assert "team" not in {each["namespace"] for each in shared.ok("list")["versions"]}
    said = shared.fails(3, "show", "acme//team/none")
    assert said == "error: acme says: there is no 'team/none'; see `steer list acme//` for what there is\n"


def test_the_history_of_a_name_of_a_remote(shared: Steer):
    found = shared.ok("history", "acme//team/love")
    assert [each["reference"] for each in found["versions"]] == ["team/love@2", "team/love@1"]
    assert names(shared.ok("history", "acme//team/mood")) == ["mood"]
    assert "team/none" in shared.fails(3, "history", "acme//team/none")
    assert "give its name alone: acme//team/love" in shared.fails(2, "history", "acme//team/love@2")


def names(found: dict) -> list[str]:
    return [each["name"] for each in found["versions"]]
