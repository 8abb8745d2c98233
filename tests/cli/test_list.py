"""`steer list` and `steer history`: filters, orders and pages, through the command line."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.blank import blank
from tests.builders import make_card, make_vector
from tests.cli.steering import Steer
from vectorstore.store import Store


@pytest.fixture
def library(steer: Steer) -> Steer:
    """Have `calm` on layer 2, `joy` on layers 2 and 3 and of Ada, and `awe` at another site."""
    with Store.open(blank(steer.home / "library.db"), blobs=str(steer.home / "blobs")) as store:
        for name, vector, authors in (
            ("calm", make_vector(2, seed=1), ()),
            ("joy", make_vector([2, 3], seed=2), ("Ada",)),
            ("awe", make_vector(3, seed=3, site="mlp_out"), ()),
        ):
            store.save(name, vector, make_card(vector), authors=authors)
    return steer


def names(library: Steer, *options: str) -> list[str]:
    return [version["name"] for version in library.ok("list", *options)["versions"]]


def test_a_list_has_filters_and_orders(library: Steer):
    assert names(library) == ["awe", "joy", "calm"]
    assert names(library, "--sort", "oldest") == ["calm", "joy", "awe"]
    assert names(library, "--sort", "name") == ["awe", "calm", "joy"]
    assert names(library, "--layer", "2") == ["joy", "calm"]
    assert names(library, "--site", "mlp_out") == ["awe"]
    assert names(library, "--layer", "2", "--site", "mlp_out") == []
    assert names(library, "--author", "Ada") == ["joy"]
    assert names(library, "--author", "Ada", "--layer", "3", "--sort", "name") == ["joy"]


def test_a_cursor_goes_on_where_the_page_ended_and_in_no_other_order(library: Steer):
    first = library.ok("list", "--sort", "name", "--limit", "2")
    assert first["cursor"] == "name:default/calm"
    assert names(library, "--sort", "name", "--after", first["cursor"]) == ["joy"]
    assert "give the cursor of the page before: newest:" in library.fails(2, "list", "--after", first["cursor"])
    assert "is not a cursor" in library.fails(2, "list", "--after", "newest:many")
    assert library("list", "--limit", "2").err == "note: there are more: add --after newest:2\n"


def test_a_list_waits_neither_for_numpy_nor_for_the_orm(library: Steer):
    look = (
        "import sys; from cli.main import main\n"
        "try: main(['list'])\n"
        "finally: print(*({'numpy', 'sqlalchemy.orm', 'rich', 'alembic', 'torch'} & set(sys.modules)), file=sys.stderr)"
    )
    environment = {**os.environ, "STEER_HOME": str(library.home)}
    done = subprocess.run([sys.executable, "-c", look], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "calm@1" in done.stdout
    assert done.stderr == "\n"
