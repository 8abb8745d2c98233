"""Diff: which parts of two versions differ, and by how much their directions do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import make_card, make_identity, make_vector
from vectorstore.card import INLINE_ITEMS
from vectorstore.compose import pin
from vectorstore.errors import InvalidInputError, NotFoundError
from vectorstore.place import Place
from vectorstore.store import Store
from vectorstore.store.diff import diff
from vectorstore.store.difference import DirectionPair, differences
from vectorstore.vector import SteeringVector

PLACE = Place("resid_pre", 3)
ITEMS = tuple({"positive": f"yes {n}", "negative": "no"} for n in range(4))


def parts(found) -> dict[str, tuple[object, object]]:
    return {one.part: (one.left, one.right) for one in found}


def test_one_version_differs_in_nothing(store: Store):
    vector = make_vector([2, 3])
    store.save("love", vector, make_card(vector))
    found = diff(store, "love", "love@1")
    assert (found.same_version, found.same_blobs) == (True, True)
    assert (found.fixed, found.movable, found.items, found.notes) == ((), (), None, ())
    assert all(pair.equal and pair.cosine == pytest.approx(1) and pair.distance == 0 for pair in found.directions)


def test_the_same_bytes_under_two_names_are_said_to_be_equal(store: Store):
    vector = make_vector()
    store.save("love", vector, make_card(vector), labels={"topic": "love"}, description="of love")
    store.save("copy", vector, make_card(vector), labels={"topic": "joy", "tone": "warm"}, presets={"mild": 1})
    store.set_alias("love", "prod")
    store.yank("copy@1")
    found = diff(store, "love", "copy@1")
    assert (found.same_version, found.same_blobs, found.fixed) == (False, True, ())
    assert parts(found.movable) == {
        "description": ("of love", ""),
        "labels.topic": ("love", "joy"),
        "labels.tone": (None, "warm"),
        "presets.mild": (None, {"coefficient": "1", "layers": None, "tokens": None}),
        "aliases": (["prod"], []),
        "yanked": (False, True),
    }


def test_what_the_computation_fixed_is_compared_part_by_part(store: Store):
    vector = make_vector()
    card = make_card(vector)
    store.save("love", vector, card)
    method = replace(card.method, params={"scale": 2}, seed=7)
    store.save("love", vector, replace(card, method=method, versions={"torch": "3.0"}))
    found = diff(store, "love@1", "love@2")
    assert parts(found.fixed) == {
        "method.params.scale": (None, 2),
        "method.seed": (0, 7),
        "versions.torch": ("2.13.0", "3.0"),
        "versions.transformers": ("5.23.0", None),
        "versions.vectorstore": ("0.1.0", None),
    }
    assert found.directions[0].equal


def test_pairs_that_were_added_and_removed_are_named(store: Store):
    vector = make_vector()
    store.save("love", vector, make_card(vector, items=ITEMS[:3]))
    store.save("love", vector, make_card(vector, items=(ITEMS[3], ITEMS[0], ITEMS[0])))
    found = diff(store, "love@1", "love@2")
    assert found.items is not None
    assert found.items.removed == ITEMS[1:3]
    assert found.items.added == (ITEMS[3], ITEMS[0])
    assert found.items.kept == 1
    assert set(parts(found.fixed)) == {"data.digest"}


def test_items_in_a_blob_of_their_own_are_compared_too(store: Store):
    vector, long = make_vector(), {"positive": "y" * INLINE_ITEMS, "negative": "n"}
    store.save("love", vector, make_card(vector, items=(long, ITEMS[0])))
    store.save("love", vector, make_card(vector, items=(long, ITEMS[1])))
    found = diff(store, "love@1", "love@2")
    assert found.items is not None
    assert (found.items.removed, found.items.added, found.items.kept) == (ITEMS[:1], ITEMS[1:2], 1)


def test_items_that_are_not_at_hand_are_not_compared(store: Store):
    vector = make_vector()
    card = make_card(vector, items=ITEMS)
    store.save("love", vector, card)
    store.save("love", vector, replace(card, data=replace(card.data, digest=f"sha256:{'0' * 64}", items=None)))
    found = diff(store, "love@1", "love@2")
    assert found.items is None
    assert found.notes == ("the items of the right one's data are not at hand, so that they cannot be compared",)


def test_directions_are_compared_at_every_place_that_either_has(store: Store):
    left = make_vector([2, 3], seed=1)
    right = SteeringVector({PLACE: left.directions[PLACE] * -3, Place("mlp_out", 2): np.ones(8, np.float32)})
    store.save("left", left, make_card(left))
    store.save("right", right, make_card(right))
    two, three, other = diff(store, "left", "right").directions
    assert (str(two.place), two.right, two.cosine, two.distance) == ("resid_pre.2", None, None, None)
    assert three.cosine == pytest.approx(-1)
    assert three.distance == pytest.approx(4)
    assert (str(other.place), other.left, other.equal) == ("mlp_out.2", None, False)
    (alone,) = diff(store, "left[3]", "right[3]").directions
    assert alone.place == PLACE


def test_models_that_differ_are_named_and_only_equal_widths_are_compared(store: Store):
    for name, width in (("left", 8), ("right", 8), ("wide", 16)):
        vector = make_vector(width=width)
        model = make_identity(width=width, seed=len(name), reference=name)
        store.save(name, vector, make_card(vector, model=model))
    found = diff(store, "left", "right")
    assert "models with other weights (left and right)" in found.notes[0]
    assert found.directions[0].cosine == pytest.approx(1)
    assert {"model.reference", "model.fingerprint"} <= set(parts(found.fixed))
    (pair,) = diff(store, "left", "wide").directions
    assert (pair.cosine, pair.distance, pair.equal) == (None, None, False)
    assert pair.to_json()["right"]["shape"] == [16]


def test_recipes_differ_in_text_and_pins(store: Store):
    for seed in (1, 2):
        for name in ("love", "calm"):
            vector = make_vector(seed=seed)
            store.save(name, vector, make_card(vector), presets={"strong": seed})
        store.save_recipe("mix", pin(store, "love:strong + 2*calm@1"))
    store.save_recipe("mix", pin(store, "love:strong + 2*calm@2 - 0.5*love@1"))
    moved = diff(store, "mix@1", "mix@2")
    assert set(parts(moved.fixed)) == {"terms.love:strong"}
    before, after = parts(moved.fixed)["terms.love:strong"]
    assert [(side["version"], side["preset"]["coefficient"]) for side in (before, after)] == [
        ("love@1", "1"),
        ("love@2", "2"),
    ]
    rewritten = parts(diff(store, "mix@2", "mix@3").fixed)
    assert set(rewritten) == {"text", "terms.calm@1", "terms.love@1"}
    assert [side["version"] for side in rewritten["terms.calm@1"]] == ["calm@1", "calm@2"]
    assert rewritten["terms.love@1"][0] is None
    assert diff(store, "mix@1", "mix@1").fixed == ()


def test_a_vector_and_a_recipe_share_only_what_people_say(store: Store):
    vector = make_vector()
    store.save("love", vector, make_card(vector), labels={"topic": "love"})
    store.save_recipe("mix", pin(store, "2*love"))
    found = diff(store, "love", "mix")
    assert parts(found.fixed) == {"kind": ("vector", "recipe")}
    assert set(parts(found.movable)) == {"labels.topic"}
    assert found.notes == ("a vector and a recipe: only what people say is compared",)


def test_what_cannot_be_compared_is_refused(store: Store):
    vector = make_vector()
    store.save("love", vector, make_card(vector))
    with pytest.raises(NotFoundError, match="there is no 'hate'"):
        diff(store, "love", "hate")
    with pytest.raises(InvalidInputError, match="'love:strong' has a preset"):
        diff(store, "love:strong", "love")
    with pytest.raises(InvalidInputError, match="no direction at layer 4"):
        diff(store, "love", "love[3..4]")


@pytest.mark.parametrize(
    ("left", "right", "cosine", "distance"),
    [
        ([1, 0], [0, 2], 0.0, 5**0.5),
        ([[1, 0], [0, 1]], [[1, 0], [0, 1]], 1.0, 0.0),
        ([[1, 0], [0, 1]], [1, 1], 1.0, None),
        ([[1, 0], [0, 1]], [[2, 0], [0, 1], [0, 1]], 1.0, None),
        ([0, 0], [1, 0], None, None),
        ([1, 0], [0, 0], None, 1.0),
    ],
)
def test_cosine_and_distance(left: list, right: list, cosine: float | None, distance: float | None):
    pair = DirectionPair(PLACE, np.array(left, np.float32), np.array(right, np.float32))
    assert pair.cosine == (None if cosine is None else pytest.approx(cosine))
    assert pair.distance == (None if distance is None else pytest.approx(distance))


def test_equal_values_of_another_dtype_are_not_equal():
    ones = np.ones(4, np.float32)
    pair = DirectionPair(PLACE, ones, ones.astype(np.float16))
    assert not pair.equal
    assert pair.distance == 0


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


@given(OBJECTS, OBJECTS)
def test_differences_turn_round_with_their_sides_and_equal_objects_have_none(left: dict, right: dict):
    found = differences(left, right)
    turned = {(one.part, repr(one.right), repr(one.left)) for one in differences(right, left)}
    assert {(one.part, repr(one.left), repr(one.right)) for one in found} == turned
    assert differences(left, left) == []
    assert all(one.left != one.right for one in found)
