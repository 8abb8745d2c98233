"""A feature of an autoencoder is the decoder's row that numpy gives, at norm 1; the rest of the file is not read."""

from __future__ import annotations

import json
import struct
import tracemalloc
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors.torch
import torch

from tests.extract.tiny_tokenizer import ids_of
from tests.formats.files import MODEL, npz_bytes, written
from tests.tiny_models import tiny_model
from vectorstore.codec import pack, unpack
from vectorstore.errors import IntegrityError, InvalidInputError, MisfitError, NotFoundError, VectorstoreError
from vectorstore.formats import KnownModel, import_feature
from vectorstore.hooks import steer
from vectorstore.hooks.record import record
from vectorstore.place import SITES, Place
from vectorstore.plan import Plan, Step
from vectorstore.vector import Array

FEATURES, WIDTH = 20, 8
DECODER = np.random.default_rng(5).standard_normal((FEATURES, WIDTH)).astype(np.float32)
ENCODER = np.random.default_rng(6).standard_normal((WIDTH, FEATURES)).astype(np.float32)
AT = {"layer": 4, "site": "resid_post"}
PLACE = Place("resid_post", 4)


def file_of(tmp_path: Path, name: str, **arrays: Array) -> Path:
    """Write arrays as .safetensors or .npz, beside an encoder and biases."""
    arrays = {"W_enc": ENCODER, "b_enc": np.zeros(FEATURES, "f4"), "b_dec": np.zeros(WIDTH, "f4"), **arrays}
    return written(tmp_path / name, arrays if name.endswith(".safetensors") else npz_bytes(**arrays))


def imported(path: Path, feature: int = 13, **said: Any) -> Array:
    vector, card = import_feature(path, MODEL, feature=feature, **{**AT, **said})
    assert unpack(pack(vector, card)) == (vector, card)
    (direction,) = vector.directions.values()
    return direction


def with_widths(widths: dict[str, int]) -> KnownModel:
    return replace(MODEL, identity=replace(MODEL.identity, widths=widths))


@pytest.mark.parametrize("name", ["sae.safetensors", "params.npz"])
@pytest.mark.parametrize("feature", [0, 13, FEATURES - 1])
def test_a_feature_is_its_row_of_w_dec(tmp_path: Path, name: str, feature: int):
    path = file_of(tmp_path, name, W_dec=DECODER)
    row = DECODER[feature]
    np.testing.assert_allclose(imported(path, feature), row / np.linalg.norm(row), rtol=1e-6)
    np.testing.assert_array_equal(imported(path, feature, as_stored=True), row)


@pytest.mark.parametrize("name", ["sae.safetensors", "params.npz"])
def test_a_feature_is_its_column_of_a_linear_decoder(tmp_path: Path, name: str):
    path = file_of(tmp_path, name, **{"decoder.weight": np.ascontiguousarray(DECODER.T)})
    np.testing.assert_array_equal(imported(path, as_stored=True), DECODER[13])
    assert import_feature(path, MODEL, feature=13, **AT)[1].data.items[0]["tensors"] == {
        "resid_post.4": "decoder.weight[:, 13]"
    }


def test_it_is_what_the_autoencoder_adds_for_one_more_of_the_feature(tmp_path: Path):
    """The oracle is the module itself: its output with the feature, less that without it."""
    decoder = torch.nn.Linear(FEATURES, WIDTH)
    safetensors.torch.save_file(
        {f"decoder.{k}": v for k, v in decoder.state_dict().items()}, tmp_path / "a.safetensors"
    )
    with torch.no_grad():
        added = decoder(torch.eye(FEATURES)[7]) - decoder(torch.zeros(FEATURES))
    np.testing.assert_allclose(imported(tmp_path / "a.safetensors", 7, as_stored=True), added, rtol=0, atol=1e-6)


@pytest.mark.parametrize("key", ["W_dec", "decoder.weight"])
def test_in_a_square_decoder_the_name_says_which_way_features_lie(tmp_path: Path, key: str):
    path = file_of(tmp_path, "sae.safetensors", **{key: DECODER[:WIDTH]})
    expected = DECODER[3] if key == "W_dec" else DECODER[:WIDTH, 3]
    np.testing.assert_array_equal(imported(path, 3, as_stored=True), expected)


def test_columns_that_lie_together_are_columns_all_the_same(tmp_path: Path):
    path = file_of(tmp_path, "params.npz", W_dec=np.asfortranarray(DECODER))
    np.testing.assert_array_equal(imported(path, as_stored=True), DECODER[13])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_other_dtypes_keep_their_values(tmp_path: Path, dtype: str):
    stored = DECODER.astype(getattr(ml_dtypes, dtype, dtype))
    path = file_of(tmp_path, "sae.safetensors", W_dec=stored)
    found = imported(path, as_stored=True)
    assert found.dtype == stored.dtype
    np.testing.assert_array_equal(found, stored[13])
    row = stored[13].astype(np.float64)
    np.testing.assert_allclose(imported(path), row / np.linalg.norm(row), rtol=1e-6)
    assert imported(path).dtype == np.float32


