"""A plain call puts BOS first, once."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from tests.models.tokenizers_for_tests import fast, slow
from vectorstore.models.tokenizer import encode, first_id, prepare


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


def test_what_the_tokenizer_appends_stays():
    tokenizer = fast("<s>", "</s>", bos="<s>", eos="</s>", template="$A </s>")
    prepare(tokenizer)
    assert tokenizer("hello there")["input_ids"] == [0, 7, 8, 1]


def test_another_first_token_of_its_own_stays_the_only_one():
    tokenizer = fast("[CLS]", "<s>", bos="<s>", template="[CLS] $A")
    prepare(tokenizer)
    assert tokenizer("hello")["input_ids"] == [0, 7]
    assert first_id(tokenizer) == 0


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


def test_encode_never_doubles_the_bos_that_a_text_brings():
    tokenizer = fast("<s>", bos="<s>")
    prepare(tokenizer)
    rows = encode(tokenizer, ["<s> hello there", "hello there"])
    assert rows["input_ids"].tolist() == [[0, 6, 7], [0, 6, 7]]


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
