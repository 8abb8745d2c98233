"""pack and unpack: golden bytes, inverse of each other, and readable by safetensors' own reader."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
import safetensors.torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.builders import make_card, make_vector
from tests.golden import DTYPES, TEN, TWO, golden_blob, golden_card, golden_vector
from vectorstore.canonical import canonical_bytes, digest
from vectorstore.card import Card, MethodUse, ReadPositions
from vectorstore.codec import pack, unpack
from vectorstore.errors import IntegrityError, InvalidInputError
from vectorstore.place import Place
from vectorstore.vector import Array, SteeringVector

GOLDEN_DIGESTS = {
    "float32": "sha256:565d1d56938c7fa4dc5c362e3cce9864a222f2f62bc03255fb1473d359482b25",
    "bfloat16": "sha256:6b46ab261f18014dd4e5e3a3ef72fc64ac2a7395d50c7408329c2433e771e2e2",
    "float16": "sha256:67da8fed3ef1a051959c6a0f755da6f3e80063ddf444880f5eb868141920b99e",
    "float64": "sha256:8a4019a9448165791137d06e57bbc47730d717694bf4220b2c4a3a4bf430b49a",
}
GOLDEN_DATA = bytes.fromhex(
    "0000003f" + "00000000" * 3 + "0000c040" + "00000000" * 2 + "00000041"  # attn_out.10
    "00004040" + "00000000" + "000080c0" + "00000000"  # resid_pre.2
    "0000803f" + "00000040" + "00004040" + "000080be"  # resid_pre.2.reference
)
ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_blob_has_its_golden_digest(dtype: str):
    assert digest(golden_blob(dtype)) == GOLDEN_DIGESTS[dtype]


def test_a_blob_is_its_header_and_then_its_tensors_by_name():
    blob = golden_blob("float32")
    card = canonical_bytes(canonical_bytes(golden_card().to_json()).decode()).decode()
    header = (
        f'{{"__metadata__":{{"card":{card}}},'
        '"attn_out.10":{"dtype":"F32","shape":[2,4],"data_offsets":[0,32]},'
        '"resid_pre.2":{"dtype":"F32","shape":[4],"data_offsets":[32,48]},'
        '"resid_pre.2.reference":{"dtype":"F32","shape":[4],"data_offsets":[48,64]}}'
    ).encode()
    padded = header + b" " * (-len(header) % 8)
    assert blob == len(padded).to_bytes(8, "little") + padded + GOLDEN_DATA


@pytest.mark.parametrize("seed", ["1", "4242"])
def test_another_process_writes_the_same_bytes(seed: str):
    script = """
from hashlib import sha256
from tests.golden import DTYPES, golden_blob
for dtype in DTYPES:
    print(f"sha256:{sha256(golden_blob(dtype)).hexdigest()}")