def test_big_endian_numbers_are_turned_round(tmp_path: Path):
    path = file_of(tmp_path, "params.npz", W_dec=DECODER.astype(">f4"))
    np.testing.assert_array_equal(imported(path, as_stored=True), DECODER[13])


def test_a_decoder_inside_another_module_is_found_and_others_by_their_key(tmp_path: Path):
    path = file_of(tmp_path, "sae.safetensors", **{"sae.W_dec": DECODER, "skip": DECODER[::-1].copy()})
    np.testing.assert_array_equal(imported(path, as_stored=True), DECODER[13])
    np.testing.assert_array_equal(imported(path, as_stored=True, key="skip"), DECODER[FEATURES - 1 - 13])


def test_tensors_beside_the_decoder_may_be_anything(tmp_path: Path):
    tensors = {"W_dec": torch.from_numpy(DECODER), "steps": torch.tensor(3), "seen": torch.zeros(4, dtype=torch.int64)}
    safetensors.torch.save_file(tensors, tmp_path / "a.safetensors", {"format": "pt", "step": "3"})
    np.testing.assert_array_equal(imported(tmp_path / "a.safetensors", as_stored=True), DECODER[13])
    path = file_of(tmp_path, "params.npz", W_dec=DECODER, names=np.array(["a"], dtype=object), k=np.array(3))
    np.testing.assert_array_equal(imported(path, as_stored=True), DECODER[13])


def test_the_card_says_which_feature_of_which_file(tmp_path: Path):
    path = file_of(tmp_path, "sae.safetensors", W_dec=DECODER)
    vector, card = import_feature(path, MODEL, feature=13, tokens="generated", **AT)
    assert (card.method.name, card.method.version) == ("sae", "1")
    assert dict(card.method.params) == {"feature": 13, "as_stored": False}
    item = {"file": "sae.safetensors", "digest": f"sha256:{sha256(path.read_bytes()).hexdigest()}"}
    assert card.data.items == ({**item, "tensors": {"resid_post.4": "W_dec[13]"}},)
    assert (card.data.kind, card.read.positions) == ("file", "unknown")
    assert card.figures[PLACE]["stored_norm"] == pytest.approx(np.linalg.norm(DECODER[13]))
    assert (card.apply.tokens, card.norms[PLACE]) == ("generated", pytest.approx(1))
    assert (card.norms, card.model) == (vector.norms, MODEL.identity)
    assert str(tmp_path) not in str(card.to_json())


