"""Lists, filters, pages and text search."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, event
from sqlalchemy import text as sql
from sqlalchemy.engine import Engine

from tests.builders import make_card, make_identity, make_vector
from vectorstore.errors import IntegrityError, InvalidInputError, NotFoundError
from vectorstore.store import Store
from vectorstore.store.upkeep.fsck import check
from vectorstore.store.version import Page

HOSTILE = (
    "'",
    '"',
    "*",
    "**",
    "love*love",
    "AND",
    "NOT love",
    "NEAR(a b)",
    "words:x",
    "(((",
    "a & | !",
    "'; DROP TABLE versions; --",
    "\x00",
    "\ud800",
    "%",
    "\\",
    "-",
    "^love",
    "{}",
    "x" * 10_000,
    "a " * 1000,
)


def save(store: Store, name: str, seed: int = 0, **words: object) -> None:
    card = {key: words.pop(key) for key in ("model", "method") if key in words}
    vector = make_vector(seed=seed)
    store.save(name, vector, make_card(vector, **card), **words)


def names(page: Page) -> list[str]:
    return [version.reference for version in page]


@contextmanager
def counted_queries() -> Iterator[list[str]]:
    statements: list[str] = []

    def count(*arguments: object) -> None:
        statements.append(str(arguments[2]))

    event.listen(Engine, "before_cursor_execute", count)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", count)


def test_a_list_shows_the_newest_version_of_each_name_newest_first(store: Store):
    save(store, "love", 1)
    save(store, "hate", 2)
    save(store, "love", 3)
    save(store, "acme/joy", 4)
    assert names(store.list()) == ["acme/joy@1", "love@2", "hate@1"]
    assert names(store.list("default")) == ["love@2", "hate@1"]
    assert names(store.history("love")) == ["love@2", "love@1"]


def test_an_unknown_namespace_or_name_is_not_found(store: Store):
    save(store, "love")
    with pytest.raises(NotFoundError, match="no namespace 'acme'"):
        store.list("acme")
    with pytest.raises(NotFoundError, match="did you mean love"):
        store.history("lovr")


def test_filters_narrow_and_combine(store: Store):
    save(store, "one", 1, labels={"topic": "love", "lang": "en"}, method="actadd")
    save(store, "two", 2, labels={"topic": "love", "lang": "de"})
    save(store, "three", 3, model=make_identity(reference="gpt2"), labels={"topic": "hate", "lang": "en"})
    assert names(store.list(labels={"topic": "love"})) == ["two@1", "one@1"]
    assert names(store.list(labels={"topic": "love", "lang": "en"})) == ["one@1"]
    assert names(store.list(labels={"topic": "hate", "lang": "de"})) == []
    assert names(store.list(method="mean_difference")) == ["three@1", "two@1"]
    assert names(store.list(model="gpt2")) == ["three@1"]
    assert names(store.list(method="mean_difference", labels={"lang": "en"}, text="hate")) == ["three@1"]
    assert names(store.list(kind="vector")) == ["three@1", "two@1", "one@1"]
    assert names(store.list(kind="recipe")) == []


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_pages_follow_each_other_without_gap_or_repeat(store: Store, size: int):
    for seed in range(7):
        save(store, f"love{seed}", seed, labels={"topic": "love"}, description="same words")
    for wanted in ({}, {"labels": {"topic": "love"}}, {"text": "words"}, {"namespace": "default"}):
        seen, cursor = [], None
        for _ in range(8):
            page = store.list(limit=size, after=cursor, **wanted)
            assert len(page) <= size
            seen += names(page)
            cursor = page.cursor
            if cursor is None:
                break
        assert seen == [f"love{seed}@1" for seed in reversed(range(7))]


def test_a_history_has_pages_too(store: Store):
    for seed in range(5):
        save(store, "love", seed)
    first = store.history("love", limit=3)
    second = store.history("love", limit=3, after=first.cursor)
    assert [version.number for version in (*first, *second)] == [5, 4, 3, 2, 1]
    assert second.cursor is None


def test_a_page_that_moves_while_it_is_read_repeats_nothing(store: Store):
    for seed in range(4):
        save(store, f"love{seed}", seed)
    first = store.list(limit=2)
    save(store, "love0", 9)
    assert names(store.list(limit=2, after=first.cursor)) == ["love1@1"]


def test_many_labels_can_be_looked_for_and_too_many_are_refused(store: Store):
    labels = {f"key{number}": "x" for number in range(17)}
    save(store, "love", labels=labels)
    labels.popitem()
    assert names(store.list(labels=labels)) == ["love@1"]
    with pytest.raises(InvalidInputError, match="17 labels to look for; 16 are allowed"):
        store.list(labels={**labels, "key16": "x"})


DAMAGE = (
    "UPDATE presets SET coefficient = 'much'",
    "UPDATE presets SET coefficient = '1/0'",
    "UPDATE version_sites SET site = 'elbow'",
    "UPDATE versions SET model = '[]'",
)
DAMAGE_OF_SQLITE = ("UPDATE versions SET model = '{'", "UPDATE versions SET created_at = 'zzz'")
DAMAGE_OF_SUMMARIES = (
    "DELETE FROM summaries",
    "UPDATE summaries SET summary = ''",
    "UPDATE summaries SET summary = '[]'",
    "UPDATE summaries SET summary = '{}'",
    """UPDATE summaries SET summary = replace(summary, '"mild","1"', '"mild","1/0"')""",
    """UPDATE summaries SET summary = replace(summary, '"created_at":"2', '"created_at":"z')""",
    """UPDATE summaries SET summary = replace(summary, '"model":', '"model":[],"other":')""",
)


@pytest.mark.parametrize(
    ("backend", "change"),
    [*product(("sqlite", "postgresql"), DAMAGE), *product(("sqlite",), DAMAGE_OF_SQLITE)],
)
def test_a_damaged_row_is_told_before_anything_is_made_of_it(store: Store, library_url: str, change: str):
    save(store, "love", presets={"mild": 1})
    alter(library_url, change)
    with pytest.raises(IntegrityError, match=r"restore|get the file again"):
        store.set_label("love", "topic", "love")
    assert [problem.kind for problem in check(store).problems] == ["version"]


def alter(url: str, change: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(sql(change))
    engine.dispose()


@pytest.mark.parametrize("change", DAMAGE_OF_SUMMARIES)
def test_a_damaged_summary_is_told(store: Store, library_url: str, change: str):
    save(store, "love", presets={"mild": 1})
    alter(library_url, change)
    look: list[Callable[[], object]] = [
        lambda: store.resolve("love"),
        store.list,
        lambda: store.history("love"),
    ]
    for action in look:
        with pytest.raises(IntegrityError, match=r"summary .* is missing or damaged; type: steer fsck|the file again"):
            action()
    (problem,) = check(store).problems
    assert (problem.kind, problem.subject) == ("version", "default/love@1")
    assert "steer db upgrade" in problem.hint
    store.set_label("love", "topic", "love")  # any change of it writes its summary anew
    assert check(store).ok
    assert [version.labels["topic"] for version in store.list()] == ["love"]


@pytest.mark.parametrize(
    "bounds",
    [
        {"limit": 0},
        {"limit": 1001},
        {"after": "9"},
        {"after": "newest:x"},
        {"after": "newest:-1"},
        {"after": f"newest:{chr(57) * 40}"},
        {"after": "oldest:3"},
    ],
)
def test_a_limit_or_cursor_that_cannot_be_is_refused(store: Store, bounds: dict):
    with pytest.raises(InvalidInputError):
        store.list(**bounds)


NAMESPACES = tuple({"namespace": text} for text in ("\x00", "\udcff", "x" * 20_000, ""))


def test_filters_with_impossible_texts_are_refused_not_broken(store: Store):
    for wanted in ({"model": "\x00"}, {"method": "\ud800"}, {"labels": {"a": "\x00"}}, {"kind": "x"}, *NAMESPACES):
        with pytest.raises(InvalidInputError):
            store.list(**wanted)


def test_a_page_takes_the_same_number_of_queries_whatever_is_on_it(store: Store):
    counts = []
    for seed in range(10):
        save(store, f"love{seed}", seed, labels={"a": "b", "c": "d"}, presets={"x": 1, "y": 2}, description="love")
        store.set_alias(f"love{seed}", "prod")
        if seed in (1, 9):
            with counted_queries() as queries:
                store.list(labels={"a": "b"}, text="love")
            counts.append(len(queries))
    assert counts[0] == counts[1] <= 11


class TestText:
    """Words are found wherever they stand, on both databases alike."""

    def test_words_of_every_part_are_found(self, store: Store):
        save(
            store,
            "anti-sycophancy",
            1,
            description="Über Straßen,\nnot under.",
            authors=["Ada Lovelace"],
            labels={"topic": "honesty_2"},
            model=make_identity(reference="HuggingFaceTB/SmolLM2-135M"),
            method="actadd",
        )
        for text in (
            "sycophancy",
            "Anti",
            "uber",
            "ÜBER",
            "strassen",
            "lovelace",
            "topic",
            "honesty",
            "smollm2",
            "135m",
            "actadd",
            "LlamaForCausalLM",
            "ada under",
            "anti-sycophancy",
            "love*",
            "sYco*",
        ):
            assert names(store.list(text=text)) == ["anti-sycophancy@1"], text
        for text in ("syco", "lov", "adas", "under over", "*", "!!"):
            assert names(store.list(text=text)) == [], text

    def test_an_empty_text_asks_for_nothing(self, store: Store):
        save(store, "love")
        assert names(store.list(text="")) == ["love@1"]

    def test_changes_are_found_and_what_they_replaced_is_not(self, store: Store):
        save(store, "love", description="weddings", labels={"topic": "rings"})
        store.set_description("love", "funerals")
        store.set_label("love", "topic", "coffins")
        assert names(store.list(text="funerals coffins")) == ["love@1"]
        assert names(store.list(text="weddings")) == names(store.list(text="rings")) == []
        store.remove_label("love", "topic")
        assert names(store.list(text="coffins")) == []

    def test_only_the_newest_version_is_found(self, store: Store):
        save(store, "love", 1, description="weddings")
        save(store, "love", 2, description="rings")
        assert names(store.list(text="weddings")) == []
        assert names(store.list(text="rings")) == ["love@2"]

    def test_every_word_counts_and_too_many_are_refused(self, store: Store):
        words = [f"word{number}" for number in range(64)]
        save(store, "love", description=" ".join(words[:-1]))
        assert names(store.list(text=" ".join(words[:-1] * 3))) == ["love@1"]
        assert names(store.list(text=" ".join(words))) == []
        with pytest.raises(InvalidInputError, match="65 different words to look for; 64 are allowed"):
            store.list(text=" ".join([*words, "more"]))

    def test_hostile_texts_find_nothing_and_break_nothing(self, store: Store):
        save(store, "zebra")
        for text in HOSTILE:
            assert names(store.list(text=text)) == [], text

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(text=st.text(max_size=40))
    def test_no_text_is_an_error(self, store: Store, text: str):
        assert isinstance(store.list(text=text), Page)

    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(description=st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=40))
    def test_a_description_is_found_by_itself(self, store: Store, description: str):
        save(store, "love", description=description)
        store.set_description("love", description)
        assert names(store.list(text=f"love {description}")) == names(store.list())
