"""SteeringVector: the laws of a vector space, by place, on values that never change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import FrozenInstanceError
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.builders import make_vector
from vectorstore.errors import InvalidInputError
from vectorstore.place import SITES, Place, layers_text
from vectorstore.vector import Array, SteeringVector, direction_norm, widened

PLACES = st.builds(Place, st.sampled_from(SITES), st.integers(0, 9))
VALUES = st.floats(-100, 100, width=16)
DTYPES = (np.float32, np.float16, ml_dtypes.bfloat16, np.float64)
WIDTH = 4
THREE = Place("resid_pre", 3)


def directions(shape: tuple[int, ...] = (WIDTH,)) -> st.SearchStrategy[Array]:
    exact = hnp.arrays(np.float32, shape, elements=VALUES)
    return st.builds(lambda array, dtype: array.astype(dtype), exact, st.sampled_from(DTYPES))


VECTORS = st.builds(SteeringVector, st.dictionaries(PLACES, directions(), min_size=1, max_size=4))


def values(vector: SteeringVector, place: Place) -> Array:
    """Return the direction in float64, zero where there is none: what the laws are stated in."""
    return vector.directions.get(place, np.zeros(WIDTH)).astype(np.float64)


def close(left: SteeringVector, right: SteeringVector) -> bool:
    places = {*left.places, *right.places}
    return all(np.allclose(values(left, place), values(right, place), rtol=1e-6, atol=1e-3) for place in places)


@given(VECTORS, VECTORS)
def test_addition_commutes_bit_for_bit(a: SteeringVector, b: SteeringVector):
    assert a + b == b + a


@given(VECTORS, VECTORS, VECTORS)
def test_addition_associates(a: SteeringVector, b: SteeringVector, c: SteeringVector):
    assert close((a + b) + c, a + (b + c))


@given(VECTORS, VECTORS, st.floats(-8, 8))
def test_a_factor_distributes_over_a_sum(a: SteeringVector, b: SteeringVector, factor: float):
    assert close(factor * (a + b), factor * a + factor * b)


@given(VECTORS, st.floats(-8, 8), st.floats(-8, 8))
def test_factors_add_up(a: SteeringVector, x: float, y: float):
    assert close(x * a + y * a, (x + y) * a)


@given(VECTORS, st.floats(-8, 8))
def test_a_factor_may_stand_on_either_side(a: SteeringVector, factor: float):
    assert factor * a == a * factor


@given(VECTORS, VECTORS)
def test_a_sum_is_the_sum_at_each_place_of_the_union(a: SteeringVector, b: SteeringVector):
    total = a + b
    assert set(total.places) == {*a.places, *b.places}
    for place in total.places:
        assert np.allclose(values(total, place), values(a, place) + values(b, place), rtol=1e-6, atol=1e-6)


@given(VECTORS)
def test_a_vector_less_itself_is_exactly_zero_everywhere(a: SteeringVector):
    nothing = a - a
    assert nothing.places == a.places
    assert not any(direction.any() for direction in nothing.directions.values())


@given(VECTORS, VECTORS)
def test_subtraction_adds_the_negative(a: SteeringVector, b: SteeringVector):
    assert a - b == a + -b == a + -1 * b


@given(VECTORS)
def test_one_times_a_vector_is_the_vector_in_float32_at_least(a: SteeringVector):
    assert a * 1 == a.map(lambda _, direction: widened(direction))
    assert all(direction.dtype in (np.float32, np.float64) for direction in (a * 1).directions.values())


def test_a_fraction_scales_and_float64_keeps_its_precision():
    vector = make_vector(dtype=np.float64)
    third = Fraction(1, 3) * vector
    assert np.array_equal(third.directions[THREE], vector.directions[THREE] * (1 / 3))


@given(VECTORS, VECTORS, st.floats(-8, 8))
def test_no_operation_changes_its_operands(a: SteeringVector, b: SteeringVector, factor: float):
    before = [{place: direction.tobytes() for place, direction in v.directions.items()} for v in (a, b)]
    _ = (a + b, a - b, factor * a, -a, a.select(a.layers), a.map(lambda _, direction: direction * 2), a.norms)
    assert before == [{place: direction.tobytes() for place, direction in v.directions.items()} for v in (a, b)]


def arrays(vector: SteeringVector) -> Iterator[Array]:
    yield from (*vector.directions.values(), *vector.references.values())


@given(VECTORS, VECTORS)
def test_every_array_is_read_only(a: SteeringVector, b: SteeringVector):
    for vector in (a, a + b, 2 * a, a.select([a.layers[0]]), a.map(lambda _, direction: direction + 1)):
        assert not any(array.flags.writeable for array in arrays(vector))


def test_a_vector_does_not_follow_the_array_it_was_made_of():
    direction, reference = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)
    vector = SteeringVector({THREE: direction}, {THREE: reference})
    direction[0], reference[0] = 7, 7
    assert direction.flags.writeable
    assert vector.directions[THREE][0] == 1
    assert vector.references[THREE][0] == 0


def test_an_array_that_nobody_can_change_is_not_copied():
    direction = np.frombuffer(bytes(16), np.float32)
    assert np.shares_memory(SteeringVector({THREE: direction}).directions[THREE], direction)


def test_the_mappings_and_attributes_cannot_change():
    vector = make_vector()
    with pytest.raises(TypeError):
        vector.directions[THREE] = np.ones(8)  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        vector.directions = {}  # type: ignore[misc]


@given(VECTORS)
def test_a_vector_equals_its_copy(a: SteeringVector):
    assert a == SteeringVector({place: direction.copy() for place, direction in a.directions.items()})


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (np.zeros(WIDTH, np.float32), np.zeros(WIDTH, np.float64)),
        (np.zeros(WIDTH, np.float16), np.zeros(WIDTH, ml_dtypes.bfloat16)),
        (np.zeros(WIDTH), np.zeros((1, WIDTH))),
        (np.zeros(WIDTH), -np.zeros(WIDTH)),
        (np.ones(WIDTH), np.nextafter(np.ones(WIDTH), 2)),
    ],
    ids=["dtype", "16-bit dtype", "shape", "sign of zero", "last bit"],
)
def test_equality_is_of_bits(left: Array, right: Array):
    assert SteeringVector({THREE: left}) != SteeringVector({THREE: right})


def test_nan_equals_itself_because_its_bits_do():
    nan = np.full(WIDTH, np.nan)
    assert SteeringVector({THREE: nan}) == SteeringVector({THREE: nan.copy()})


def test_equality_looks_at_places_and_references():
    ones = np.ones(WIDTH)
    plain = SteeringVector({THREE: ones})
    assert plain != SteeringVector({Place("resid_post", 3): ones})
    assert plain != SteeringVector({THREE: ones}, {THREE: ones})
    assert plain != ones.tolist()


def test_places_are_in_the_order_of_sites_and_then_layers():
    places = [Place("head_out", 0), Place("resid_pre", 10), Place("attn_out", 2), Place("resid_pre", 9)]
    vector = SteeringVector(dict.fromkeys(places, np.ones(WIDTH)))
    assert list(map(str, vector.places)) == ["resid_pre.9", "resid_pre.10", "attn_out.2", "head_out.0"]
    assert vector.sites == ("resid_pre", "attn_out", "head_out")
    assert vector.layers == (0, 2, 9, 10)


@given(VECTORS, st.data())
def test_select_keeps_the_chosen_layers_at_every_site(a: SteeringVector, data: st.DataObject):
    chosen = data.draw(st.sets(st.sampled_from(a.layers), min_size=1))
    kept = a.select(chosen)
    assert set(kept.layers) == chosen
    assert kept.places == tuple(place for place in a.places if place.layer in chosen)
    assert all(kept.directions[place] is a.directions[place] for place in kept.places)


def test_select_keeps_references():
    ones = np.ones(WIDTH)
    places = [Place("resid_pre", layer) for layer in (1, 2)]
    vector = SteeringVector(dict.fromkeys(places, ones), dict.fromkeys(places, ones))
    assert list(vector.select([2]).references) == [places[1]]


def test_selecting_a_layer_that_is_not_there_says_which_are():
    with pytest.raises(InvalidInputError, match=r"no direction at layer 7; this vector has layers 3\.\.5"):
        make_vector((3, 4, 5)).select([4, 7])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_norm_is_that_of_the_largest_row(dtype: np.dtype):
    rows = np.array([[3, 4, 0, 0], [0, 0, 0, 1]], dtype)
    assert SteeringVector({THREE: rows}).norms == {THREE: 5.0}
    assert SteeringVector({THREE: rows[1]}).norms == {THREE: 1.0}


def test_the_norm_of_large_halves_does_not_overflow():
    assert direction_norm(np.full(4, 60_000, np.float16)) == 120_000


def test_a_norm_beyond_float64_is_infinite_and_no_warning():
    assert direction_norm(np.full(4, 1e200)) == np.inf


Bad = Mapping[Place, object]


@pytest.mark.parametrize(
    ("given_directions", "line"),
    [
        ({}, "a steering vector needs at least one direction"),
        ({Place("resid_mid", 3): np.ones(4)}, r"resid_mid.3 is not a place; use .* resid_pre, resid_post"),
        ({Place("resid_pre", -1): np.ones(4)}, r"resid_pre.-1 is not a place; use a 0-based layer"),
        ({THREE: np.ones((2, 2, 2))}, r"the direction at resid_pre.3 has shape \[2, 2, 2\]; give \[d\], or \[t, d\]"),
        ({THREE: np.array(1.0)}, r"has shape \[\]"),
        ({THREE: np.ones(0)}, r"has shape \[0\]"),
        ({THREE: np.ones((0, 4))}, r"has shape \[0, 4\]"),
        ({THREE: [1.0, 2.0]}, r"the direction at resid_pre.3 is a list; give a numpy array"),
    ],
)
def test_what_is_no_direction_is_refused(given_directions: Bad, line: str):
    with pytest.raises(InvalidInputError, match=line):
        SteeringVector(given_directions)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "references",
    [{Place("resid_pre", 4): np.ones(4)}, {THREE: np.ones(5)}, {THREE: np.ones((1, 4))}, {THREE: 1.0}],
    ids=["another place", "another width", "two axes", "a number"],
)
def test_a_reference_belongs_to_a_direction_of_its_width(references: Bad):
    with pytest.raises(InvalidInputError, match="belongs to no direction of its width"):
        SteeringVector({THREE: np.ones((2, 4))}, references)  # type: ignore[arg-type]


def test_directions_of_other_shapes_do_not_add_up():
    with pytest.raises(InvalidInputError, match=r"resid_pre.3 have shapes \[8\] and \[2, 8\]; only directions of one"):
        make_vector() + make_vector(positions=2)


@pytest.mark.parametrize("other", [1, None, "love", np.ones(8)])
def test_only_vectors_are_added_to_vectors(other: object):
    with pytest.raises(TypeError):
        make_vector() + other  # type: ignore[operator]
    with pytest.raises(TypeError):
        make_vector() - other  # type: ignore[operator]


def test_two_vectors_have_no_product():
    with pytest.raises(TypeError):
        make_vector() * make_vector()  # type: ignore[operator]


@given(PLACES)
def test_a_place_reads_back_from_its_text(place: Place):
    assert Place.parse(str(place)) == place


@pytest.mark.parametrize(
    "text",
    [
        "",
        "resid_pre",
        "resid_pre.",
        ".3",
        "resid_pre.03",
        "resid_pre.-1",
        "resid_pre.+1",
        "resid_pre.1.0",
        "resid_pre. 3",
        "resid_pre.3\n",
        "resid_pre.٣",
        "resid_pre.²",
        "resid_pre.1_0",
        "resid_pre.1000000",
        f"resid_pre.{'9' * 5000}",
        "RESID_PRE.3",
        "../../etc/passwd.3",
        "hidden.3",
    ],
)
def test_other_texts_are_no_places(text: str):
    with pytest.raises(InvalidInputError, match=r"is not a place; write SITE\.LAYER; sites: resid_pre, resid_post"):
        Place.parse(text)


@pytest.mark.parametrize(
    ("layers", "text"),
    [([18], "layer 18"), ([7, 6, 8], "layers 6..8"), ([9, 3, 6], "layers 3, 6, 9"), ([0, 1], "layers 0..1")],
)
def test_layers_are_written_as_people_write_them(layers: list[int], text: str):
    assert layers_text(layers) == text
