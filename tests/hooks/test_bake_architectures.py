"""On every architecture a plan is either baked, and then exactly, or refused; the table in the docs says which."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hooks.baked import (
    ROUNDING,
    STREAM,
    WRITERS,
    apart,
    bakes,
    hooked,
    logits,
    plan_at,
    reloaded,
    stirred,
    together,
)
from tests.tiny_models import ARCHITECTURES
from vectorstore.hooks.baking import bake
from vectorstore.place import Place

PAGE = Path(__file__).parents[2] / "docs" / "bake.md"
COLUMNS = {
    "add at resid_pre.0": ("add", [Place("resid_pre", 0)]),
    "other resid": ("add", [Place("resid_pre", 1), Place("resid_post", 2)]),
    "attn_out": ("add", [Place("attn_out", 1)]),
    "head_out": ("add", [Place("head_out", 1)]),
    "mlp_out": ("add", [Place("mlp_out", 1)]),
    "ablate at resid_pre.0": ("ablate", [Place("resid_pre", 0)]),
    "each output": ("ablate", [Place("attn_out", 1), Place("head_out", 0), Place("mlp_out", 1)]),
    "every output": ("ablate", WRITERS),
    "every resid": ("ablate", STREAM),
}


def table() -> dict[str, list[str]]:
    text = PAGE.read_text("utf-8").partition("## Which architectures")[2]
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| `")]
    return {row[0].strip(" `"): [cell.strip() for cell in row[1:]] for row in rows}


def test_the_table_has_a_line_for_each_architecture():
    assert list(table()) == list(ARCHITECTURES)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_bakes_is_exact_also_when_plain_transformers_loads_it_again(architecture: str, tmp_path: Path):
    model = stirred(architecture)
    before, config = logits(model), model.config.to_dict()
    taken = {
        title: plan
        for seed, (title, (operator, places)) in enumerate(COLUMNS.items())
        if bakes(model, plan := plan_at(model, operator, places, seed))
    }
    cells = ["yes" if title in taken else "" for title in COLUMNS]
    assert cells == table()[architecture]
    alone = ("add at resid_pre.0", "every output", "every resid")  # what others would undo, or they would write anew
    plan = together([each for title, each in taken.items() if title not in alone])
    assert apart(logits(reloaded(bake(model, plan).model, tmp_path / "all")), hooked(model, plan)) < ROUNDING
    for title in set(alone) & taken.keys():
        baked = reloaded(bake(model, taken[title]).model, tmp_path / title)
        assert apart(logits(baked), hooked(model, taken[title])) < ROUNDING
    assert (apart(logits(model), before), model.config.to_dict()) == (0, config)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_part_is_set_to_a_value_where_a_bias_can_hold_it(architecture: str):
    model = stirred(architecture)
    for site in ("attn_out", "head_out", "mlp_out"):
        for operator in ("clamp", "affine"):
            place = [Place(site, 1)]
            assert bakes(model, plan_at(model, operator, place)) == bakes(model, plan_at(model, "add", place))
