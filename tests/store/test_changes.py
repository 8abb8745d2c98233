"""Aliases, labels, presets and descriptions move; versions stay; every move is an event."""

from __future__ import annotations

import getpass

import pytest
from sqlalchemy import delete, select, text, update

from tests.builders import make_card, make_vector
from vectorstore.coefficient import Coefficient
from vectorstore.errors import IntegrityError, InvalidInputError, NotFoundError
from vectorstore.preset import Preset
from vectorstore.store import Store
from vectorstore.store import events as log
from vectorstore.store.events import verify
from vectorstore.store.schema import EventRow, NamespaceRow


@pytest.fixture
def two(store: Store) -> Store:
    """Have two versions of one name."""
    for seed in (1, 2):
        vector = make_vector((3, 4), seed=seed)
        store.save("love", vector, make_card(vector), labels={"topic": "love"}, presets={"mild": 1})
    return store


def events(store: Store) -> list[tuple[str, str, object, object]]:
    with store.database.read() as session:
        rows = session.scalars(select(EventRow).where(EventRow.action != "version.save").order_by(EventRow.seq))
        return [(row.action, row.subject, row.before, row.after) for row in rows]


def test_an_alias_moves_and_its_history_stays(two: Store):
    assert two.set_alias("love@1", "prod").aliases == ("prod",)
    assert two.set_alias("love@2", "prod").number == 2
    assert two.resolve("love@1").aliases == ()
    assert two.resolve("love@prod").number == 2
    assert two.remove_alias("love", "prod").number == 2
    with pytest.raises(NotFoundError, match="no alias 'prod'"):
        two.resolve("love@prod")
    assert events(two) == [
        ("alias.set", "default/love@1", None, {"alias": "prod", "version": 1}),
        ("alias.set", "default/love@2", {"alias": "prod", "version": 1}, {"alias": "prod", "version": 2}),
        ("alias.remove", "default/love@2", {"alias": "prod", "version": 2}, None),
    ]


def test_an_alias_that_would_read_as_something_else_is_refused(two: Store):
    for alias in ("1", "", "a.b", "sha256", "sha256-x", "a b"):
        with pytest.raises(InvalidInputError, match="alias"):
            two.set_alias("love", alias)


def test_a_label_changes_on_one_version_only(two: Store):
    assert two.set_label("love@1", "topic", "hate").labels == {"topic": "hate"}
    assert two.set_label("love@1", "lang", "en").labels == {"lang": "en", "topic": "hate"}
    assert two.resolve("love@2").labels == {"topic": "love"}
    assert two.remove_label("love@1", "topic").labels == {"lang": "en"}
    assert events(two) == [
        ("label.set", "default/love@1", {"topic": "love"}, {"topic": "hate"}),
        ("label.set", "default/love@1", None, {"lang": "en"}),
        ("label.remove", "default/love@1", {"topic": "hate"}, None),
    ]


def test_a_preset_changes_on_one_version_only(two: Store):
    strong = Preset(Coefficient.parse("-0.15r"), (3, 3), "generated")
    assert two.set_preset("love@1", "strong", strong).presets["strong"] == strong
    assert two.set_preset("love@1", "mild", "1e-2").presets["mild"] == Preset.parse("0.01")
    assert set(two.resolve("love@2").presets) == {"mild"}
    assert set(two.remove_preset("love@1", "mild").presets) == {"strong"}
    assert [(action, before, after) for action, _, before, after in events(two)] == [
        ("preset.set", None, {"strong": strong.to_json()}),
        ("preset.set", {"mild": Preset.parse(1).to_json()}, {"mild": Preset.parse("0.01").to_json()}),
        ("preset.remove", {"mild": Preset.parse("0.01").to_json()}, None),
    ]


def test_a_coefficient_is_kept_exactly(two: Store):
    digits = "0." + "123456789" * 10
    two.set_preset("love", "odd", digits)
    assert str(two.resolve("love").presets["odd"].coefficient) == digits


def test_a_description_changes(two: Store):
    assert two.set_description("love", "Of weddings.\nMore.").description == "Of weddings.\nMore."
    assert events(two) == [
        ("description.set", "default/love@2", {"description": ""}, {"description": "Of weddings.\nMore."})
    ]


def test_what_changes_nothing_is_no_event(two: Store):
    two.set_alias("love", "prod")
    two.set_alias("love", "prod")
    two.set_label("love", "topic", "love")
    two.set_preset("love", "mild", 1)
    two.set_description("love", "")
    assert len(events(two)) == 1


@pytest.mark.parametrize(
    ("remove", "message"),
    [
        (Store.remove_label, "love@2 has no label 'x'; it has topic"),
        (Store.remove_preset, "love@2 has no preset 'x'; it has mild"),
        (Store.remove_alias, "love has no alias 'x'; it has no aliases"),
    ],
)
def test_removing_what_is_not_there_says_what_is(two: Store, remove, message: str):
    with pytest.raises(NotFoundError, match=message):
        remove(two, "love", "x")


