"""Sharing, from the command line: remotes, tokens, push, pull, references to remotes, sync and lock files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.steering import Steer
from tests.client.made import saved
from tests.client.server import Server
from tests.object_server import free_port
from vectorstore.store import Store


def test_remotes_are_added_listed_and_removed(steer: Steer, server: Server, token: str):
    assert steer("remote", "list").err == "note: there are no remotes; type: steer remote add NAME URL\n"
    assert steer("remote", "add", "acme", server.url).out == f"acme is {server.url}; next: steer login acme\n"
    done = steer("login", "acme", "--token-stdin", stdin=token)
    assert (done.code, done.out) == (0, "ann at acme\n")
    assert "yes" in steer("remote", "list").out
    assert token not in steer("remote", "list", "--json").out
    assert steer.ok("logout", "acme") == {"remote": "acme", "forgotten": True}
    assert not steer.ok("remote", "list")["remotes"][0]["signed_in"]
    assert steer("remote", "remove", "acme").code == 0
    assert "there is no remote 'acme'" in steer.fails(3, "login", "acme")


def test_a_wrong_token_is_neither_kept_nor_shown(steer: Steer, server: Server, home: Path):
    steer("remote", "add", "acme", server.url)
    done = steer("login", "acme", "--token-stdin", stdin="stv_wrong_token_123")
    assert done.code == 4
    assert "stv_wrong" not in done.err + done.out
    assert not (home / "credentials.toml").exists()
    assert "--token-stdin" in steer.fails(2, "login", "acme")
    assert "unencrypted" in steer.fails(2, "remote", "add", "plain", "http://vectors.acme.com")


def test_who_sees_no_namespace_is_told_to_sign_in_rather_than_of_a_route(steer: Steer, server: Server):
    steer("remote", "add", "acme", server.url)
    said = steer.fails(3, "pull", "acme//team/love")
    assert "there is no namespace 'team'; ask one of its owners" in said
    assert "steer login acme" in said
    assert "GET /v1" not in said


def test_versions_go_and_come(signed_in: Steer, server: Server):
    done = signed_in("push", "love", "acme//team/weddings", "--alias", "prod")
    lines = done.out.splitlines()
    assert (done.code, lines[:2]) == (0, ["love@1 went to team/weddings@1", "@prod is team/weddings there"])
    assert server.store.resolve("team/weddings@prod").number == 1
    assert signed_in.ok("push", "love", "acme//team/weddings")["sent"] == 0
    done = signed_in("pull", "acme//team/weddings@prod", "--as", "amour", "--alias", "best")
    assert (done.code, done.out) == (0, "amour@1 came in\namour@best was set\n")
    assert signed_in("pull", "acme//team/weddings@prod", "--as", "amour").out == "amour@1 is here\n"
    assert signed_in.ok("show", "amour@best")["digest"] == signed_in.ok("show", "love")["digest"]


def test_failures_have_the_exit_codes_that_they_have_here(signed_in: Steer, server: Server):
    signed_in("push", "love", "acme//team/")
    saved(server.store, "team/love", 5)
    assert "'love' has no" not in signed_in.fails(3, "pull", "acme//team/nothing")
    assert "there is no remote" in signed_in.fails(3, "pull", "acne//team/love")
    assert "write REMOTE//love" in signed_in.fails(2, "pull", "love")
    assert "has no namespace" in signed_in.fails(2, "push", "love", "acme//team")
    assert signed_in.fails(2, "pull")
    assert signed_in.fails(2, "pull", "--locked", "x", "acme//team/love")
    assert signed_in.fails(3, "push", "love", "acme//nowhere/")
    with Store.open() as store:
        saved(store, "team/love", 77)
    error = signed_in.fails(5, "pull", "acme//team/love@1")
    assert "team/love@1 is sha256:" in error
    assert "--as NAME" in error
    signed_in("remote", "add", "gone", f"http://127.0.0.1:{free_port()}")
    assert "gone (http://127.0.0.1" in signed_in.fails(7, "pull", "gone//team/love")


def test_expressions_name_versions_of_a_remote(signed_in: Steer, server: Server):
    saved(server.store, "team/joy", 3, presets={"strong": 3})
    server.store.set_alias("team/joy@1", "prod")
    document = signed_in.ok("compose", "2*acme//team/joy@prod + calm", "--save", "mix")
    assert [each["version"] for term in document["terms"] for each in term["versions"]] == [
        "team/joy@1",
        "default/calm@1",
    ]
    server.stop()
    done = signed_in("compose", "2*acme//team/joy@prod + calm")
    assert done.code == 0
    assert "note: acme (" in done.err
    assert "acme//team/joy@prod is team/joy@1, as it was moments ago" in done.err
    assert signed_in("compose", "mix").err == ""
    assert signed_in.fails(7, "compose", "acme//team/other")


def test_a_namespace_is_followed_and_conflicts_are_exit_5(signed_in: Steer, server: Server):
    saved(server.store, "team/joy", 3)
    server.store.set_alias("team/joy@1", "prod")
    done = signed_in("sync", "acme//team")
    assert (done.code, done.out) == (0, "team/joy@1 came in\nteam/joy@prod was moved\n")
    assert signed_in("sync", "acme//team").out == "nothing is new\n"
    saved(server.store, "team/joy", 4)
    server.store.set_alias("team/joy@2", "prod")
    signed_in("alias", "remove", "team/joy", "prod")
    done = signed_in("sync", "acme//team")
    assert done.code == 5
    assert "conflict: team/joy@prod is nothing here, and team/joy@2 (sha256:" in done.out
    assert signed_in("sync", "acme//team", "--theirs").code == 0
    assert signed_in.ok("show", "team/joy@prod")["number"] == 2
    assert "has no namespace" in signed_in.fails(2, "sync", "acme")


def test_a_lock_file_carries_an_expression_to_another_machine(
    signed_in: Steer, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    saved(server.store, "team/joy", 3, presets={"strong": 3})
    path = str(tmp_path / "steer.lock")
    done = signed_in("lock", "mood=acme//team/joy:strong + calm", "--to", path)
    assert (done.code, done.out) == (0, f"{path} pins 2 versions\n")
    assert "note: default/calm@1 is on no remote" in done.err
    assert signed_in("lock", "--check", "--to", path).out == f"{path} is complete: 2 versions\n"
    signed_in("push", "calm", "acme//team/")
    assert signed_in("lock", "mood=acme//team/joy:strong + calm", "--to", path).err == ""
    monkeypatch.setenv("STEER_DATABASE_URL", f"sqlite:///{tmp_path}/other.db")
    assert signed_in("init").code == 0
    done = signed_in("lock", "--check", "--to", path)
    assert (done.code, done.out) == (3, "default/calm@1 is not here\nteam/joy@1 is not here\n")
    assert signed_in("pull", "--locked", path).out == "team/calm@1 came in\nteam/joy@1 came in\n"
    server.stop()
    assert signed_in("lock", "--check", "--to", path).code == 0
    assert signed_in.fails(2, "lock")
    assert signed_in.fails(2, "lock", "a=calm", "a=calm")
    assert signed_in.fails(3, "lock", "--check", "--to", str(tmp_path / "nothing"))


def test_a_model_is_steered_by_what_a_remote_has(
    signed_in: Steer, server: Server, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    texts = ("--positive", "love", "--negative", "hate", "--method", "actadd")
    signed_in("compute", "steered", "--model", tiny, "--layer", "1", *texts)
    signed_in("push", "steered", "acme//team/love", "--alias", "prod")
    asked = ("generate", "I went up to", "--model", tiny, "--max-new-tokens", "4", "--steer")
    before = signed_in.ok(*asked, "2*steered")["steered"]
    monkeypatch.setenv("STEER_DATABASE_URL", f"sqlite:///{tmp_path}/other.db")
    assert signed_in("init").code == 0
    came = signed_in.ok(*asked, "2*acme//team/love@prod")
    assert came["steered"] == before
    assert came["versions"][0]["version"] == "team/love@1"
    server.stop()
    offline = signed_in(*asked, "2*acme//team/love@prod", "--json")
    assert offline.json["steered"] == before
    assert offline.err.count("as it was moments ago") == 1