def test_only_the_row_is_held_in_memory(tmp_path: Path):
    """64 MB of matrix, most of it a hole in the file; the digest is taken piece by piece."""
    features, width = 1 << 21, WIDTH
    header = json.dumps(
        {"W_dec": {"dtype": "F32", "shape": [features, width], "data_offsets": [0, 4 * features * width]}}
    ).encode()
    path, row = tmp_path / "large.safetensors", features - 2
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.seek(row * width * 4, 1)
        file.write(DECODER[:2].tobytes())
    tracemalloc.start()
    found = imported(path, row, as_stored=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(found, DECODER[0])
    assert peak < 4 << 20


def test_a_clamped_feature_has_the_value_that_was_asked_for(tmp_path: Path):
    """`clamp(V, x)`: the part of every activation along the decoder's direction is x."""
    model, ids = tiny_model(), torch.tensor([ids_of("I loved it")])
    rows = np.random.default_rng(1).standard_normal((FEATURES, 32)).astype(np.float32)
    known = with_widths(dict.fromkeys(SITES, 32))
    path = file_of(tmp_path, "sae.safetensors", W_dec=rows)
    vector, _ = import_feature(path, known, feature=2, layer=1, site="resid_post")
    (direction,) = vector.directions.values()
    step = Step("clamp", Place("resid_post", 1), "all", direction, {"value": 5.0})
    with steer(model, Plan((step,))):
        hidden = record(model, {"input_ids": ids}, [Place("resid_pre", 2)])[Place("resid_pre", 2)]
    parts = hidden @ torch.from_numpy(rows[2] / np.linalg.norm(rows[2]))
    torch.testing.assert_close(parts, torch.full_like(parts, 5.0), rtol=0, atol=1e-4)


WIDE = np.ones((FEATURES, 9), "f4")
NAN = np.where(np.arange(FEATURES)[:, None] == 13, np.nan, DECODER).astype("f4")  # fmt: skip


@pytest.mark.parametrize(
    ("arrays", "said", "error", "message"),
    [
        ({"W_dec": DECODER}, {"feature": 20}, InvalidInputError, r"feature 20 is out of range: W_dec has 20 .*0\.\.19"),
        ({"W_dec": DECODER}, {"feature": -1}, InvalidInputError, r"feature -1 is out of range"),
        ({"W_dec": DECODER}, {"layer": 6}, InvalidInputError, r"layer 6 is out of range"),
        ({"W_dec": DECODER}, {"site": "nowhere"}, InvalidInputError, "no site 'nowhere'"),
        ({"W_dec": DECODER}, {"tokens": "prompt_front"}, InvalidInputError, "cannot steer 'prompt_front' tokens"),
        ({"W_dec": DECODER}, {"key": "W"}, NotFoundError, r"FILE has no tensor 'W'; it has .*W_dec \[20, 8\]"),
        ({}, {}, NotFoundError, r"no decoder: neither W_dec nor decoder.weight; name it with --key; it has .*W_enc"),
        ({"W_dec": DECODER, "b.W_dec": DECODER}, {}, NotFoundError, "has 2 decoders; name it with --key"),
        ({"W_dec": WIDE}, {}, MisfitError, r"W_dec has shape \[20, 9\], and directions there have width 8; name"),
        ({"W_dec": DECODER[0]}, {}, InvalidInputError, r"'W_dec' of FILE has shape \[8\]; a decoder is"),
        ({"W_dec": DECODER[None]}, {}, InvalidInputError, r"'W_dec' of FILE has shape \[1, 20, 8\]"),
        ({"W_dec": NAN}, {}, IntegrityError, r"W_dec\[13\] of FILE has NaN or infinite values"),
        ({"W_dec": 0 * DECODER}, {}, InvalidInputError, r"'W_dec\[13\]' has norm 0"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    tmp_path: Path, arrays: Any, said: dict[str, Any], error: type[VectorstoreError], message: str
):
    for name in ("a.safetensors", "a.npz"):
        with pytest.raises(error, match=message.replace("FILE", name)) as caught:
            imported(file_of(tmp_path, name, **arrays), **said)
        assert "\n" not in str(caught.value)


def test_integers_are_no_decoder(tmp_path: Path):
    with pytest.raises(InvalidInputError, match=r"'W_dec' of a\.npz has dtype int64; use float64, float32"):
        imported(file_of(tmp_path, "a.npz", W_dec=np.ones((FEATURES, WIDTH), int)))


def test_a_compressed_decoder_is_refused(tmp_path: Path):
    np.savez_compressed(tmp_path / "a.npz", W_dec=DECODER)
    with pytest.raises(InvalidInputError, match=r"'W_dec' of a\.npz is compressed.*numpy.savez"):
        imported(tmp_path / "a.npz")


def test_a_site_the_model_does_not_have_is_refused(tmp_path: Path):
    widths = {site: width for site, width in MODEL.identity.widths.items() if site != "head_out"}
    model = with_widths(widths)
    path = file_of(tmp_path, "a.npz", W_dec=DECODER)
    with pytest.raises(InvalidInputError, match=r"has no site head_out; choose resid_pre"):
        import_feature(path, model, feature=1, layer=1, site="head_out")
    with pytest.raises(InvalidInputError, match=r"a\.npz does not say which model it is for; give --model"):
        import_feature(path, feature=1, **AT)


@pytest.mark.parametrize("name", ["a.pt", "a.npy", "a"])
def test_other_kinds_of_file_are_refused(tmp_path: Path, name: str):
    with pytest.raises(
        InvalidInputError, match=rf"one feature cannot be read of '{name}'.*known: \.safetensors, \.npz"
    ):
        imported(written(tmp_path / name, b"0123456789"))


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path):
    (tmp_path / "folder.npz").mkdir()
    for name in ("none.safetensors", "folder.npz"):
        with pytest.raises(NotFoundError, match="there is no file"):
            imported(tmp_path / name)


@pytest.mark.parametrize("name", ["a.safetensors", "a.npz"])
def test_a_damaged_file_is_an_error_wherever_it_was_cut(tmp_path: Path, name: str):
    path = file_of(tmp_path, name, W_dec=DECODER)
    data = path.read_bytes()
    for length in (0, 1, 8, 20, 60, len(data) // 2, len(data) - 1):
        with pytest.raises((IntegrityError, NotFoundError), match=name):
            imported(written(path, data[:length]))


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [20, 8], "data_offsets": [0, 639]},
        {"dtype": "F32", "shape": [20, 8], "data_offsets": [0]},
        {"dtype": "F32", "shape": [-20, -8], "data_offsets": [0, 640]},
        {"dtype": "F32", "shape": [20, 8], "data_offsets": [-8, 632]},
        {"dtype": "F32", "shape": [1 << 60, 8], "data_offsets": [0, 1 << 65]},
        {"dtype": "F32", "shape": "20", "data_offsets": [0, 640]},
        {"dtype": 4},
        [],
    ],
)
def test_a_header_that_lies_is_an_error(tmp_path: Path, entry: Any):
    header = json.dumps({"W_dec": entry}).encode()
    with pytest.raises(IntegrityError, match=r"a\.safetensors: "):
        imported(written(tmp_path / "a.safetensors", struct.pack("<Q", len(header)) + header + bytes(640)))
