"""References to other stores: what they name comes in, is the same ever after, and works without a connection."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.builders import make_card, make_identity, make_vector
from tests.client.made import saved
from tests.client.server import Server
from vectorstore.client import remotes as module
from vectorstore.client.library import Library
from vectorstore.client.pull import pull
from vectorstore.client.remote import Remote, add_remote, remove_remote
from vectorstore.client.remotes import Remotes, RemoteWarning
from vectorstore.compose import compose, pin
from vectorstore.errors import ConflictError, ExpressionError, InvalidInputError, NotFoundError, UnavailableError
from vectorstore.settings import Settings
from vectorstore.store import Store


@pytest.fixture
def own(mine: Store, remote: Remote, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:  # noqa: ARG001 - after it
    """Open one's own library, with the remotes joined to it."""
    monkeypatch.setattr(module, "FRESH", -1)
    saved(mine, "calm", 9)
    with Store.open(remotes=Remotes()) as opened:
        yield opened


@pytest.fixture
def team(store: Store, server: Server) -> Store:  # noqa: ARG001 - after it
    saved(store, "team/love", presets={"strong": 2})
    saved(store, "team/love", 1)
    store.set_alias("team/love@1", "prod")
    return store


def test_an_expression_names_versions_of_a_remote(team: Store, own: Store):
    plan = compose(own, "2*acme//team/love@prod + calm")
    assert [each.label for each in plan.ingredients] == ["team/love@1", "default/calm@1"]
    assert own.resolve("team/love@1").digest == team.resolve("team/love@prod").digest
    assert plan.places == compose(own, "2*team/love@1 + calm").places
    assert compose(own, "acme//team/love@prod[2]:strong").places == compose(own, "team/love@1[2]:strong").places
    assert own.resolve("acme//team/love").number == 2


@pytest.mark.usefixtures("team")
class TestHere:
    @pytest.fixture
    def backend(self) -> str:
        """Say that the database is SQLite: it makes no difference here."""
        return "sqlite"

    def test_without_a_client_the_error_says_what_to_do(self, mine: Store):
        with pytest.raises(
            ExpressionError, match=r"column 3 of .*steer pull acme//team/love@prod,.*remotes="
        ) as raised:
            compose(mine, "2*acme//team/love@prod")
        assert raised.value.column == 3
        with pytest.raises(InvalidInputError, match="is in another store"):
            mine.set_alias("acme//team/love", "x")

    def test_without_a_connection_it_is_what_it_was(self, team: Store, own: Store, server: Server):
        before = compose(own, "2*acme//team/love@prod").places
        server.stop()
        with pytest.warns(RemoteWarning, match="acme//team/love@prod is team/love@1, as it was moments ago"):
            assert compose(own, "2*acme//team/love@prod").places == before
        with pytest.raises(UnavailableError, match="cannot be reached"):
            compose(own, "acme//team/calm")
        server.start(server.port)
        team.set_alias("team/love@2", "prod")
        assert own.resolve("acme//team/love@prod").number == 2

    def test_what_the_remote_says_against_a_version_is_told_once(self, team: Store, own: Store):
        own.resolve("acme//team/love@prod")
        team.yank("team/love@1", "it is wrong")
        team.deprecate("team/love@1", "use calm")
        with pytest.warns(RemoteWarning) as warned:
            assert [own.resolve("acme//team/love@prod").number for _ in range(2)] == [1, 1]
        assert [str(each.message) for each in warned] == [
            "team/love@1 is yanked at acme: it is wrong",
            "team/love@1 is deprecated at acme: use calm",
        ]

    def test_what_never_moves_is_not_asked_for_again(self, own: Store, server: Server):
        digest = own.resolve("acme//team/love@1").digest
        server.stop()
        assert own.resolve("acme//team/love@1").digest == digest
        assert own.resolve(f"acme//team/love@{digest}").number == 1

    def test_an_answer_is_used_for_a_while(self, own: Store, server: Server, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(module, "FRESH", 1000)
        own.resolve("acme//team/love@prod")
        server.stop()
        assert own.resolve("acme//team/love@prod").number == 1

    def test_a_recipe_with_references_to_a_remote_needs_no_remote(self, team: Store, own: Store, mine: Store):
        own.save_recipe("mood", pin(own, "acme//team/love@prod:strong - calm"))
        team.set_alias("team/love@2", "prod")
        assert compose(mine, "mood").places == compose(mine, "2*team/love@1 - calm").places

    def test_a_number_that_is_taken_says_as_and_then_it_works(self, own: Store, library: Library):
        saved(own, "team/love", 77)
        with pytest.raises(ConflictError, match=r"column 1 .*team/love@1 is .* here.*--as NAME"):
            compose(own, "acme//team/love@1")
        pull(library, own, [library.resolve("team/love@1")], name="amour")
        assert compose(own, "acme//team/love@1").ingredients[0].label == "default/amour@1"
        own.save_recipe("mood", pin(own, "acme//team/love@1"))
        assert compose(own, "mood").ingredients[0].label == "default/amour@1"

    def test_a_bare_name_means_the_newest_that_fits_the_model(
        self, team: Store, own: Store, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setattr("vectorstore.client.library.AT_ONCE", 1)
        vector = make_vector((2, 3), width=16)
        team.save("team/love", vector, make_card(vector))
        fits = make_identity()
        assert own.resolve("acme//team/love", model=fits).number == 2
        assert own.resolve("acme//team/love").number == 3

    def test_what_is_not_there_is_not_found_with_its_column(self, own: Store):
        with pytest.raises(NotFoundError, match=r"column 8 of .*acme says"):
            compose(own, "calm + acme//team/nothing")
        with pytest.raises(NotFoundError, match="there is no remote 'acne'; did you mean acme"):
            own.resolve("acne//team/love")

    def test_another_service_under_the_same_name_is_another_one(self, own: Store):
        own.resolve("acme//team/love@1")
        home = Settings.load().home
        remove_remote(home, "acme")
        add_remote(home, Remote("acme", "http://127.0.0.1:9"))
        with pytest.raises(UnavailableError):
            own.resolve("acme//team/love@1")

    def test_nothing_of_it_is_secret(self, remote: Remote):
        assert "stv_" not in repr(Remotes())
        assert "stv_" not in repr(remote)
