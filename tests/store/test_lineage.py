"""Lineage: what a version is made of, and what uses it."""

from __future__ import annotations

from tests.builders import make_card, make_vector
from vectorstore.compose import pin
from vectorstore.store import Store
from vectorstore.store.lineage import MAX_DEPTH, Node, lineage


def shape(nodes: tuple[Node, ...]) -> list[object]:
    return [(node.reference, node.relation, shape(node.nodes)) for node in nodes]


def save(store: Store, name: str, seed: int, parents: tuple[str, ...] = ()) -> str:
    vector = make_vector(3, seed=seed)
    return store.save(name, vector, make_card(vector), parents=parents).version.digest


def test_both_directions_of_a_nested_recipe_and_a_saved_result(store: Store):
    love, _ = save(store, "love", 0), save(store, "calm", 1)
    store.save_recipe("mix", pin(store, "love + 2*calm"))
    store.save_recipe("party", pin(store, "mix + love"))
    save(store, "made", 2, (love,))
    down = lineage(store, "party")
    mix = ("mix@1", "term", [("love@1", "term", []), ("calm@1", "term", [])])
    assert shape(down.made_of) == [("love@1", "term", []), mix]
    assert down.used_by == ()
    up = lineage(store, "love@1")
    assert {node.reference for node in up.used_by} == {"mix@1", "party@1", "made@1"}
    assert {node.relation for node in up.used_by} == {"term", "parent"}
    assert up.complete
    assert lineage(store, "made").to_json()["made_of"][0]["reference"] == "love@1"


def test_a_version_in_many_places_is_opened_once(store: Store):
    save(store, "love", 0)
    store.save_recipe("r0", pin(store, "2*love"))
    store.save_recipe("r1", pin(store, "3*love"))
    for number in range(2, 30):  # as many paths as Fibonacci's numbers
        store.save_recipe(f"r{number}", pin(store, f"r{number - 1} + r{number - 2} + love"))
    found = lineage(store, "r29")
    assert found.complete
    text = str(found.to_json())
    assert text.count("'nodes'") < 100
    assert "'repeated': True" in text


def test_a_name_that_many_use_is_cut_off_and_says_so(store: Store, monkeypatch):
    monkeypatch.setattr("vectorstore.store.lineage.MAX_NODES", 5)
    save(store, "love", 0)
    for number in range(9):
        store.save_recipe(f"mix{number}", pin(store, f"{number + 2}*love"))
    found = lineage(store, "love")
    assert not found.complete
    assert len(found.used_by) <= 5


def test_a_long_chain_is_cut_off_and_says_so_however_short_the_way_to_its_end(store: Store):
    first = last = save(store, "love", 0)
    for seed in range(1, MAX_DEPTH + 8):
        last = save(store, "love", seed, tuple({first: None, last: None}))
    found = lineage(store, "love@1")
    nodes, depth = found.used_by, 0
    while nodes:
        nodes, depth = nodes[0].nodes, depth + 1
    assert (depth, found.complete) == (MAX_DEPTH, False)
    assert len(found.used_by) == MAX_DEPTH + 7
