"""A service whose library holds versions that contradict themselves: nobody takes one from it."""

from __future__ import annotations

import pytest

from tests.client.made import contents, saved
from tests.lies import CARD, LIES, VECTOR, card, tell, told
from vectorstore.client.library import Library
from vectorstore.client.pull import pull
from vectorstore.client.sync import sync
from vectorstore.errors import IntegrityError
from vectorstore.store import Store
from vectorstore.store.upkeep.fsck import check

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


def test_what_is_made_alike_and_tells_the_truth_comes_in(library: Library, mine: Store, store: Store):
    tell(store, told(card(lambda _: None)), "team/lie")
    sync(library, mine, "team")
    assert mine.read("team/lie@1") == (VECTOR, CARD)


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_not_pulled(library: Library, mine: Store, store: Store, lie: str):
    tell(store, LIES[lie], "team/lie")
    with pytest.raises(IntegrityError):
        pull(library, mine, [library.resolve("team/lie")])
    assert mine.list().versions == ()
    assert check(mine, full=True).problems == []


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_not_followed(library: Library, mine: Store, store: Store, lie: str):
    saved(store, "team/love")
    tell(store, LIES[lie], "team/lie")
    with pytest.raises(IntegrityError):
        sync(library, mine, "team")
    assert "team/lie@1" not in contents(mine)
    assert {version.name for version in mine.list().versions} <= {"love"}
    assert check(mine, full=True).problems == []