def test_a_refused_change_leaves_nothing(two: Store):
    for change in (
        lambda: two.set_label("love", "topic", "a\x00"),
        lambda: two.set_description("love", "\x1b"),
        lambda: two.set_preset("love", "x", Preset(Coefficient.parse(1), (9, 9))),
        lambda: two.set_alias("nobody", "x"),
    ):
        with pytest.raises((InvalidInputError, NotFoundError)):
            change()
    assert events(two) == []


def test_versions_do_not_change_when_words_about_them_do(two: Store):
    before = two.resolve("love")
    two.set_label("love", "a", "b")
    two.set_alias("love", "prod")
    after = two.resolve("love")
    assert (after.digest, after.blobs, after.number) == (before.digest, before.blobs, before.number)


class TestEvents:
    """The log is numbered without gaps, signed by whoever did it, and shows tampering."""

    def test_every_namespace_counts_for_itself(self, two: Store):
        vector = make_vector()
        two.save("acme/love", vector, make_card(vector))
        two.set_alias("love", "prod")
        with two.database.read() as session:
            named = select(NamespaceRow.name, EventRow.seq, EventRow.actor).join_from(EventRow, NamespaceRow)
            rows = session.execute(named.order_by(NamespaceRow.name, EventRow.seq)).all()
            me = getpass.getuser()
            assert rows == [("acme", 1, me), ("default", 1, me), ("default", 2, me), ("default", 3, me)]
            assert (verify(session, "default"), verify(session, "acme")) == (3, 1)

    def test_an_identical_save_is_no_event(self, two: Store):
        vector = make_vector((3, 4), seed=1)
        two.save("love", vector, make_card(vector), labels={"topic": "love"}, presets={"mild": 1})
        with two.database.read() as session:
            assert verify(session, "default") == 2

    @pytest.mark.parametrize(
        "tamper",
        [
            update(EventRow).where(EventRow.seq == 1).values(actor="somebody else"),
            update(EventRow).where(EventRow.seq == 2).values(after={"digest": "x"}),
            delete(EventRow).where(EventRow.seq == 1),
            delete(EventRow).where(EventRow.seq == 2),
            text("UPDATE namespaces SET event_seq = 1"),
        ],
        ids=["actor", "after", "first gone", "last gone", "counter"],
    )
    def test_tampering_shows(self, two: Store, tamper):
        with two.database.write() as session:
            session.execute(tamper)
        with two.database.read() as session, pytest.raises(IntegrityError, match=r"missing|altered"):
            verify(session, "default")


def test_a_users_name_in_another_encoding_stops_no_change(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOGNAME", "J\udcf6rg")
    store.save("love", make_vector(), make_card(make_vector()))
    with store.database.read() as session:
        assert session.scalar(select(EventRow.actor)) == "J?rg"


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("love[5]:nope", "has layers or a preset; name the version alone: love"),
        ("love@2:nope", "name the version alone: love@2"),
        ("other//love", "is in another store"),
    ],
)
def test_a_reference_with_more_than_a_version_is_refused(two: Store, reference: str, said: str):
    for action in (
        lambda: two.set_alias(reference, "prod"),
        lambda: two.set_label(reference, "topic", "x"),
        lambda: two.remove_preset(reference, "mild"),
        lambda: two.remove_alias(reference, "prod"),
        lambda: two.history(reference),
    ):
        with pytest.raises(InvalidInputError, match=said):
            action()


def test_what_is_about_a_name_takes_no_version(two: Store):
    two.set_alias("love", "prod")
    for action in (lambda: two.history("love@1"), lambda: two.remove_alias("love@prod", "prod")):
        with pytest.raises(InvalidInputError, match="is one version; give its name alone: love"):
            action()


@pytest.mark.parametrize("alias", ["x" * 20_000, "\udcff", "a\x00", ""])
def test_an_alias_that_is_none_cannot_be_removed(two: Store, alias: str):
    with pytest.raises(InvalidInputError) as caught:
        two.remove_alias("love", alias)
    assert len(str(caught.value)) < 250


def test_a_long_history_is_followed_a_part_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch):
    vector = make_vector(3)
    store.save("love", vector, make_card(vector))
    for number in range(30):
        store.set_label("love", "number", str(number))
    monkeypatch.setattr(log, "BATCH", 4)
    original, held = log.chained, list[int]()

    with store.database.read() as session:

        def counted(event: EventRow, previous: str) -> str:
            held.append(len(session.identity_map))
            return original(event, previous)

        monkeypatch.setattr(log, "chained", counted)
        assert verify(session, "default") == len(held) == 31
    assert max(held) < 12
