"""When a token was last used is kept, and nothing is saved where users and tokens are told of."""

from __future__ import annotations

import pytest

from tests.builders import make_card, make_vector
from tests.service.conftest import Service
from vectorstore.accounts.system import SYSTEM
from vectorstore.accounts.tokens import list_tokens
from vectorstore.errors import NotAllowedError, UnavailableError
from vectorstore.service import uses
from vectorstore.store import Store


def test_a_token_that_was_used_says_when(service: Service):
    reader = service.person("rita")
    assert [token.last_used_at for token in list_tokens(service.store, "rita")] == [None]
    assert reader.get("/v1/me").status_code == 200
    (used,) = list_tokens(service.store, "rita")
    assert used.last_used_at is not None
    assert reader.get("/v1/me").status_code == 200
    assert list_tokens(service.store, "rita") == [used]  # within a minute, once


def test_a_use_that_cannot_be_kept_fails_no_request(service: Service, monkeypatch: pytest.MonkeyPatch):
    def away(*_: object) -> None:
        raise UnavailableError("the database is away")

    reader = service.person("rita")
    monkeypatch.setattr(uses, "note_use", away)
    assert reader.get("/v1/me").status_code == 200


def test_nothing_is_saved_in_the_reserved_namespace(store: Store):
    vector = make_vector()
    with pytest.raises(NotAllowedError, match=f"nobody writes to '{SYSTEM}'"):
        store.save(f"{SYSTEM}/love", vector, make_card(vector))
