"""Push and pull: what goes to a team's service and comes from it is the same to the byte, and goes once."""

from __future__ import annotations

import pytest

from tests.client.made import saved
from vectorstore.accounts import review
from vectorstore.client.library import Library
from vectorstore.client.pull import pull
from vectorstore.client.push import Target, push
from vectorstore.client.sync import sync
from vectorstore.compose import compose, pin
from vectorstore.errors import ConflictError, InvalidInputError, NotAllowedError, NotFoundError
from vectorstore.store import Store
from vectorstore.store.names import namespace_id
from vectorstore.store.upkeep.fsck import check

TEAM = Target("acme", "team")


def test_a_version_comes_back_as_it_went(library: Library, mine: Store, store: Store):
    about = {"labels": {"topic": "love"}, "authors": ["Ann"], "license": "MIT", "presets": {"mild": "0.1r"}}
    sent = saved(mine, description="What it is.", **about)
    pushed = push(mine, library, ["love"], TEAM)
    assert pushed.new == {"love@1": "team/love@1"}
    assert store.resolve("team/love").digest == sent.digest
    assert store.resolve("team/love").labels == {"topic": "love"}
    assert store.read("team/love")[0] == mine.read("love")[0]
    assert check(store, full=True).ok
    pulled = pull(library, mine, [library.resolve("team/love")])
    assert pulled.new == ["team/love@1"]
    assert pulled.versions[0].digest == sent.digest
    assert check(mine, full=True).ok


def test_what_is_there_is_not_sent_again(library: Library, mine: Store):
    saved(mine)
    size = sum(blob.size for blob in mine.resolve("love").blobs)
    assert push(mine, library, ["love"], TEAM).sent == size
    again = push(mine, library, ["love"], TEAM)
    assert (again.sent, again.new, again.present) == (0, {}, {"love@1": "team/love@1"})
    renamed = push(mine, library, ["love"], Target("acme", "team", "amour"))
    assert (renamed.sent, renamed.new) == (0, {"love@1": "team/amour@1"})


def test_a_recipe_takes_along_what_it_pins(library: Library, mine: Store, store: Store):
    saved(mine)
    parent = saved(mine, "parent", 1)
    saved(mine, "calm", 2, parents=[parent.digest])
    mine.save_recipe("mood", pin(mine, "2*love + calm"))
    mine.save_recipe("moods", pin(mine, "mood - 0.5*calm"))
    pushed = push(mine, library, ["moods"], TEAM)
    assert set(pushed.new.values()) == {f"team/{name}@1" for name in ("love", "parent", "calm", "mood", "moods")}
    assert compose(store, "team/moods").places == compose(mine, "moods").places
    with_needs = pull(library, mine, [library.resolve("team/moods")])
    assert set(with_needs.new) == set(pushed.new.values())
    assert compose(mine, "team/moods").places == compose(mine, "moods").places
    elsewhere = pull(library, mine, [library.resolve("team/moods")], name="own/feelings")
    assert "own/feelings@1" in elsewhere.new
    assert compose(mine, "own/feelings").places == compose(mine, "moods").places


def test_what_is_only_needed_becomes_the_newest_of_no_name_that_somebody_else_uses(
    library: Library, mine: Store, store: Store
):
    saved(store, "team/base")
    store.save_recipe("team/mix", pin(store, "2*team/base"))
    pull(library, mine, [library.resolve("team/mix")])
    saved(store, "team/base", 1)
    store.save_recipe("team/mix", pin(store, "3*team/base"))
    assert "team/base@2" in pull(library, mine, [library.resolve("team/mix")]).new  # a name of the remote's alone
    own = saved(mine, "team/base", 2)
    for seed in (3, 4):
        saved(store, "team/base", seed)
    store.save_recipe("team/mix", pin(store, "4*team/base"))
    with pytest.raises(ConflictError, match=r"nothing came in: team/base@4 would become the newest"):
        pull(library, mine, [library.resolve("team/mix")])
    assert mine.resolve("team/base").digest == own.digest
    assert pull(library, mine, [library.resolve("team/mix")], name="theirs/mix").versions[0].number == 1
    assert mine.resolve("team/base").digest == own.digest
    pull(library, mine, [library.resolve("team/base")])
    assert pull(library, mine, [library.resolve("team/mix")]).new == ["team/mix@3"]


