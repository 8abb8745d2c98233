"""Where texts are read, alone and in batches, with prompts and chat templates; several methods in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from tests.extract import oracle
from tests.extract.counting import counted_layers
from tests.extract.tiny_tokenizer import BOS, IDS, ids_of, tiny_tokenizer
from tests.tiny_models import ARCHITECTURES, tiny_model
from vectorstore.card import Apply, MethodUse
from vectorstore.codec import pack
from vectorstore.errors import InvalidInputError, MisfitError
from vectorstore.extract import compute, compute_many
from vectorstore.extract.method import Method
from vectorstore.extract.methods import BUILT_IN
from vectorstore.extract.moments import Moments
from vectorstore.extract.positions import (
    ALL,
    AT_INDEX,
    FIRST_K,
    LAST_CONTENT,
    MEAN_ANSWER,
    MEAN_CONTENT,
    MEAN_NONSINK,
    ReadPosition,
)
from vectorstore.extract.prompts import encode_items
from vectorstore.extract.protocols import (
    ActivationMethod,
    Direction,
    Directions,
    ModelMethod,
    MomentMethod,
    PlacesMethod,
    Request,
    Sides,
)
from vectorstore.extract.reading import Reading, batches, prepare, read
from vectorstore.items import Item
from vectorstore.pairs import ContrastPair
from vectorstore.place import Place
from vectorstore.texts import Demonstration, Labelled, Target, Text
from vectorstore.vector import Array

PLACE = Place("resid_pre", 2)
TEXTS = ("I loved every minute of it.", "no", "What a day", "It was so late that nobody came", "So good")
ABOUT: dict[str, Any] = {"version": "1", "summary": "", "source": "", "apply": Apply("all")}


def read_at(
    position: ReadPosition, data: tuple[Item, ...], *, batch_size: int = 8, architecture: str = "llama", **params: Any
) -> dict[Place, Array]:
    model, tokenizer = tiny_model(architecture), tiny_tokenizer()
    request = Request((PLACE, Place("attn_out", 1)), MethodUse("test", "1", params), batch_size)
    return read(model, prepare(model, tokenizer, data, position, request))


def rows_of(text: str, architecture: str = "llama") -> Array:
    return oracle.states(tiny_model(architecture), ids_of(text), 2).numpy()


@pytest.mark.parametrize(
    ("position", "params", "chosen"),
    [
        (MEAN_CONTENT, {}, slice(1, None)),
        (MEAN_NONSINK, {}, slice(1, None)),
        (MEAN_ANSWER, {}, slice(1, None)),
        (LAST_CONTENT, {}, slice(-1, None)),
        (AT_INDEX, {"index": -2}, slice(-2, -1)),
        (AT_INDEX, {"index": 0}, slice(1, 2)),
        (FIRST_K, {"first": 3}, slice(1, 4)),
        (FIRST_K, {"first": 99}, slice(1, None)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_it_reads_the_tokens_it_says(position: ReadPosition, params: dict[str, int], chosen: slice):
    read_rows = read_at(position, tuple(map(Text, TEXTS)), batch_size=2, **params)[PLACE]
    for text, row in zip(TEXTS, read_rows, strict=True):
        np.testing.assert_allclose(row, rows_of(text)[chosen].mean(axis=0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_is_read_of_a_text_does_not_depend_on_its_batch(architecture: str):
    data = tuple(map(Text, TEXTS))
    for position in (MEAN_CONTENT, LAST_CONTENT):
        together, alone = (read_at(position, data, batch_size=size, architecture=architecture) for size in (5, 1))
        for place, rows in together.items():
            np.testing.assert_allclose(rows, alone[place], rtol=0, atol=1e-5 * float(np.abs(rows).max()))


def test_the_answer_begins_after_the_prompt():
    read_rows = read_at(MEAN_ANSWER, (ContrastPair("yes", "no way", "Is it so. "), ContrastPair("yes", "no")))[PLACE]
    texts = (("Is it so. yes", 11), ("Is it so. no way", 11), ("yes", 1), ("no", 1))
    for (text, start), row in zip(texts, read_rows, strict=True):
        np.testing.assert_allclose(row, rows_of(text)[start:].mean(axis=0), rtol=0, atol=1e-5)


def test_a_token_that_spans_prompt_and_answer_is_the_answers():
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["so good"])
    (prompt,) = encode_items(tokenizer, [Target("good", "It is so ")], {})
    assert prompt.ids == (*ids_of("It is "), len(tokenizer) - 1)
    assert prompt.answer == len(prompt.ids) - 1


def test_in_a_chat_the_prompt_is_the_users_turn_and_the_text_the_answer():
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }} {{ m.content }}.{% endfor %} assistant "
    pair, alone = encode_items(tokenizer, [Text("fine", prompt="How are you"), Text("hi")], {"chat": True})
    assert pair.ids == tuple(ids_of("user How are you. assistant fine"))
    assert pair.answer == len(pair.ids) - 4
    assert alone.ids == tuple(ids_of("user hi. assistant "))
    assert alone.answer == alone.first == 1


def test_a_chat_is_recorded_and_needs_a_template():
    tokenizer = tiny_tokenizer()
    data, settings = [ContrastPair("good", "bad", "How is it")], {"layer": 1, "method": "mean_difference"}
    with pytest.raises(InvalidInputError, match="no chat template; leave --chat out"):
        compute(tiny_model(), tokenizer, data, params={"chat": True}, **settings)
    tokenizer.chat_template = "{% for m in messages %}{{ m.role }} {{ m.content }}.{% endfor %} assistant "
    _, card = compute(tiny_model(), tokenizer, data, params={"chat": True}, **settings)
    assert card.method.params == {"read": "mean_content", "chat": True}
    assert "".join(card.read.tokens[0]) == "user How is it. assistant good"
    assert compute(tiny_model(), tokenizer, data, **settings)[1].method.params == {"read": "mean_content"}


def test_sinks_are_left_out_by_the_norm_of_the_residual_stream_also_at_other_sites():
    model, tokenizer = tiny_model(), tiny_tokenizer()
    with torch.no_grad():
        model.get_input_embeddings().weight[IDS["q"]] *= 1e3
    use, places = MethodUse("test", "1"), (Place("resid_pre", 0), Place("attn_out", 0))
    for position, where in ((MEAN_NONSINK, [1, 3]), (MEAN_CONTENT, [1, 2, 3])):
        reading = prepare(model, tokenizer, [Text("aqb")], position, Request(places, use))
        every = prepare(model, tokenizer, [Text("aqb")], ALL, Request(places, MethodUse("t", "1", {"pad_token": " "})))
        rows, whole = read(model, reading), read(model, every)
        for place in places:
            np.testing.assert_allclose(rows[place][0], whole[place][0][where].mean(axis=0), rtol=1e-5, atol=1e-6)
    with pytest.raises(InvalidInputError, match=r"text 2 has nothing but attention sinks at resid_pre\.0"):
        read(model, prepare(model, tokenizer, [Text("ab"), Text("q")], MEAN_NONSINK, Request(places, use)))


@pytest.mark.parametrize("index", [5, -5])
def test_a_token_that_is_not_there_is_refused(index: int):
    with pytest.raises(InvalidInputError, match="text 1 has no token to read at at_index; write a longer one"):
        read_at(AT_INDEX, (Text("abcd"),), index=index)


def test_a_setting_of_another_read_position_is_refused():
    with pytest.raises(InvalidInputError, match="index is given, and mean_difference does not read there"):
        BUILT_IN["mean_difference"].use({"index": -1}, 0)


def test_items_know_their_side_and_texts_with_one_prompt_their_group():
    labelled = [Labelled("a", "true", "Q"), Labelled("b", "false", "Q"), Labelled("c", "true", "R"), Labelled("d", "x")]
    prompts = encode_items(tiny_tokenizer(), labelled, {"positive_label": "true"})
    assert [prompt.positive for prompt in prompts] == [True, False, True, False]
    assert [prompt.group for prompt in prompts] == [0, 0, 1, 2]
    shown = encode_items(tiny_tokenizer(), [Demonstration("a", "b")], {})
    assert [(prompt.positive, prompt.what) for prompt in shown] == [
        (False, "the input prompt of demonstration 1"),
        (True, "the output prompt of demonstration 1"),
    ]


def test_moments_are_those_of_all_rows_whatever_the_batches():
    rows = np.random.default_rng(0).normal(3, 2, (50, 6)).astype(np.float32)
    moments = Moments(scatter=True)
    for start in range(0, 50, 7):
        moments.add(rows[start : start + 7])
    np.testing.assert_allclose(moments.mean, rows.astype(np.float64).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.covariance, np.cov(rows.T.astype(np.float64), bias=True), rtol=1e-9)


def _at_places(sides: Mapping[Place, Sides], _use: MethodUse) -> Directions:
    seen.append(dict(sides))
    best = max(sides, key=lambda place: place.layer)
    both = sides[best]
    mean = both.negative.mean(axis=0)
    return {best: Direction(both.positive.mean(axis=0) - mean, reference=mean, figures={"accuracy": 0.75})}


seen: list[dict[Place, Sides]] = []
CHOOSING = PlacesMethod(
    name="choosing", data="labelled", sites=("head_out",), reads=(LAST_CONTENT,), directions=_at_places, **ABOUT
)
ROWS = ActivationMethod(
    name="rows", reads=(MEAN_CONTENT,), direction=lambda one, two, _use: (one - two).mean(axis=0), **ABOUT
)
SPREAD = MomentMethod(
    name="spread",
    reads=(MEAN_CONTENT,),
    scatter=True,
    direction=lambda one, two, _use: one.mean - two.mean + np.diag(one.covariance),
    **ABOUT,
)


def _apart(model: Any, tokenizer: Any, data: Any, request: Request) -> Directions:
    reading: Reading = prepare(model, tokenizer, data, MEAN_CONTENT, request)
    moments = Moments()
    for before, after in zip(batches(model, reading), batches(request.other, reading), strict=True):
        assert before.indices == after.indices
        moments.add(after.rows[request.places[0]] - before.rows[request.places[0]])
    return {request.places[0]: moments.mean}


APART = ModelMethod(name="apart", data="texts", compares=True, one_sided=True, run=_apart, **ABOUT)


@pytest.fixture
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    for method in (CHOOSING, ROWS, SPREAD, APART):
        monkeypatch.setitem(BUILT_IN, method.name, method)


LABELLED = [Labelled("yes", "true", "Q "), Labelled("no", "false", "Q "), Labelled("yes", "true", "R ")]
PAIRS = [ContrastPair("I loved it.", "I hated it."), ContrastPair("So good", "So very bad")]


@pytest.mark.usefixtures("_known")
def test_a_method_may_choose_among_places_and_give_references_and_figures():
    seen.clear()
    vector, card = compute(tiny_model("qwen3"), tiny_tokenizer(), LABELLED, layer=[0, 2], method="choosing")
    assert vector.places == (Place("head_out", 2),)
    assert vector.references.keys() == vector.directions.keys()
    assert card.figures == {Place("head_out", 2): {"accuracy": 0.75}}
    assert card.method.params == {"positive_label": "true", "layers_asked": [0, 2]}
    both = seen[0][Place("head_out", 0)]
    assert (both.positive.shape, both.negative.shape, both.heads) == ((2, 64), (1, 64), 4)
    assert (both.positive_groups.tolist(), both.negative_groups.tolist()) == ([0, 1], [0])
    assert pack(vector, card)


@pytest.mark.usefixtures("_known")
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"site": "resid_pre"}, "choosing does not work at resid_pre; choose head_out"),
        ({"params": {"positive_label": "yes"}}, "no text is yes, and choosing needs some"),
        ({"data": LABELLED[:1]}, "every text is true, and choosing needs others to compare with"),
        ({"data": PAIRS}, "choosing takes labelled, and item 1 is a ContrastPair"),
        ({"other": tiny_model()}, "choosing takes one model, and two are given"),
    ],
)
def test_what_a_method_does_not_take_is_refused_before_the_model_runs(settings: dict[str, Any], said: str):
    model = tiny_model()
    with counted_layers(model) as ran, pytest.raises(InvalidInputError, match=said):
        compute(model, tiny_tokenizer(), **{"data": LABELLED, "layer": 1, "method": "choosing"} | settings)
    assert ran == []


@pytest.mark.usefixtures("_known")
def test_methods_that_read_alike_share_one_pass_and_find_what_each_finds_alone():
    model, tokenizer = tiny_model(), tiny_tokenizer()
    last = ("mean_difference", {"read": "last_content"})
    settings: dict[str, Any] = {"layer": [1, 2]}
    alone = [
        compute(model, tokenizer, PAIRS, method=name, params=params, **settings)
        for name, params in (("rows", {}), ("spread", {}), ("mean_difference", {}), last)
    ]
    with counted_layers(model) as ran:
        together = compute_many(
            model, tokenizer, PAIRS, methods=["rows", "spread", "mean_difference", last], **settings
        )
    assert ran == [0, 1] * 2  # one pass for three methods, and one for the other read position
    for (vector, card), (expected, expected_card) in zip(together, alone, strict=True):
        assert card.method == expected_card.method
        for place, direction in expected.directions.items():
            np.testing.assert_allclose(vector.directions[place], direction, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("_known")
def test_two_models_are_compared_and_the_card_says_which():
    model, other, texts = tiny_model(), tiny_model(), [Text("I loved it."), Text("So good")]
    shift = torch.linspace(-1, 1, 32)
    other.model.layers[1].mlp.down_proj.bias = torch.nn.Parameter(shift)
    vector, card = compute(model, tiny_tokenizer(), texts, layer=2, method="apart", other=other)
    np.testing.assert_allclose(vector.directions[PLACE], shift.numpy(), rtol=0, atol=1e-5)
    assert card.method.params["other"]["reference"]
    with pytest.raises(InvalidInputError, match=r"apart compares two models, and one is given; .*--other REF"):
        compute(model, tiny_tokenizer(), texts, layer=2, method="apart")
    with pytest.raises(MisfitError, match="another architecture, shape or vocabulary"):
        compute(model, tiny_tokenizer(), texts, layer=2, method="apart", other=tiny_model("gpt2"))


def test_a_method_that_cannot_be_is_refused():
    with pytest.raises(InvalidInputError, match="odd takes data 'images'; choose pairs, texts"):
        Method(name="odd", data="images", **ABOUT)
    with pytest.raises(InvalidInputError, match="odd reads by token, which has no moments"):
        MomentMethod(name="odd", reads=(ALL,), direction=lambda one, _two, _use: one.mean, **ABOUT)


def test_more_items_than_a_method_takes_are_refused():
    method = Method(name="single", max_items=1, **ABOUT)
    with pytest.raises(InvalidInputError, match=r"single takes 1 contrast pair, and there are 2.*compose them with \+"):
        method.check_data(PAIRS, method.use({}, 0))


def test_read_by_token_the_texts_of_an_item_have_one_length_and_lack_the_rows_of_longer_items():
    data = (ContrastPair("abc", "d"), ContrastPair("e", "f"))
    rows = read_at(ALL, data, pad_token=" ")[PLACE]  # noqa: S106 - a space
    for row, (text, count) in zip(rows, (("abc", 4), ("d  ", 4), ("e", 2), ("f", 2)), strict=True):
        np.testing.assert_allclose(row[:count], rows_of(text), rtol=0, atol=1e-6)
        assert not row[count:].any()


def test_bos_is_never_content():
    (prompt,) = encode_items(tiny_tokenizer(), [Text("a")], {})
    assert (prompt.ids[0], prompt.first) == (BOS, 1)