"""
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == list(GOLDEN_DIGESTS.values())


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_blob_reads_back_as_the_same_vector_and_card(dtype: str):
    assert unpack(golden_blob(dtype)) == (golden_vector(DTYPES[dtype]), golden_card(dtype))


def test_the_order_in_which_a_vector_was_made_does_not_matter():
    places = {Place(site, layer): np.ones(8, np.float32) for site in ("mlp_out", "resid_pre") for layer in (10, 9, 2)}
    one, other = SteeringVector(places), SteeringVector(dict(reversed(places.items())))
    assert pack(one, make_card(one)) == pack(other, make_card(other))


@pytest.mark.parametrize("dtype", DTYPES)
def test_safetensors_own_reader_reads_equal_values(dtype: str):
    tensors = safetensors.torch.load(golden_blob(dtype))
    vector = golden_vector(np.float64)
    expected = {
        "attn_out.10": vector.directions[TEN],
        "resid_pre.2": vector.directions[TWO],
        "resid_pre.2.reference": vector.references[TWO],
    }
    assert tensors.keys() == expected.keys()
    for name, tensor in tensors.items():
        assert str(tensor.dtype) == f"torch.{dtype}"
        assert np.array_equal(tensor.double().numpy(), expected[name])


def test_safetensors_own_reader_sees_one_metadata_key(tmp_path: Path):
    (tmp_path / "vector.safetensors").write_bytes(golden_blob("float32"))
    with safetensors.safe_open(tmp_path / "vector.safetensors", "numpy") as file:
        assert file.metadata() == {"card": canonical_bytes(golden_card().to_json()).decode()}


def arrays(dtype: str) -> st.SearchStrategy[Array]:
    shapes = st.sampled_from([(3,), (1, 3), (4, 3)])
    wide = shapes.flatmap(lambda shape: hnp.arrays(np.float64, shape, elements=st.floats(-1e4, 1e4)))
    return wide.map(lambda array: array.astype(DTYPES[dtype]))


@settings(deadline=None)
@given(
    st.dictionaries(
        st.builds(Place, st.sampled_from(["resid_pre", "attn_out", "head_out"]), st.integers(0, 30)),
        st.sampled_from(sorted(DTYPES)).flatmap(arrays),
        min_size=1,
        max_size=6,
    )
)
def test_any_vector_with_a_true_card_reads_back_and_packs_to_the_same_bytes(directions: dict[Place, Array]):
    vector = SteeringVector(directions)
    blob = pack(vector, make_card(vector))
    assert unpack(blob) == unpack(blob, trusted=True) == (vector, make_card(vector))
    assert pack(*unpack(blob)) == blob


def test_directions_are_read_only_views_of_the_blob():
    blob = bytearray(golden_blob("float32"))
    vector, _ = unpack(memoryview(blob))
    assert all(np.shares_memory(array, np.frombuffer(blob, np.uint8)) for array in vector.directions.values())
    assert not any(array.flags.writeable for array in vector.directions.values())


def test_arrays_that_are_not_contiguous_pack_as_their_values():
    rows = np.arange(24, dtype=np.float32).reshape(4, 6)
    strided = SteeringVector({TWO: np.asfortranarray(rows)[::2, ::-1]})
    dense = SteeringVector({TWO: rows[::2, ::-1].copy()})
    assert pack(strided, make_card(strided)) == pack(dense, make_card(dense))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_vector_with_a_value_that_is_no_number_is_not_packed(dtype: str, value: float):
    broken = SteeringVector({TWO: np.array([1, value, 0, 0], DTYPES[dtype])})
    with pytest.raises(InvalidInputError, match="the vector has NaN or infinite values"):
        pack(broken, make_card(broken))


def test_a_reference_with_nan_is_not_packed():
    vector = SteeringVector({TWO: np.ones(4, np.float32)}, {TWO: np.full(4, np.nan, np.float32)})
    with pytest.raises(InvalidInputError, match="NaN or infinite values; compute it again in float32"):
        pack(vector, make_card(vector))


def test_a_norm_that_no_number_holds_is_not_packed():
    vector = SteeringVector({TWO: np.full(4, 1e200)})
    with pytest.raises(InvalidInputError, match="cannot be kept as JSON"):
        pack(vector, make_card(vector))


@pytest.mark.parametrize("dtype", ["int64", "complex64", ">f4", "bool", "float128", "U4", "object"])
def test_other_dtypes_are_not_packed(dtype: str):
    vector = SteeringVector({TWO: np.ones(4).astype(dtype)})
    card = make_card(SteeringVector({TWO: np.ones(4)}))
    with pytest.raises(InvalidInputError, match=r"resid_pre\.2 has dtype .*; use float32"):
        pack(vector, card)


@pytest.mark.parametrize(
    ("card", "trouble"),
    [
        (make_card(make_vector(4)), "names other layers or sites"),
        (make_card(make_vector(site="resid_post")), "names other layers or sites"),
        (make_card(make_vector((3, 4))), "names other layers or sites"),
        (make_card(make_vector(width=16)), "width 8, but the card's model has width 16"),
        (make_card(make_vector(seed=1)), "the card says norm .* at resid_pre.3, but it is"),
    ],
    ids=["layer", "site", "more places", "width", "norm"],
)
def test_a_card_of_another_vector_is_refused(card: Card, trouble: str):
    with pytest.raises(InvalidInputError, match=trouble):
        pack(make_vector(), card)


def test_a_layer_that_the_cards_model_does_not_have_is_refused():
    card = make_card(make_vector())
    shallow = replace(card, model=replace(card.model, layer_count=3))
    with pytest.raises(InvalidInputError, match="and 3 layers; use the card of compute"):
        pack(make_vector(), shallow)


@pytest.mark.parametrize(
    "change",
    [
        {"method": MethodUse("m", "1", {"x": np.float32(1)})},
        {"method": MethodUse("m", "1", {"x": float("nan")})},
        {"method": MethodUse("m", "1", {"x": "\ud800"})},
        {"method": MethodUse("m", "1", seed=-1)},
        {"method": MethodUse("m", "1", seed=2**63)},
        {"read": ReadPositions("all", (("x" * 1024,) * 1025,))},
    ],
    ids=["numpy number", "NaN", "half a character", "negative seed", "huge seed", "header above 1 MiB"],
)
def test_a_card_that_could_not_be_read_again_is_not_packed(change: dict[str, object]):
    vector = make_vector()
    with pytest.raises(InvalidInputError):
        pack(vector, replace(make_card(vector), **change))


def test_more_tensors_than_are_read_are_not_packed():
    vector = make_vector(range(1025), width=1)
    with pytest.raises(InvalidInputError, match="has 1025 tensors"):
        pack(vector, make_card(vector))


def test_as_many_tensors_as_are_read_are_packed():
    vector = make_vector(range(1024), width=1)
    assert unpack(pack(vector, make_card(vector))) == (vector, make_card(vector))


def test_a_header_that_was_read_before_is_read_with_the_data_at_hand():
    one, other = make_vector(seed=0), make_vector(seed=0) * -1
    blob, turned = pack(one, make_card(one)), pack(other, make_card(other))
    base = 8 + int.from_bytes(blob[:8], "little")
    assert blob[:base] == turned[:base]
    for _ in range(2):
        assert unpack(blob, trusted=True)[0] == one
        assert unpack(turned, trusted=True)[0] == other


def test_a_header_that_was_read_before_is_refused_over_other_data():
    blob = golden_blob("float32")
    unpack(blob, trusted=True)
    for other in (blob[:-1], blob + b"\0"):
        with pytest.raises(IntegrityError, match="the tensors take 64 bytes"):
            unpack(other, trusted=True)