def test_numbers_are_kept_and_a_taken_one_is_a_conflict_that_says_as(library: Library, mine: Store):
    saved(mine)
    push(mine, library, ["love"], TEAM)
    saved(mine, "team/love", 7)
    with pytest.raises(ConflictError, match=r"team/love@1 is sha256.* here, and sha256.* there; .*--as NAME"):
        pull(library, mine, [library.resolve("team/love")])
    assert pull(library, mine, [library.resolve("team/love")], name="amour").new == ["amour@1"]


def test_what_is_said_of_it_now_goes_along_and_what_they_said_stays(library: Library, mine: Store, store: Store):
    saved(mine, labels={"topic": "love", "by": "ann"})
    mine.set_label("love", "topic", "weddings")
    mine.set_preset("love", "strong", 2)
    push(mine, library, ["love"], TEAM)
    there = store.resolve("team/love")
    assert there.labels == {"topic": "weddings", "by": "ann"}
    assert there.presets == mine.resolve("love").presets
    store.set_label("team/love", "by", "bob")
    store.yank("team/love@1", "it is wrong")
    store.deprecate("team/love@1", "use calm")
    mine.set_label("love", "by", "eve")
    push(mine, library, ["love"], TEAM)
    assert store.resolve("team/love@1").labels == {"topic": "weddings", "by": "bob"}
    (pulled,) = pull(library, mine, [library.resolve("team/love@1")]).versions
    assert pulled.labels == {"topic": "weddings", "by": "bob"}
    assert (pulled.yanked, pulled.yank_reason, pulled.deprecation) == (True, "it is wrong", "use calm")


def test_aliases_move_there_when_asked_and_are_set_here_when_asked(library: Library, mine: Store, store: Store):
    saved(mine)
    push(mine, library, ["love"], TEAM, aliases=["prod"])
    saved(mine, seed=1)
    assert push(mine, library, ["love"], TEAM, aliases=["prod"]).aliases == ["team/love@prod"]
    assert store.resolve("team/love@prod").number == 2
    assert pull(library, mine, [library.resolve("team/love@prod")]).aliases == []
    with pytest.raises(NotFoundError):
        mine.resolve("team/love@prod")
    assert pull(library, mine, [library.resolve("team/love@prod")], aliases=["prod"]).aliases == ["team/love@prod"]
    assert mine.resolve("team/love@prod").number == 2
    kept = pull(library, mine, [library.resolve("team/love@1")], aliases=["prod"])
    assert (kept.kept, mine.resolve("team/love@prod").number) == (["team/love@prod"], 2)


def test_a_protected_alias_waits_for_approval(library: Library, mine: Store, store: Store):
    saved(mine)
    push(mine, library, ["love"], TEAM, aliases=["prod"])
    with store.database.read() as session:
        team = namespace_id(session, "team")
    review.protect(store, team, "prod", needs_approval=True)
    saved(mine, seed=1)
    pushed = push(mine, library, ["love"], TEAM, aliases=["prod"])
    assert (pushed.aliases, pushed.proposed) == ([], {"team/love@prod": 1})
    assert store.resolve("team/love@prod").number == 1
    review.protect(store, team, "prod")
    assert sync(library, mine, "team").conflicts == []
    assert mine.resolve("team/love@prod").number == 1


def test_rights_and_hidden_namespaces_are_the_errors_they_are_here(library: Library, mine: Store):
    saved(mine)
    with pytest.raises(NotAllowedError, match="acme says"):
        push(mine, library, ["love"], Target("acme", "other"))
    with pytest.raises(NotFoundError):
        push(mine, library, ["love"], Target("acme", "nowhere"))
    with pytest.raises(NotFoundError):
        library.resolve("team/love")


def test_a_name_for_two_versions_is_refused(library: Library, mine: Store):
    saved(mine)
    saved(mine, "calm", 1)
    with pytest.raises(InvalidInputError, match="2 versions would all be x"):
        push(mine, library, ["love", "calm"], Target("acme", "team", "x"))


@pytest.mark.parametrize("text", ["", "acme//", "acme//team", "//team/love", "acme//team/love/x", "a b", "acme//../x"])
def test_what_is_no_target_is_refused(text: str):
    with pytest.raises(InvalidInputError):
        Target.parse(text)


def test_targets_are_a_remote_a_namespace_or_a_name():
    assert Target.parse("acme") == Target("acme")
    assert Target.parse("acme//team/") == Target("acme", "team")
    assert Target.parse("acme//team/love") == Target("acme", "team", "love")
