"""References: every part, in its order, and errors that point at the part that is wrong."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectorstore.errors import ExpressionError, InvalidInputError
from vectorstore.reference import MAX_NAME, Reference, check_name, parse_reference

NAMES = st.from_regex(re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,11}", re.ASCII), fullmatch=True)
ALIASES = NAMES.filter(lambda name: not name.startswith("sha256"))
DIGESTS = st.from_regex(r"sha256:[0-9a-f]{4,64}", fullmatch=True)
RANGES = st.tuples(st.integers(0, 99), st.integers(0, 99)).map(lambda pair: (min(pair), max(pair)))
PINS = st.one_of(
    st.just({}),
    st.integers(1, 999).map(lambda number: {"version": number}),
    ALIASES.map(lambda alias: {"alias": alias}),
    DIGESTS.map(lambda digest: {"digest": digest}),
)


def references(remotes: st.SearchStrategy[str | None]) -> st.SearchStrategy[Reference]:
    return st.builds(
        lambda pin, **parts: Reference(**parts, **pin),
        PINS,
        name=NAMES,
        namespace=NAMES | st.just("default"),
        remote=remotes,
        layers=st.none() | RANGES,
        preset=st.none() | NAMES,
    )


@given(references(st.none() | NAMES))
def test_text_reads_back_as_the_same_reference(reference: Reference):
    assert parse_reference(str(reference)) == reference


def test_every_part_stands_in_its_place():
    assert parse_reference("acme//team/love@3[6..12]:strong") == Reference(
        "love", "team", "acme", version=3, layers=(6, 12), preset="strong"
    )


def test_a_bare_name_is_in_the_default_namespace():
    reference = parse_reference("love")
    assert (reference.namespace, reference.remote, reference.version, reference.layers) == ("default", None, None, None)


def test_the_default_namespace_is_not_written():
    assert str(parse_reference("default/love@prod")) == "love@prod"


def test_one_layer_is_a_range_of_one():
    assert parse_reference("love[6]").layers == (6, 6)
    assert str(parse_reference("love[6..6]")) == "love[6]"


def test_a_digest_is_kept_in_lower_case():
    assert parse_reference("love@sha256:ABCD").digest == "sha256:abcd"


def test_names_may_have_hyphens_underscores_and_digits():
    assert parse_reference("a-b_2-").name == "a-b_2-"


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("", 1, "the name is missing"),
        ("9a", 1, "'9a' is not a name"),
        ("-a", 1, "'-a' is not a name"),
        ("löve", 1, "'löve' is not a name"),
        ("love.x", 1, "'love.x' is not a name"),
        ("ns/", 4, "the name is missing"),
        ("/love", 1, "the namespace is missing"),
        ("9/love", 1, "'9' is not a namespace"),
        ("//love", 1, "the remote is missing"),
        ("a.b//love", 1, "'a.b' is not a remote"),
        ("a/b/c", 4, "'/c' cannot stand here"),
        ("a//b//c", 6, "'/c' cannot stand here"),
        ("love/2", 6, "there is no division"),
        ("love@", 6, "'@' is not a version"),
        ("love@0", 6, "'@0' is not a version"),
        ("love@03", 6, "'@03' is not a version"),
        ("love@-1", 6, "'@-1' is not a version"),
        ("love@sha256", 6, "'sha256' is not a digest"),
        ("love@sha256:abc", 6, "'sha256:abc' is not a digest"),
        ("love@sha256:xyzw", 6, "'sha256:xyzw' is not a digest"),
        (f"love@sha256:{'a' * 65}", 6, "is not a digest"),
        ("love[]", 6, "'[]' is not a layer"),
        ("love[-1]", 6, "'[-1]' is not a layer"),
        ("love[1.5]", 6, "'[1.5]' is not a layer"),
        ("love[6..]", 6, "'[6..]' is not a layer"),
        ("love[1234567]", 6, "'[1234567]' is not a layer"),
        ("love[9..6]", 6, "layers 9..6 run backwards; write [6..9]"),
        ("love[6", 5, "the '[' is not closed"),
        ("love[6]@2", 8, "'@2' cannot stand here"),
        ("love[6][7]", 8, "'[7]' cannot stand here"),
        ("love:", 6, "the preset is missing"),
        ("love:strong@2", 6, "the order is namespace/name@version[layers]:preset"),
        ("love:a:b", 6, "'a:b' is not a preset"),
        ("love\x00", 1, "is not a name"),
        ("love ", 1, "'love ' is not a name"),
        ("a" * (MAX_NAME + 1), 1, "128 at most"),
    ],
)
def test_an_error_points_at_the_part_that_is_wrong(text: str, column: int, says: str):
    with pytest.raises(ExpressionError) as caught:
        parse_reference(text)
    assert caught.value.column == column
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_within_an_expression_the_column_is_the_expression_s():
    with pytest.raises(ExpressionError, match=re.escape("column 10 of '2*a + b@0':")):
        parse_reference("b@0", column=8, whole="2*a + b@0")


@pytest.mark.parametrize("name", ["", "1a", "a.b", "a b", "a/b", "é", "a" * (MAX_NAME + 1), "a\n"])
def test_what_is_not_a_name_is_refused(name: str):
    with pytest.raises(InvalidInputError, match="alias starts with a letter"):
        check_name(name, "alias")


def test_a_name_is_returned():
    assert check_name("a" * MAX_NAME) == "a" * MAX_NAME
