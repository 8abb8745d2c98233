"""Contrast pairs: JSON Lines in and out, and errors that name the line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectorstore.canonical import digest
from vectorstore.errors import InvalidInputError, NotFoundError
from vectorstore.items import items_bytes
from vectorstore.pairs import ContrastPair, read_pairs

WEDDINGS = ContrastPair(" weddings", " ")
LOVE = ContrastPair("Je l'ai adoré.", "I hated it.\n")
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
PAIRS = st.builds(ContrastPair, TEXTS.filter(bool), TEXTS)


def lines(*pairs: ContrastPair) -> bytes:
    return items_bytes([pair.to_json() for pair in pairs])


def written(folder: Path, data: bytes) -> Path:
    path = folder / "pairs.jsonl"
    path.write_bytes(data)
    return path


def test_pairs_have_their_golden_bytes():
    assert (
        lines(WEDDINGS, LOVE)
        == (
            '{"negative":" ","positive":" weddings"}\n{"negative":"I hated it.\\n","positive":"Je l\'ai adoré."}\n'
        ).encode()
    )


def test_pairs_have_their_golden_digest():
    assert digest(lines(WEDDINGS, LOVE)) == ("sha256:425c5e9121264fb19699a4a579719ebd8150ebb82d4ccabef3967f7ad773b5fa")


def test_the_order_of_pairs_is_part_of_their_digest():
    assert digest(lines(WEDDINGS, LOVE)) != digest(lines(LOVE, WEDDINGS))


def test_no_items_are_no_bytes():
    assert items_bytes([]) == b""


@given(st.lists(PAIRS, min_size=1, max_size=5))
def test_pairs_read_back_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, pairs: list[ContrastPair]):
    path = written(tmp_path_factory.mktemp("pairs"), lines(*pairs))
    assert read_pairs(path) == tuple(pairs)


@pytest.mark.parametrize(
    "data",
    [
        b'{"positive": "a", "negative": "b"}',
        b'{"negative": "b", "positive": "a"}\n',
        b'\n  \n{"positive": "a", "negative": "b"}\n\n',
        b'{"positive": "a", "negative": "b"}\r\n',
        b'\xef\xbb\xbf{"positive": "a", "negative": "b"}\r\n\r\n',
        b'  {"positive":"\\u0061","negative":"b"}  \n',
    ],
    ids=["no last line break", "other order", "blank lines", "CRLF", "BOM", "spaces and escapes"],
)
def test_files_of_any_editor_are_read(tmp_path: Path, data: bytes):
    assert read_pairs(written(tmp_path, data)) == (ContrastPair("a", "b"),)


def test_a_line_separator_inside_a_prompt_does_not_end_the_line(tmp_path: Path):
    data = '{"positive": "a\u2028b\u0085c", "negative": ""}\n'.encode()
    assert read_pairs(written(tmp_path, data)) == (ContrastPair("a\u2028b\u0085c", ""),)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"weddings", "is not valid JSON (Expecting value at character 1)"),
        (b'{"positive": "a"', "is not valid JSON"),
        (b'{"positive": "a", "positive": "b", "negative": "c"}', "is not valid JSON (key 'positive' occurs twice)"),
        (b'{"positive": "\xff", "negative": "c"}', "is not valid JSON ('utf-8' codec can't decode byte 0xff"),
        (b'{"positive": "\\ud800", "negative": "c"}', "surrogates not allowed"),
        (b"[" * 100_000, "is not valid JSON ("),
        (b'["a", "b"]', "is not a contrast pair"),
        (b'"a"', "is not a contrast pair"),
        (b"null", "is not a contrast pair"),
        (b'{"positive": "a"}', "is not a contrast pair (it has no 'negative')"),
        (
            b'{"positive": "a", "negative": "b", "weight": 1}',
            "is not a contrast pair (it has an unknown part 'weight')",
        ),
        (b'{"positive": "a", "negative": null}', "is not a contrast pair (its negative is not text)"),
        (b'{"positive": ["a"], "negative": "b"}', "is not a contrast pair (its positive is not text)"),
        (b'{"positive": "", "negative": "b"}', ": the positive prompt is empty; say what to steer towards"),
    ],
    ids=lambda value: str(value[:32]),
)
def test_a_line_that_is_no_pair_is_named(tmp_path: Path, line: bytes, problem: str):
    path = written(tmp_path, b'{"positive": "a", "negative": "b"}\n\n' + line + b"\n")
    with pytest.raises(InvalidInputError) as caught:
        read_pairs(path)
    assert str(caught.value).startswith("pairs.jsonl line 3")
    assert problem in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf", b"  \r\n"])
def test_a_file_without_pairs_is_refused_with_an_example(tmp_path: Path, data: bytes):
    with pytest.raises(InvalidInputError, match=r'has no pairs; write lines such as \{"positive": '):
        read_pairs(written(tmp_path, data))


def test_a_missing_file_is_not_found(tmp_path: Path):
    with pytest.raises(NotFoundError, match=r"absent\.jsonl \(No such file or directory\); give a JSON Lines file"):
        read_pairs(tmp_path / "absent.jsonl")


def test_a_folder_is_no_file_of_pairs(tmp_path: Path):
    with pytest.raises(NotFoundError, match=r"\(Is a directory\); give a JSON Lines file"):
        read_pairs(tmp_path)


def test_an_empty_positive_points_nowhere():
    with pytest.raises(InvalidInputError, match="the positive prompt is empty"):
        ContrastPair("", "b")


@pytest.mark.parametrize(("side", "texts"), [("positive", ("\udcff", "b")), ("negative", ("a", "\ud800"))])
def test_text_that_the_shell_could_not_decode_is_refused(side: str, texts: tuple[str, str]):
    with pytest.raises(InvalidInputError, match=rf"the {side} prompt is not valid UTF-8 \(at character 1\)"):
        ContrastPair(*texts)
