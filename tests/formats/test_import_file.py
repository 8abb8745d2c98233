"""From a file to a vector and its card: what goes where, what the card says, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from tests.builders import make_card, make_vector
from tests.extract.tiny_tokenizer import tiny_tokenizer
from tests.formats.files import MODEL, direction, written
from tests.tiny_models import tiny_model
from vectorstore.canonical import digest
from vectorstore.codec import pack, unpack
from vectorstore.errors import IntegrityError, InvalidInputError, MisfitError, NotFoundError, VectorstoreError
from vectorstore.extract import compute
from vectorstore.formats import KnownModel, import_file
from vectorstore.formats.measured import measured
from vectorstore.hooks.record import record
from vectorstore.pairs import ContrastPair
from vectorstore.place import SITES, Place
from vectorstore.vector import Array

ONE, TWO = direction(), direction(seed=1)
ROWS = direction(6, 8, seed=2)


def imported(tmp_path: Path, data: Array | dict[str, Array], **said: Any) -> dict[str, Array]:
    """Return the directions by the text of their places."""
    path = written(tmp_path / ("a.safetensors" if isinstance(data, dict) else "a.npy"), data)
    vector, card = import_file(path, MODEL, **said)
    assert unpack(pack(vector, card)) == (vector, card)
    return {str(place): array for place, array in vector.directions.items()}


def same(found: dict[str, Array], expected: dict[str, Array]) -> bool:
    return list(found) == list(expected) and all(np.array_equal(found[at], expected[at]) for at in expected)


@pytest.mark.parametrize(("layer", "place"), [(4, "resid_pre.4"), (-1, "resid_pre.5"), ([0], "resid_pre.0")])
def test_one_direction_goes_to_the_layer_that_is_given(tmp_path: Path, layer: int | list[int], place: str):
    assert same(imported(tmp_path, ONE, layer=layer), {place: ONE})


@pytest.mark.parametrize("site", SITES)
def test_it_goes_to_the_site_that_is_given(tmp_path: Path, site: str):
    assert same(imported(tmp_path, ONE, layer=4, site=site), {f"{site}.4": ONE})


def test_one_row_is_a_direction(tmp_path: Path):
    assert same(imported(tmp_path, ONE[None], layer=4), {"resid_pre.4": ONE})
    assert same(imported(tmp_path, ONE[None], layer=4, rows="positions"), {"resid_pre.4": ONE[None]})


def test_tensors_that_name_layers_need_no_others(tmp_path: Path):
    data = {"layer.4": ONE, "layer.2": TWO}
    assert same(imported(tmp_path, data), {"resid_pre.2": TWO, "resid_pre.4": ONE})
    assert same(imported(tmp_path, data, layer=4), {"resid_pre.4": ONE})
    assert same(imported(tmp_path, data, layer=[-2, 2]), {"resid_pre.2": TWO, "resid_pre.4": ONE})
    assert same(imported(tmp_path, data, site="resid_post", layer=2), {"resid_post.2": TWO})


def test_tensors_that_name_sites_go_there(tmp_path: Path):
    data = {"blocks.4.hook_resid_pre": ONE, "blocks.4.hook_mlp_out": TWO}
    assert same(imported(tmp_path, data), {"resid_pre.4": ONE, "mlp_out.4": TWO})


def test_keys_choose_tensors_and_layers(tmp_path: Path):
    data = {"love.2": ONE, "love.3": TWO, "hate.2": TWO, "a=1": ONE}
    assert same(imported(tmp_path, data, keys=["love"]), {"resid_pre.2": ONE, "resid_pre.3": TWO})
    assert same(imported(tmp_path, data, keys=["love"], layer=3), {"resid_pre.3": TWO})
    assert same(imported(tmp_path, data, keys=["hate.2"], layer=5), {"resid_pre.5": TWO})
    assert same(imported(tmp_path, data, keys=["hate.2=4", "love.2=-1"]), {"resid_pre.4": TWO, "resid_pre.5": ONE})
    assert same(imported(tmp_path, data, keys=["a=1"], layer=5), {"resid_pre.5": ONE})
    assert same(imported(tmp_path, data, keys=["a=1=0"]), {"resid_pre.0": ONE})


def test_rows_are_positions_layers_or_hidden_states(tmp_path: Path):
    assert same(imported(tmp_path, ROWS, layer=4, rows="positions"), {"resid_pre.4": ROWS})
    every = {f"resid_post.{n}": row for n, row in enumerate(ROWS)}
    assert same(imported(tmp_path, ROWS, rows="layers", site="resid_post"), every)
    some = {f"resid_post.{n}": ROWS[n] for n in (1, 5)}
    assert same(imported(tmp_path, ROWS, rows="layers", site="resid_post", layer=[5, 1]), some)
    few = {"resid_pre.3": ROWS[0], "resid_pre.4": ROWS[1]}
    assert same(imported(tmp_path, ROWS[:2], rows="layers", layer=[3, 4]), few)


def test_hidden_states_are_the_layers_inputs_and_the_last_belongs_nowhere(tmp_path: Path):
    model = tiny_model()
    ids = torch.tensor([[1, 5, 9]])
    states = model(ids, output_hidden_states=True).hidden_states
    rows = torch.stack([state[0, -1] for state in states]).detach().numpy()
    path = written(tmp_path / "states.npy", rows)
    vector, _ = import_file(path, measured(model, tiny_tokenizer()), rows="hidden_states")
    assert list(vector.directions) == [Place("resid_pre", n) for n in range(3)]
    inputs = record(model, {"input_ids": ids}, vector.places)
    for place, array in vector.directions.items():
        np.testing.assert_array_equal(array, inputs[place][0, -1])


def test_a_pt_file_of_layers_keeps_its_dtype(tmp_path: Path):
    torch.save({3: torch.ones(8).bfloat16(), 4: torch.nn.Parameter(torch.ones(8).double())}, tmp_path / "a.pt")
    vector, _ = import_file(tmp_path / "a.pt", MODEL, site="resid_post")
    assert [array.dtype for array in vector.directions.values()] == [ml_dtypes.bfloat16, np.float64]


@pytest.mark.parametrize(
    ("data", "said", "error", "message"),
    [
        (ONE, {}, InvalidInputError, "no layer is given for the tensor"),
        (ONE, {"layer": [1, 2]}, InvalidInputError, "2 layers are given for the tensor"),
        (ONE, {"layer": 6}, InvalidInputError, r"layer 6 is out of range .* choose 0\.\.5"),
        (ONE, {"layer": 1, "site": "nowhere"}, InvalidInputError, "no site 'nowhere'"),
        (ONE, {"layer": 1, "rows": "layers"}, InvalidInputError, r"has shape \[8\], and no rows"),
        (ONE, {"layer": 1, "rows": "columns"}, InvalidInputError, "rows cannot be 'columns'"),
        (ONE, {"layer": 1, "tokens": "prompt_front"}, InvalidInputError, "cannot steer 'prompt_front' tokens"),
        (ONE, {"layer": 1, "method": ""}, InvalidInputError, "the method is empty"),
        (ONE, {"layer": 1, "method": "x" * 300}, InvalidInputError, "the method has 300 characters"),
        (ONE, {"layer": 1, "keys": ["love"]}, NotFoundError, r"a\.npy has no tensor 'love'; it has one tensor \[8\]"),
        (ROWS, {"layer": 1}, InvalidInputError, "does not say what its rows are; say --rows positions"),
        (ROWS, {"layer": 1, "rows": "positions", "tokens": "all"}, InvalidInputError, "cannot steer 'all' tokens"),
        (ROWS, {"rows": "hidden_states"}, InvalidInputError, "has 6 rows; hidden states of 6 layers are 7"),
        (ROWS[:4], {"rows": "layers"}, InvalidInputError, "has 4 rows, and tiny .* has 6 layers; say which"),
        (direction(7, 8), {"rows": "hidden_states", "site": "resid_post"}, InvalidInputError, "leave --site out"),
        (np.zeros((6, 8), "f4"), {"rows": "layers"}, InvalidInputError, "has norm 0 at resid_pre.0; choose the layers"),
        (np.full(8, 1e300), {"layer": 1}, InvalidInputError, "has norm inf at resid_pre.1"),
        (direction(2, 3, 8), {"layer": 1}, InvalidInputError, r"a\.npy has shape \[2, 3, 8\]; save the part you mean"),
        (np.arange(8), {"layer": 1}, InvalidInputError, r"a\.npy has dtype int64; directions are float64, float32"),
        (np.array(1, "f4"), {"layer": 1}, InvalidInputError, r"a\.npy has shape \[\]"),
        (np.array([1, np.nan], "f4"), {"layer": 1}, IntegrityError, r"a\.npy has NaN or infinite values"),
        (np.array([1, np.inf], "f4"), {"layer": 1}, IntegrityError, r"a\.npy has NaN or infinite values"),
        (direction(9), {"layer": 1}, MisfitError, r"has width 9, and resid_pre of tiny \(6 layers of width 8\) has 8"),
        ({"a": ONE, "b": TWO}, {"layer": 1}, InvalidInputError, r"'a' says no layer: a \[8\], b \[8\]; choose"),
        ({"layer.1": ONE, "b": TWO}, {}, InvalidInputError, "the name of 'b' says no layer"),
        ({"layer.1": ONE, "block.1": TWO}, {}, InvalidInputError, r"2 tensors for resid_pre\.1: block\.1 \[8\], layer"),
        ({"layer.1": ONE}, {"layer": 2}, InvalidInputError, r"layer 2: there is layer 1; .*--key layer\.1=2"),
        ({"layer.1": ONE, "layer.2": TWO}, {"layer": [1, 3]}, InvalidInputError, r"of layer 3: .* layers 1\.\.2"),
        ({"layer.9": ONE}, {}, InvalidInputError, "layer 9 is out of range"),
        ({"a": ONE}, {"keys": ["a=9"]}, InvalidInputError, "layer 9 is out of range"),
        ({"a": ONE}, {"keys": ["b"]}, NotFoundError, r"a\.safetensors has no tensor 'b'; it has a \[8\]"),
        ({"a": ONE}, {"keys": ["a=x"]}, NotFoundError, r"no tensor 'a=x'"),
        ({"layer.1": ROWS}, {"rows": "layers"}, InvalidInputError, "'layer.1' is of layer 1, and its rows too"),
        ({"blocks.1.hook_resid_mid": ONE}, {}, InvalidInputError, "was read at hook_resid_mid, which is no site here"),
        ({"layer.1": ONE, "layer.2": direction(9)}, {}, MisfitError, "'layer.2' has width 9"),
    ],
)  # fmt: skip
def test_what_is_not_clear_or_does_not_fit_is_refused(
    tmp_path: Path, data: Any, said: dict[str, Any], error: type[VectorstoreError], message: str
):
    with pytest.raises(error, match=message) as caught:
        imported(tmp_path, data, **said)
    assert "\n" not in str(caught.value)


def test_a_site_the_model_does_not_have_is_refused(tmp_path: Path):
    small = KnownModel.of_card(make_card(make_vector(2)))
    without = {site: width for site, width in small.identity.widths.items() if site != "head_out"}
    identity = small.identity.__class__(**{**vars(small.identity), "widths": without})
    model = KnownModel(identity, small.residual_norms, small.versions)
    with pytest.raises(InvalidInputError, match="has no site head_out; choose resid_pre"):
        import_file(written(tmp_path / "a.npy", ONE), model, layer=1, site="head_out")


def test_the_card_says_what_is_known_and_no_more(tmp_path: Path):
    path = written(tmp_path / "probe.npy", ROWS)
    vector, card = import_file(path, MODEL, rows="layers", layer=[2, 3], method="caa")
    assert card.model == MODEL.identity
    assert (card.method.name, card.method.version, dict(card.method.params)) == ("caa", "unknown", {})
    assert (card.data.kind, card.data.count) == ("file", 1)
    tensors = {"resid_pre.2": "[2]", "resid_pre.3": "[3]"}
    assert card.data.items == ({"file": "probe.npy", "digest": digest(path.read_bytes()), "tensors": tensors},)
    assert (card.read.positions, card.read.tokens) == ("unknown", ())
    assert (card.apply.tokens, card.apply.operator) == ("all", "add")
    assert card.norms == vector.norms
    assert dict(card.residual_norms) == {Place("resid_pre", 2): 10.0, Place("resid_pre", 3): 10.0}
    assert str(tmp_path) not in str(card.to_json())


def test_rows_of_positions_steer_the_front_of_the_prompt_and_directions_what_is_said(tmp_path: Path):
    rows, one = written(tmp_path / "rows.npy", ROWS), written(tmp_path / "one.npy", ONE)
    assert import_file(rows, MODEL, layer=1, rows="positions")[1].apply.tokens == "prompt_front"
    assert import_file(one, MODEL, layer=1, tokens="generated")[1].apply.tokens == "generated"


def test_a_card_knows_r_where_it_has_it_and_at_what_a_layer_adds_to_it(tmp_path: Path):
    like = KnownModel.of_card(make_card(make_vector(2), residual_norms={Place("resid_pre", 2): 7.0}))
    path = written(tmp_path / "a.npy", ONE)
    known = {
        str(Place(site, layer)): dict(import_file(path, like, layer=layer, site=site)[1].residual_norms)
        for site in SITES
        for layer in (2, 3)
    }
    expected = {place: {} for place in known}
    for site in ("resid_pre", "attn_out", "mlp_out"):
        expected[f"{site}.2"] = {Place(site, 2): 7.0}
    assert known == expected


def test_a_model_in_memory_says_the_same_as_when_it_computes(tmp_path: Path):
    model, tokenizer = tiny_model(), tiny_tokenizer()
    pairs = [ContrastPair(" love", " hate")]
    vector, card = compute(model, tokenizer, pairs, layer=[1, 2], method="mean_difference", site="resid_post")
    tensors = {f"layer.{place.layer}": array for place, array in vector.directions.items()}
    again, theirs = import_file(
        written(tmp_path / "a.safetensors", tensors), measured(model, tokenizer), site="resid_post"
    )
    assert again == vector
    assert (theirs.model, theirs.norms, theirs.residual_norms) == (card.model, card.norms, card.residual_norms)
    assert (theirs.versions, theirs.apply) == (card.versions, card.apply)


def test_a_blob_of_ours_comes_back_as_it_is_and_takes_no_other_word(tmp_path: Path):
    vector = make_vector([2, 3])
    blob = pack(vector, make_card(vector))
    path = written(tmp_path / "love.safetensors", blob)
    again = import_file(path)
    assert again == (vector, make_card(vector))
    assert pack(*again) == blob
    with pytest.raises(InvalidInputError, match="has a card that says its model"):
        import_file(path, MODEL)
    for said in ({"layer": 2}, {"site": "resid_pre"}, {"keys": ["resid_pre.2"]}, {"rows": "layers"}, {"method": "caa"}):
        with pytest.raises(InvalidInputError, match="a card that says what it is"):
            import_file(path, **said)


def test_a_foreign_file_needs_a_model(tmp_path: Path):
    with pytest.raises(InvalidInputError, match="does not say which model it is for"):
        import_file(written(tmp_path / "a.npy", ONE), layer=1)
