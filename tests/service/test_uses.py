"""When a token was last used is kept, and nothing is saved where users and tokens are told of."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from tests.builders import make_card, make_vector
from tests.service.conftest import Service
from vectorstore.accounts.system import SYSTEM
from vectorstore.accounts.tokens import list_tokens
from vectorstore.errors import NotAllowedError
from vectorstore.store import Store


def test_a_token_that_was_used_says_when(service: Service):
    reader = service.person("rita")
    assert [token.last_used_at for token in list_tokens(service.store, "rita")] == [None]
    assert reader.get("/v1/me").status_code == 200
    (used,) = list_tokens(service.store, "rita")
    assert used.last_used_at is not None
    assert reader.get("/v1/me").status_code == 200
    assert list_tokens(service.store, "rita") == [used]  # within a minute, once


def test_a_use_that_cannot_be_kept_fails_no_request(service: Service, backend: str):
    reader = service.person("rita")
    with service.store.database.write() as session:
        if backend == "sqlite":
            no = "BEFORE UPDATE ON tokens BEGIN SELECT RAISE(ABORT, 'no'); END"
            session.execute(text(f"CREATE TRIGGER no_uses {no}"))
        else:
            session.execute(text("ALTER TABLE tokens ADD CONSTRAINT no_uses CHECK (last_used_at IS NULL) NOT VALID"))
    assert reader.get("/v1/me").status_code == 200
    assert [token.last_used_at for token in list_tokens(service.store, "rita")] == [None]


def test_nothing_is_saved_in_the_reserved_namespace(store: Store):
    vector = make_vector()
    with pytest.raises(NotAllowedError, match=f"nobody writes to '{SYSTEM}'"):
        store.save(f"{SYSTEM}/love", vector, make_card(vector))
