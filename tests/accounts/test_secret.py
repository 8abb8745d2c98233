"""Secrets: their shape, their checksum, and where they never show."""

from __future__ import annotations

import hashlib
import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectorstore.accounts.secret import new_secret, split
from vectorstore.errors import NotAllowedError, NotAuthenticatedError


def test_a_token_has_a_public_part_a_secret_and_a_checksum():
    made = new_secret()
    found = re.fullmatch(r"(stv_([0-9A-Za-z]{12})_([0-9A-Za-z]{44}))_([0-9a-f]{8})", made.text)
    assert found is not None
    assert found[2] == made.id
    assert int(found[4], 16) == zlib.crc32(found[1].encode())
    assert made.hash == hashlib.sha256(made.text.encode()).hexdigest()
    assert split(made.text) == (made.id, made.hash)


def test_tokens_differ_in_both_parts():
    made = [new_secret() for _ in range(200)]
    assert len({secret.id for secret in made}) == len({secret.text.split("_")[2] for secret in made}) == 200


def test_a_secret_is_not_in_its_repr():
    made = new_secret()
    assert made.text not in repr(made)
    assert made.hash not in repr(made)


@given(st.integers(0, 69), st.characters(codec="utf-8"))
def test_one_letter_changed_is_refused(at: int, letter: str):
    text = new_secret().text
    changed = text[:at] + letter + text[at + 1 :]
    if changed != text:
        with pytest.raises(NotAuthenticatedError, match="this is no token"):
            split(changed)


@given(st.text())
def test_any_other_text_is_refused_without_being_repeated(text: str):
    with pytest.raises(NotAllowedError) as caught:
        split(text)
    assert str(caught.value) == "this is no token; copy all of it: stv_…, as it was shown when it was made"
