"""Review from the command line: protected aliases of a remote, proposals to move them, and webhooks."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.steering import Steer
from tests.client.made import saved
from tests.client.server import Server
from vectorstore.store import Store

As = Callable[[str], None]


@pytest.fixture
def team(server: Server, token: str, monkeypatch: pytest.MonkeyPatch) -> As:
    """Make a team, and the function that lets one of it use the program from then on."""
    tokens = {
        "ann": token,  # a maintainer
        "bob": server.person("bob", team="writer"),
        "rita": server.person("rita", team="reader"),
        "olga": server.person("olga", team="owner"),
    }
    return lambda name: monkeypatch.setenv("STEER_TOKEN_ACME", tokens[name])


def test_an_alias_is_protected_listed_and_free_again(signed_in: Steer, team: As):
    listed = ("protection", "list", "acme//team")
    assert signed_in(*listed).err == "note: no alias is protected; type: steer protection set acme//team ALIAS\n"
    done = signed_in("protection", "set", "acme//team", "prod")
    assert done.out == "@prod is protected in acme//team: only maintainers move it\n"
    assert signed_in.ok(*listed)["protections"] == [{"alias": "prod", "needs_approval": False}]
    team("bob")
    said = signed_in.fails(4, "push", "love", "acme//team/", "--alias", "prod")
    assert said == "error: acme says: the alias 'prod' is protected; ask a maintainer to move it\n"
    signed_in.fails(4, "protection", "set", "acme//team", "prod", "--needs-approval")
    signed_in.fails(4, "protection", "remove", "acme//team", "prod")
    team("ann")
    done = signed_in("protection", "remove", "acme//team", "prod")
    assert done.out == "@prod is no longer protected in acme//team\n"
    said = signed_in.fails(3, "protection", "remove", "acme//team", "prod")
    assert said == "error: acme says: the alias 'prod' is not protected; type: steer protection list acme//team\n"
    team("bob")
    assert signed_in("push", "love", "acme//team/", "--alias", "prod").code == 0


def test_a_push_proposes_the_move_that_somebody_else_approves(signed_in: Steer, team: As, server: Server):
    protected = signed_in.ok("protection", "set", "acme//team", "prod", "--needs-approval")
    assert protected == {"where": "acme//team", "alias": "prod", "needs_approval": True}
    pushed = ("push", "love", "acme//team/", "--alias", "prod")
    team("bob")
    note = (
        "note: team/love@prod is protected: proposal 1 asks for it, and somebody else approves: "
        "steer proposal approve acme//team 1\n"
    )
    assert signed_in(*pushed).err == note
    assert signed_in(*pushed).err == note  # the same wish twice is one
    assert signed_in.ok(*pushed)["proposed"] == {"team/love@prod": 1}
    assert "nobody approves their own" not in signed_in.fails(4, "proposal", "approve", "acme//team", "1")  # no right
    team("ann")
    shown = signed_in("proposal", "show", "acme//team", "1")
    facts = {line.split(maxsplit=1)[0]: line for line in shown.out.splitlines() if line}
    assert "not there" in facts["is"]
    assert "version 1" in facts["would"]
    assert "by bob" in facts["proposed"]
    assert shown.err == "note: type: steer proposal approve acme//team 1, or reject\n"
    assert server.store.history("team/love").versions[0].aliases == ()
    approved = signed_in("proposal", "approve", "acme//team", "1")
    assert approved.out == "proposal 1 is approved\nacme//team/love@prod is version 1 now\n"
    assert server.store.resolve("team/love@prod").number == 1
    said = signed_in.fails(5, "proposal", "reject", "acme//team", "1")
    assert said == "error: acme says: the proposal 1 is approved already; make another one\n"


def test_another_wish_for_the_same_alias_says_which_is_in_the_way(signed_in: Steer, team: As):
    signed_in.ok("protection", "set", "acme//team", "prod", "--needs-approval")
    signed_in("push", "love", "acme//team/", "--alias", "prod")
    with Store.open() as store:
        saved(store, "love", 7)
    team("bob")
    said = signed_in.fails(5, "push", "love", "acme//team/", "--alias", "prod")
    assert said == (
        "error: the proposal 1 of ann to move love@prod to version 1 is in the way; "
        "have it decided, or withdraw it: steer proposal withdraw acme//team 1\n"
    )
    signed_in.fails(4, "proposal", "withdraw", "acme//team", "1")  # it is ann's
    team("ann")
    assert "nobody approves their own" in signed_in.fails(4, "proposal", "approve", "acme//team", "1")
    assert signed_in("proposal", "withdraw", "acme//team", "1").out == "proposal 1 is withdrawn\n"
    team("bob")
    assert "proposal 2 asks for it" in signed_in("push", "love", "acme//team/", "--alias", "prod").err
    team("olga")
    assert signed_in("proposal", "reject", "acme//team", "2").out == "proposal 2 is rejected\n"


def test_proposals_are_listed_by_state(signed_in: Steer, team: As):
    listed = ("proposal", "list", "acme//team")
    assert signed_in(*listed).err == "note: there are no open proposals\n"
    signed_in.ok("protection", "set", "acme//team", "prod", "--needs-approval")
    signed_in("push", "love", "calm", "acme//team/", "--alias", "prod")
    assert [each["id"] for each in signed_in.ok(*listed)["proposals"]] == [2, 1]
    signed_in.ok("proposal", "withdraw", "acme//team", "2")
    team("rita")
    rows = [line.split() for line in signed_in(*listed).out.splitlines()[2:]]
    assert [row[:4] for row in rows] == [["1", "calm@prod", "1", "ann"]]
    states = [each["state"] for each in signed_in.ok(*listed, "--state", "all")["proposals"]]
    assert states == ["withdrawn", "open"]
    said = signed_in.fails(3, "proposal", "show", "acme//team", "9")
    assert said == "error: acme says: there is no proposal 9; type: steer proposal list acme//team\n"


def test_webhooks_are_added_listed_and_removed_and_show_their_secret_once(signed_in: Steer, team: As):
    listed = ("webhook", "list", "acme//team")
    assert "steer webhook add acme//team URL" in signed_in(*listed).err
    added = signed_in("webhook", "add", "acme//team", "https://ci.example/hook", "--action", "alias.set")
    secret = added.out.strip()
    assert secret.startswith("whsec_")
    assert added.err == "note: it is webhook 1; keep the secret now: it is not shown again\n"
    other = signed_in.ok("webhook", "add", "acme//team", "https://ci.example/all")
    assert other["secret"].startswith("whsec_")
    assert other["secret"] != secret
    shown = signed_in(*listed)
    rows = [line.split() for line in shown.out.splitlines()[2:]]
    assert [row[:4] for row in rows] == [
        ["1", "https://ci.example/hook", "alias.set", "on"],
        ["2", "https://ci.example/all", "all", "on"],
    ]
    assert "whsec_" not in shown.out + str(signed_in.ok(*listed))
    assert signed_in("webhook", "enable", "acme//team", "1").out == "webhook 1 is on\n"
    assert signed_in("webhook", "remove", "acme//team", "1").out == "webhook 1 is removed\n"
    assert [each["id"] for each in signed_in.ok(*listed)["webhooks"]] == [2]
    said = signed_in.fails(3, "webhook", "enable", "acme//team", "1")
    assert said == "error: acme says: there is no webhook 1; type: steer webhook list acme//team\n"
    team("bob")
    signed_in.fails(4, *listed)


def test_an_action_that_never_happens_is_refused_with_the_near_one(signed_in: Steer):
    said = signed_in.fails(2, "webhook", "add", "acme//team", "https://ci.example/hook", "--action", "version.saved")
    assert said.startswith("error: acme says: there is no action 'version.saved'; did you mean version.save")
    assert signed_in.ok("webhook", "list", "acme//team")["webhooks"] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("protection", "list", "team"), "'team' is of no remote; write REMOTE//team"),
        (("proposal", "list", "acme//"), "'acme//' has no namespace; write acme//NAMESPACE"),
        (("webhook", "list", "acme//team/love@prod"), "is more than a namespace; write acme//team"),
        (("proposal", "show", "acme//team", "0"), "0 is not in the range x>=1"),
        (("protection", "set", "acme//team", "a b"), "'a b' is not an alias"),
    ],
)
def test_what_is_no_namespace_of_a_remote_is_refused(signed_in: Steer, words: tuple[str, ...], said: str):
    assert said in signed_in.fails(2, *words)


def test_the_page_about_the_service_is_followed_line_by_line(signed_in: Steer, team: As, server: Server):
    page = (Path(__file__).parent.parent.parent / "docs" / "service.md").read_text()
    with Store.open() as store:
        saved(store, "weddings", 3)
    lines = re.findall(r"^(steer (?:protection|push|proposal|webhook) .*acme//.*)$", page, re.MULTILINE)
    assert len(lines) == 8
    for line in lines:
        team("bob" if "as bob" in line else "ann")
        done = signed_in(*shlex.split(line, comments=True)[1:])
        assert done.code == 0, (line, done.err)
    assert server.store.resolve("team/weddings@prod").number == 1
