"""`steer compose`: what people and programs see of a plan, and what is saved of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from tests.blank import blank
from tests.cli.steering import Steer
from tests.compose.flat import fill_flat, save
from vectorstore.store import Store
from vectorstore.store.schema import LineageRow, VersionRow


@pytest.fixture
def flat(steer: Steer) -> Steer:
    """Fill the library with vectors of width 2."""
    with open_library(steer.home) as store:
        fill_flat(store)
        save(store, "tuned", [1, 1], seed=7)
    return steer


def open_library(home: Path) -> Store:
    """Open, or make, the program's library."""
    return Store.open(blank(home / "library.db"), blobs=str(home / "blobs"))


def test_steps_are_shown_in_order_with_what_a_gate_opens_below_it(flat: Steer):
    out = flat("compose", "clamp(north, 1.5) then gate(east, 2, ablate(up)) then 2*normalize(east)").out
    assert "what is done, in order" in out
    table = out[out.index("what is done") :].splitlines()[3:7]
    assert [line[: line.index("resid_pre")].strip() for line in table] == ["clamp 1.5", "gate > 2", "ablate", "add"]
    assert table[2].index("ablate") > table[3].index("add")
    assert "normalize(east@1)" in out


def test_a_plan_of_additions_needs_no_column_of_steps(flat: Steer):
    out = flat("compose", "east + north").out
    assert "what is added" in out
    assert "step" not in out


def test_programs_get_operators_numbers_and_terms(flat: Steer):
    document = flat.ok("compose", "clamp(north, 1.5) then gate(east, 2, ablate(up)) then 2*normalize(0.5r*east)")
    clamp, gate, add = document["steps"]
    assert (clamp["operator"], clamp["params"], clamp["norm"], clamp["residual_norm"]) == (
        "clamp",
        {"value": 1.5},
        1.5,
        20,
    )
    assert (gate["operator"], gate["params"], gate["inner"]["operator"]) == ("gate", {"threshold": 2}, "ablate")
    assert (add["norm"], add["ratio"], add["terms"]) == (2, 0.1, ["normalize(0.5r*east@1)"])
    term = document["terms"][-1]
    assert [version["version"] for version in term["versions"]] == ["default/east@1"]
    assert term["factors"] == {"resid_pre.3": {"raw": 2.0, "r": pytest.approx(0.1)}}


def test_where_no_card_knows_r_it_is_empty(flat: Steer):
    (step,) = flat.ok("compose", "at(east, 5, resid_post)")["steps"]
    assert (step["norm"], step["residual_norm"], step["ratio"]) == (3, None, None)


def test_different_weights_are_a_note(flat: Steer):
    done = flat("compose", "east + tuned")
    assert done.err.startswith("note: default/east@1 was computed on tiny and default/tuned@1 on tuned: different")
    assert flat.ok("compose", "east + tuned")["notes"] == [done.err.removeprefix("note: ").rstrip()]


def test_a_sum_is_saved_as_a_vector_with_its_parents(flat: Steer):
    expression = "orthogonal(east, diagonal) + 0.1r*up"
    words = ("compose", expression, "--save", "blend", "--as", "vector", "--label", "kind=test")
    made = flat.ok(*words)["saved"]
    assert (made["reference"], made["kind"], made["method"], made["new"]) == ("blend@1", "vector", "compose", True)
    assert made["labels"] == {"kind": "test"}
    shown = flat.ok("show", "blend")
    assert shown["card"]["data"]["kind"] == "versions"
    again, before = (flat.ok("compose", text)["steps"] for text in ("blend", expression))
    assert [(step["place"], step["norm"]) for step in again] == [(step["place"], step["norm"]) for step in before]
    with open_library(flat.home) as store, store.database.read() as session:
        child = select(VersionRow.id).where(VersionRow.digest == made["digest"]).scalar_subquery()
        parents = select(VersionRow.digest).join(LineageRow, LineageRow.parent_id == VersionRow.id)
        found = session.scalars(parents.where(LineageRow.version_id == child).order_by(LineageRow.position)).all()
        expected = {store.resolve(name).digest for name in ("east", "diagonal", "up")}
    assert set(found) == expected
    assert "blend@1 is exactly this" in flat(*words).out


def test_a_recipe_is_shown_with_all_that_its_presets_were(flat: Steer):
    flat.ok("preset", "set", "east", "late=0.15r", "--layers", "3", "--tokens", "last")
    flat.ok("compose", "east:late + north", "--save", "mood")
    flat.ok("preset", "set", "east", "late=2")
    assert "0.15r on layer 3 of last tokens" in flat("show", "mood").out


def test_what_is_no_vector_is_saved_as_a_recipe_only(flat: Steer):
    words = ("compose", "ablate(east) then north", "--save", "mood")
    assert "it can be saved as a recipe" in flat.fails(2, *words, "--as", "vector")
    assert flat.ok(*words, "--as", "recipe")["saved"]["kind"] == "recipe"
    assert [step["operator"] for step in flat.ok("compose", "mood then up")["steps"]] == ["ablate", "add", "add"]
    assert "mood@1 is a recipe of steps, not a vector" in flat.fails(2, "compose", "2*mood")


def test_vectors_of_different_weights_are_one_only_by_force(flat: Steer):
    words = ("compose", "east + tuned", "--save", "blend", "--as", "vector")
    assert "--force" in flat.fails(5, *words)
    assert flat.ok(*words, "--force")["saved"]["reference"] == "blend@1"


def test_as_belongs_to_save(flat: Steer):
    assert "add --save NAME" in flat.fails(2, "compose", "east", "--as", "vector")


@pytest.mark.parametrize(
    "steps",
    ["ablate(love)", "clamp(love, 50)", "affine(love, 9) then 20*love", "keepnorm(9*love)", "piecewise(9*love)"],
)
def test_a_model_carries_out_every_step_of_the_language(flat: Steer, tiny: str, steps: str):
    flat.ok("compute", "love", "--model", tiny, "--layer", "1", "--positive", "love", "--negative", "hate")
    written = [flat.ok("generate", "hello", "--model", tiny, "--steer", each)["steered"] for each in (steps, "0*love")]
    assert written[0] != written[1]


def test_of_many_cosines_people_see_the_conflicts_and_the_largest(flat: Steer):
    with open_library(flat.home) as store:
        for number in range(9):
            save(store, f"way{number}", [1, number], seed=number)
        save(store, "back", [-1, 0], seed=99)
    names = [f"way{number}" for number in range(9)]
    out = flat("compose", " + ".join([*names, "0.1*back"])).out
    *table, rest = out[out.index("cosines between terms") :].splitlines()[3:]
    assert rest == "… and 15 smaller ones: see --json"
    assert sum(line.startswith("resid_pre.3") for line in table) == 30  # a blank line follows
    assert table[0].split()[-1] == "yes"
    assert len(flat.ok("compose", " + ".join([*names, "0.1*back"]))["steps"][0]["cosines"]) == 45
