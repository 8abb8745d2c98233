"""The card: canonical JSON in and out, data inline or apart, and nothing believed that contradicts itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.blobs import LEAVES, Path, paths, replaced
from tests.builders import make_card, make_vector
from tests.golden import TEN, TWO, golden_card
from vectorstore.canonical import canonical_bytes, digest
from vectorstore.card import INLINE_ITEMS, Card, Data, MethodUse
from vectorstore.codec import pack, unpack
from vectorstore.errors import IntegrityError
from vectorstore.place import Place

GOLDEN = (
    '{"apply":{"operator":"add","tokens":"prompt_front"},'
    '"data":{"count":1,"digest":"sha256:ace5ee60aa7e785c700b5318ce26a63b87d5ab254f54c473859aabcfa0112100",'
    '"items":[{"negative":" ","positive":" weddings"}],"kind":"pairs"},'
    '"layers":[2,10],'
    '"method":{"name":"actadd","params":{"pad":" ","shrink":0.5,"tokens":[1,2]},"seed":7,"version":"1"},'
    '"model":{"architecture":"LlamaForCausalLM","bos_token_id":1,"dtype":"float32",'
    f'"fingerprint":"sha256:{"b" * 64}","layer_count":12,"reference":"example/tiny","revision":"0123abcd",'
    f'"tokenizer_digest":"sha256:{"a" * 64}","widths":{{"attn_out":4,"resid_pre":4}}}},'
    '"norms":{"attn_out.10":10.0,"resid_pre.2":5.0},'
    '"read":{"positions":"all","tokens":[["<s>"," Hochzeitstänze"],["<s>"," "]]},'
    '"residual_norms":{"attn_out.10":12.5,"resid_pre.2":12.5},'
    '"sites":["attn_out","resid_pre"],'
    '"versions":{"torch":"2.13.0","transformers":"5.23.0","vectorstore":"0.1.0"}}'
).encode()


def many_items(size: int) -> tuple[dict[str, str], ...]:
    """Return items of exactly `size` bytes as JSON Lines."""
    empty = len(canonical_bytes({"positive": "", "negative": ""})) + 1
    return ({"positive": "x" * (size - empty), "negative": ""},)


def altered(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    value = json.loads(GOLDEN)
    change(value)
    return value


def test_a_card_has_its_golden_bytes():
    assert canonical_bytes(golden_card().to_json()) == GOLDEN


def test_a_card_reads_back_equal():
    assert Card.from_json(json.loads(GOLDEN)) == golden_card()


def test_the_digest_of_data_is_that_of_its_json_lines():
    assert golden_card().data.digest == digest(b'{"negative":" ","positive":" weddings"}\n')


def test_places_are_in_the_order_of_the_vectors():
    vector = make_vector(range(9, 12))
    _, card = unpack(pack(vector, make_card(vector)))
    assert card.places == vector.places == tuple(Place("resid_pre", layer) for layer in (9, 10, 11))
    assert golden_card().places == (TWO, TEN)


def test_a_card_cannot_change():
    params, card = {"pad": " "}, golden_card()
    method = MethodUse("actadd", "1", params)
    params["pad"] = "x"
    assert method.params == {"pad": " "}
    for mapping in (card.norms, card.residual_norms, card.versions, card.model.widths, card.method.params):
        with pytest.raises(TypeError):
            mapping["x"] = 1  # type: ignore[index]


@pytest.mark.parametrize(("size", "inline"), [(INLINE_ITEMS, True), (INLINE_ITEMS + 1, False)])
def test_items_travel_inside_the_card_up_to_64_kib(size: int, inline: bool):  # noqa: FBT001 - a parameter of the test
    card = make_card(make_vector(), items=many_items(size))
    assert ("items" in card.to_json()["data"]) is inline
    assert (card.data.detached() is None) is inline


def test_detached_items_are_json_lines_with_the_datas_digest():
    data = Data.of("pairs", many_items(INLINE_ITEMS + 1))
    lines = data.detached()
    assert lines is not None
    assert digest(lines) == data.digest
    assert json.loads(lines) == data.items[0]


def test_items_that_are_apart_are_put_back():
    vector = make_vector()
    whole = make_card(vector, items=many_items(INLINE_ITEMS + 1))
    _, card = unpack(pack(vector, whole))
    assert card.data.items is None
    assert (card.data.digest, card.data.count) == (whole.data.digest, 1)
    assert card.data.detached() is None
    assert card.with_items(whole.data.items) == whole


@pytest.mark.parametrize("items", [(), many_items(INLINE_ITEMS), 2 * many_items(INLINE_ITEMS + 1)])
def test_other_items_are_not_put_in_their_place(items: tuple[dict[str, str], ...]):
    whole = make_card(make_vector(), items=many_items(INLINE_ITEMS + 1))
    with pytest.raises(IntegrityError, match="do not match their digest and count"):
        whole.with_items(items)


@pytest.mark.parametrize(
    ("change", "trouble"),
    [
        (lambda card: card.pop("model"), "the card has no model"),
        (lambda card: card["model"].pop("fingerprint"), "model of the card has no fingerprint"),
        (lambda card: card["model"]["widths"].pop("resid_pre"), "widths"),
        (lambda card: card["model"]["widths"].update(resid_mid=4), "widths"),
        (lambda card: card["model"]["widths"].update(resid_pre=0), "widths"),
        (lambda card: card["model"].update(layer_count=True), "layer_count that is not a whole number"),
        (lambda card: card["apply"].update(tokens="every"), "applies to 'every' tokens; known: prompt, generated"),
        (lambda card: card["data"].update(kind="rumours"), "data of kind 'rumours'; kinds: pairs, texts"),
        (lambda card: card["data"].update(digest="../../etc/passwd"), "data digest '../../etc/passwd'"),
        (lambda card: card["data"].update(count=2), "items of the data do not match"),
        (lambda card: card["data"]["items"][0].update(positive=" funerals"), "items of the data do not match"),
        (lambda card: card["read"].update(tokens=[["a", 1]]), "read token that is not text"),
        (lambda card: card["norms"].update({"resid_pre.02": 1.0}), "'resid_pre.02' is not a place"),
        (lambda card: card["norms"].update({"resid_pre.3": 1.0}), "sites and layers differ from its norms"),
        (lambda card: card.update(layers=[2]), "sites and layers differ from its norms"),
        (lambda card: card.update(sites=["resid_pre"]), "sites and layers differ from its norms"),
        (lambda card: card["residual_norms"].update({"resid_pre.3": 1.0}), "residual norm of no direction"),
        (lambda card: card["residual_norms"].update({"resid_pre.2": -1.0}), "residual norm of no direction, or below"),
    ],
)
def test_a_card_that_contradicts_itself_is_refused(change: Callable[[dict[str, Any]], object], trouble: str):
    with pytest.raises(IntegrityError) as caught:
        Card.from_json(altered(change))
    assert trouble in str(caught.value)


@pytest.mark.parametrize("value", [None, [], "card", 1])
def test_a_card_is_an_object(value: object):
    with pytest.raises(IntegrityError, match="the card is not a JSON object"):
        Card.from_json(value)


@settings(deadline=None)
@given(st.sampled_from(sorted(paths(json.loads(GOLDEN)), key=str)), LEAVES)
def test_any_part_of_another_type_is_refused_or_means_the_same_when_written(path: Path, leaf: object):
    try:
        card = Card.from_json(replaced(json.loads(GOLDEN), path, leaf))
    except IntegrityError:
        return
    assert Card.from_json(card.to_json()) == card


@settings(deadline=None)
@given(st.sampled_from(sorted(paths(json.loads(GOLDEN)), key=str)))
def test_any_part_that_is_missing_is_refused_or_means_the_same_when_written(path: Path):
    value = json.loads(GOLDEN)
    parent = value
    for key in path[:-1]:
        parent = parent[key]
    del parent[path[-1]]
    try:
        card = Card.from_json(value)
    except IntegrityError:
        return
    assert Card.from_json(card.to_json()) == card
