"""A plain call puts BOS first, once, and nothing after the text."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import pre_tokenizers
from tokenizers.processors import BertProcessing, ByteLevel, PostProcessor, RobertaProcessing, TemplateProcessing
from tokenizers.processors import Sequence as Processors
from transformers import AutoTokenizer

from tests.models.tokenizers_for_tests import fast, slow
from vectorstore.errors import InvalidInputError
from vectorstore.models.tokenizer import encode, first_id, leading_ids, prepare, require_bos, token_ids


def test_bos_is_put_first_where_the_tokenizer_has_none():
    tokenizer = fast("<s>", bos="<s>")
    assert first_id(tokenizer) is None
    prepare(tokenizer)
    assert tokenizer("hello there")["input_ids"] == [0, 6, 7]
    assert first_id(tokenizer) == 0


def test_bos_is_not_put_first_twice():
    tokenizer = fast("<s>", bos="<s>", template="<s> $A")
    prepare(tokenizer)
    prepare(tokenizer)
    assert tokenizer("hello there")["input_ids"] == [0, 6, 7]


def test_what_the_tokenizer_appends_is_left_out():
    tokenizer = fast("<s>", "</s>", bos="<s>", eos="</s>", template="$A </s>")
    prepare(tokenizer)
    assert tokenizer("hello there")["input_ids"] == [0, 7, 8]


@pytest.mark.parametrize(
    "processor",
    [
        TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 1)]),
        BertProcessing(("</s>", 1), ("<s>", 0)),
        RobertaProcessing(("</s>", 1), ("<s>", 0)),
        Processors([ByteLevel(trim_offsets=False), BertProcessing(("</s>", 1), ("<s>", 0))]),
    ],
    ids=["template", "BERT", "RoBERTa", "after byte-level offsets"],
)
def test_bos_stays_and_the_end_goes_whatever_puts_them_there(processor: PostProcessor):
    tokenizer = fast("<s>", "</s>", bos="<s>", eos="</s>")
    tokenizer.backend_tokenizer.post_processor = processor
    assert token_ids(tokenizer, ["hello there"]) == [(0, 7, 8)]
    prepare(tokenizer)
    assert tokenizer("hello there")["input_ids"] == [0, 7, 8]
    assert tokenizer("hello", "there")["input_ids"] == [0, 7, 8]


@pytest.mark.parametrize(("trim", "start"), [(True, 6), (False, 5)])
def test_byte_level_offsets_stay_as_they_were(*, trim: bool, start: int):
    tokenizer = fast("<s>", "</s>", bos="<s>", eos="</s>", words=("Ġthere", "hello"))
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    processor = RobertaProcessing(("</s>", 1), ("<s>", 0), trim_offsets=trim, add_prefix_space=False)
    tokenizer.backend_tokenizer.post_processor = processor
    prepare(tokenizer)
    assert tokenizer("hello there", return_offsets_mapping=True)["offset_mapping"] == [(0, 0), (0, 5), (start, 11)]


def test_two_tokens_of_its_own_before_a_text_both_stay():
    tokenizer = fast("[gMASK]", "<sop>", "</s>", template="[gMASK] <sop> $A </s>")
    prepare(tokenizer)
    assert tokenizer("hello")["input_ids"] == [0, 1, 8]
    assert leading_ids(tokenizer) == (0, 1)
    assert token_ids(tokenizer, ["[gMASK] <sop> hello", "[gMASK] hello"]) == [(0, 1, 8), (0, 1, 8)]


def test_another_first_token_of_its_own_stays_the_only_one():
    tokenizer = fast("[CLS]", "<s>", bos="<s>", template="[CLS] $A")
    prepare(tokenizer)
    assert tokenizer("hello")["input_ids"] == [0, 7]
    assert first_id(tokenizer) == 0


def test_a_marker_of_chat_turns_before_every_text_gives_way_to_the_beginning_of_a_text():
    tokenizer = fast("<|im_start|>", "<|endoftext|>", bos="<|im_start|>", template="<|im_start|> $A")
    prepare(tokenizer)
    assert tokenizer("hello")["input_ids"] == [1, 7]


@pytest.mark.parametrize(
    ("specials", "names", "expected"),
    [
        (("<s>", "</s>"), {"bos": "<s>", "eos": "</s>"}, "<s>"),
        (("</s>",), {"eos": "</s>"}, "</s>"),
        (("<|endoftext|>", "<|im_end|>"), {"eos": "<|im_end|>"}, "<|endoftext|>"),
        (("<|im_start|>", "<|endoftext|>"), {"bos": "<|im_start|>"}, "<|endoftext|>"),
        (("<|im_start|>",), {"bos": "<|im_start|>"}, "<|im_start|>"),
    ],
    ids=["its own", "end as in GPT-2", "Qwen", "SmolLM2", "nothing better"],
)
def test_the_first_token_is_the_beginning_of_a_text(specials, names, expected):
    tokenizer = fast(*specials, **names)
    prepare(tokenizer)
    assert first_id(tokenizer) == specials.index(expected)


def test_without_any_such_token_none_is_put_first():
    tokenizer = fast()
    prepare(tokenizer)
    assert first_id(tokenizer) is None
    assert tokenizer("hello")["input_ids"] == [5]


def test_a_text_may_be_empty_or_come_without_special_tokens():
    tokenizer = fast("<s>", bos="<s>")
    prepare(tokenizer)
    assert tokenizer("")["input_ids"] == [0]
    assert tokenizer("hello", add_special_tokens=False)["input_ids"] == [6]


def test_a_slow_tokenizer_puts_bos_first_too(tmp_path: Path):
    tokenizer = slow(tmp_path)
    assert first_id(tokenizer) is None
    prepare(tokenizer)
    assert first_id(tokenizer) == 1
    rows = tokenizer(["a", "a a a"])
    assert [row.count(1) for row in rows["input_ids"]] == [1, 1]


def test_rows_are_padded_on_the_left_with_the_end_token():
    tokenizer = fast("<s>", "</s>", bos="<s>", eos="</s>")
    prepare(tokenizer)
    rows = tokenizer(["hello", "hello there a"], padding=True)
    assert rows["input_ids"] == [[1, 1, 0, 7], [0, 7, 8, 3]]
    assert rows["attention_mask"] == [[0, 0, 1, 1], [1, 1, 1, 1]]
    assert set(rows) == {"input_ids", "attention_mask"}


def test_a_padding_token_of_its_own_stays():
    tokenizer = fast("<s>", "<pad>", bos="<s>", pad="<pad>")
    prepare(tokenizer)
    assert tokenizer.pad_token == "<pad>"  # noqa: S105 - no password


def test_bos_comes_once_where_a_text_brings_its_own():
    tokenizer = fast("<s>", bos="<s>")
    prepare(tokenizer)
    texts = ["<s> hello there", "hello there", " <s> hello there", "\n<s>hello there"]
    assert encode(tokenizer, texts)["input_ids"].tolist() == [[0, 6, 7]] * 4
    assert token_ids(tokenizer, texts) == [(0, 6, 7)] * 4


def test_bos_is_not_missing_where_a_text_begins_with_an_unknown_word_that_has_its_id():
    tokenizer = fast("<s>", bos="<s>", unk="<s>", template="<s> $A")
    tokenizer.backend_tokenizer.model.unk_token = "<s>"  # noqa: S105 - no password
    assert token_ids(tokenizer, ["unheard hello"]) == [(0, 0, 6)]


def test_bos_is_not_missing_where_its_characters_are_plain_text():
    tokenizer = fast("<s>", bos="<s>", template="<s> $A")
    tokenizer.split_special_tokens = True
    rows = token_ids(tokenizer, ["<s> hello", "hello"])
    assert [row[0] for row in rows] == [0, 0]


def test_texts_of_different_length_are_padded_on_the_left_without_any_special_token():
    tokenizer = fast()
    rows = encode(tokenizer, ["hello", "hello there a"])
    assert rows["input_ids"].tolist() == [[0, 0, 5], [5, 6, 1]]
    assert rows["attention_mask"].tolist() == [[0, 0, 1], [1, 1, 1]]
    assert encode(tokenizer, ["hello"])["attention_mask"].tolist() == [[1]]


def test_a_tokenizer_without_bos_is_refused_where_it_has_one_to_put_first():
    tokenizer = fast("<s>", bos="<s>")
    with pytest.raises(
        InvalidInputError, match=r"does not put BOS first; call .*prepare\(tokenizer\), or .*load_model"
    ):
        require_bos(tokenizer)
    prepare(tokenizer)
    require_bos(tokenizer)
    require_bos(fast())


def test_a_chat_template_goes_on_working():
    tokenizer = fast("<s>", bos="<s>")
    tokenizer.chat_template = "{% for m in messages %}<s> {{ m.content }}{% endfor %}"
    prepare(tokenizer)
    chat = [{"role": "user", "content": "hello there"}]
    assert tokenizer.apply_chat_template(chat, tokenize=False) == "<s> hello there"
    assert tokenizer.apply_chat_template(chat, return_dict=True)["input_ids"] == [0, 6, 7]


def test_a_saved_tokenizer_keeps_one_bos(tmp_path: Path):
    tokenizer = fast("<s>", bos="<s>")
    prepare(tokenizer)
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    prepare(again)
    assert again("hello")["input_ids"] == [0, 6]
