"""Fields: parts of foreign JSON by name and type, or one clear error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vectorstore.errors import IntegrityError
from vectorstore.fields import MAX_INTEGER, Fields


def fields(**parts: object) -> Fields:
    return Fields(parts, "the card")


@pytest.mark.parametrize("value", [None, [], "text", 1, True])
def test_only_objects_have_fields(value: object):
    with pytest.raises(IntegrityError, match="the card is not a JSON object"):
        Fields(value, "the card")


def test_parts_of_their_type_are_returned():
    part = fields(a="x", b=2, c=[1, 2], d={"e": 1.5, "f": 2}, g=None, h={"i": "j"})
    assert part.text("a") == "x"
    assert part.integer("b") == 2
    assert part.sequence("c", int) == (1, 2)
    assert part.mapping("d", float) == {"e": 1.5, "f": 2.0}
    assert part.maybe("g", str) is None
    assert part.maybe("missing", str) is None
    assert part.maybe("b", int) == 2
    assert part.child("h").text("i") == "j"


@pytest.mark.parametrize(
    ("read", "value", "trouble"),
    [
        (lambda part: part.text("x"), 1, "has a x that is not text"),
        (lambda part: part.text("x"), None, "has a x that is not text"),
        (lambda part: part.integer("x"), "1", "has a x that is not a whole number"),
        (lambda part: part.integer("x"), True, "has a x that is not a whole number"),
        (lambda part: part.integer("x"), 1.0, "has a x that is not a whole number"),
        (lambda part: part.integer("x"), -1, "has x -1, which is negative"),
        (lambda part: part.integer("x"), MAX_INTEGER + 1, "has a number in x that is too large"),
        (lambda part: part.integer("x"), -(10**4000), "has a number in x that is too large"),
        (lambda part: part.sequence("x", int), [1, 10**30], "has a number in x that is too large"),
        (lambda part: part.sequence("x", int), [-MAX_INTEGER - 1, 1], "has a number in x that is too large"),
        (lambda part: part.sequence("x", int), [1, False], "has a x that is not a whole number"),
        (lambda part: part.sequence("x", str), {"a": "b"}, "has a x that is not a list"),
        (lambda part: part.mapping("x", float), {"a": True}, "has a x that is not a finite number"),
        (lambda part: part.mapping("x", float), {"a": float("nan")}, "has a x that is not a finite number"),
        (lambda part: part.mapping("x", float), {"a": float("inf")}, "has a x that is not a finite number"),
        (lambda part: part.mapping("x", float), {"a": 1.0, "b": float("nan")}, "has a x that is not a finite number"),
        (lambda part: part.mapping("x", float), {"a": 10**400}, "has a number in x that is too large"),
        (lambda part: part.mapping("x", str), [], "has a x that is not an object"),
        (lambda part: part.maybe("x", str), 0, "has a x that is not text"),
        (lambda part: part.child("x"), [], "has a x that is not an object"),
        (lambda part: part.only({"y"}), 1, "has an unknown part 'x'"),
    ],
)
def test_parts_of_another_type_are_refused_by_name(read: Callable[[Fields], Any], value: object, trouble: str):
    with pytest.raises(IntegrityError) as caught:
        read(fields(x=value))
    assert caught.value.problem == f"the card {trouble}"


def test_a_missing_part_is_named():
    with pytest.raises(IntegrityError, match="the card has no method"):
        fields().text("method")


def test_a_part_of_a_part_says_where_it_is():
    with pytest.raises(IntegrityError, match="model of the card has no revision"):
        fields(model={}).child("model").text("revision")


def test_the_largest_number_a_database_keeps_is_allowed():
    assert fields(x=MAX_INTEGER).integer("x") == 2**63 - 1
