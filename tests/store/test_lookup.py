"""References: what each means, and what the error says where it means nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.builders import make_card, make_identity, make_vector
from vectorstore.errors import ConflictError, ExpressionError, InvalidInputError, MisfitError, NotFoundError
from vectorstore.identity import ModelIdentity
from vectorstore.reference import Reference
from vectorstore.store import Store
from vectorstore.store.draft import About, draft_vector
from vectorstore.store.version import Version


def save(store: Store, name: str, seed: int = 0, model: ModelIdentity | None = None) -> Version:
    vector = make_vector(seed=seed)
    return store.save(name, vector, make_card(vector, model=model)).version


def test_a_bare_name_means_its_newest_version(store: Store):
    save(store, "love", 1)
    second = save(store, "love", 2)
    assert store.resolve("love") == second
    assert store.resolve(Reference("love")) == second


def test_a_number_an_alias_and_a_digest_each_mean_one_version(store: Store):
    first = save(store, "acme/love", 1)
    save(store, "acme/love", 2)
    store.set_alias("acme/love@1", "prod")
    for pin in ("1", "prod", first.digest, first.digest[:15], f"sha256:{first.digest[7:15].upper()}"):
        assert store.resolve(f"acme/love@{pin}") == store.resolve("acme/love@1")


def test_layers_and_preset_do_not_change_the_version(store: Store):
    version = save(store, "love")
    assert store.resolve("love@1[3]:strong") == version


def test_namespaces_are_apart(store: Store):
    save(store, "love")
    save(store, "acme/love", 1)
    save(store, "acme/love", 2)
    assert store.resolve("love").number == 1
    assert store.resolve("default/love").number == 1
    assert store.resolve("acme/love").number == 2


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("lov", r"no 'lov'; did you mean love or lovely\?"),
        ("zebra", "no 'zebra'; see `steer list`"),
        ("love@7", "love has no version 7; it has @1, @2"),
        ("love@prd", "love has no alias 'prd'; it has prod"),
        ("lovely@prod", "lovely has no alias 'prod'; it has no aliases; it has @1"),
        ("love@sha256:0000", "love has no version with digest sha256:0000; it has @1, @2"),
        ("acme/love", "no namespace 'acme'"),
        ("defualt/love", r"no namespace 'defualt'; did you mean default\?"),
    ],
)
def test_an_unknown_reference_says_what_there_is(store: Store, reference: str, message: str):
    save(store, "love", 1)
    save(store, "love", 2)
    save(store, "lovely", 3)
    store.set_alias("love@1", "prod")
    with pytest.raises(NotFoundError, match=message):
        store.resolve(reference)


def test_an_empty_library_says_so(store: Store):
    with pytest.raises(NotFoundError, match="the library is empty; make a vector with `steer compute`"):
        store.resolve("love")


def test_many_versions_are_not_all_listed(store: Store):
    for seed in range(12):
        save(store, "love", seed)
    with pytest.raises(NotFoundError, match=r"it has …, @3, @4, @5, @6, @7, @8, @9, @10, @11, @12$"):
        store.resolve("love@99")


def test_an_ambiguous_digest_lists_its_candidates(store: Store):
    vector = make_vector()
    seen: dict[str, str] = {}
    for number in range(5000):  # two of them begin alike, as birthdays do, after some 300
        description = str(number)
        start = draft_vector("love", vector, make_card(vector), About(description=description)).manifest.digest[:11]
        if start in seen:
            break
        seen[start] = description
    for description in (seen[start], str(number)):
        store.save("love", vector, make_card(vector), description=description)
    one, two = (store.resolve(f"love@{number}") for number in (1, 2))
    with pytest.raises(ConflictError) as caught:
        store.resolve(f"love@{start}")
    assert str(caught.value) == (
        f"love@{start} means several versions; write more digits: @1 is {one.digest[:19]}, @2 is {two.digest[:19]}"
    )


def test_a_reference_that_does_not_parse_and_a_remote_are_refused(store: Store):
    with pytest.raises(ExpressionError):
        store.resolve("love@")
    with pytest.raises(InvalidInputError, match="is in another store"):
        store.resolve("acme//team/love@prod")


class TestWithAModel:
    """A model at hand: the newest version that fits it."""

    small = make_identity(seed=1)
    finetuned = make_identity(seed=2)
    large = make_identity(width=16, layer_count=9, seed=3, reference="large")

    def test_the_newest_that_fits_wins(self, store: Store):
        save(store, "love", 1, self.small)
        vector = make_vector(width=16)
        store.save("love", vector, make_card(vector, model=self.large))
        assert store.resolve("love").number == 2
        assert store.resolve("love", model=self.large).number == 2
        assert store.resolve("love", model=self.small).number == 1

    def test_a_compatible_model_will_do(self, store: Store):
        save(store, "love", 1, self.small)
        assert store.resolve("love", model=self.finetuned).number == 1

    def test_a_model_of_unknown_vocabulary_fits_too(self, store: Store):
        save(store, "love", 1, self.small)
        unknown = replace(self.finetuned, tokenizer_digest="")
        assert store.resolve("love", model=unknown).number == 1

    def test_what_is_asked_for_by_number_alias_or_digest_is_returned_as_it_is(self, store: Store):
        version = save(store, "love", 1, self.small)
        store.set_alias("love", "prod")
        for reference in ("love@1", "love@prod", f"love@{version.digest}"):
            assert store.resolve(reference, model=self.large).number == 1

    def test_a_misfit_lists_the_models_there_are_versions_for(self, store: Store):
        save(store, "love", 1, self.small)
        save(store, "love", 2, make_identity(seed=4, reference="other", architecture="GPT2LMHeadModel"))
        with pytest.raises(MisfitError) as caught:
            store.resolve("love", model=self.large)
        assert str(caught.value).startswith(
            "no version of love fits large (9 layers of width 16); it has versions for "
        )
        assert "other (6 layers of width 8), tiny (6 layers of width 8)" in str(caught.value)
