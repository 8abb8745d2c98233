"""Saving and reading back."""

from __future__ import annotations

import json
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from tests.builders import make_card, make_identity, make_vector
from vectorstore.canonical import digest
from vectorstore.coefficient import Coefficient
from vectorstore.errors import IntegrityError, InvalidInputError, NotFoundError
from vectorstore.manifest import Manifest
from vectorstore.place import Place
from vectorstore.preset import Preset
from vectorstore.store import Store

MANY_ITEMS = tuple({"positive": f"{number:0200}", "negative": " "} for number in range(400))


def manifest_of(blobs: Path, version_digest: str) -> Manifest:
    name = version_digest.removeprefix("sha256:")
    data = (blobs / "sha256" / name[:2] / name).read_bytes()
    assert digest(data) == version_digest
    return Manifest.from_bytes(data)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("positions", [None, 4])
def test_what_is_saved_is_read_back_bit_by_bit(store: Store, dtype: type, positions: int | None):
    vector = make_vector((2, 5), positions=positions, dtype=dtype)
    card = make_card(vector)
    saved = store.save("love", vector, card)
    assert saved.created
    assert (str(saved.version), saved.version.reference) == ("default/love@1", "love@1")
    assert store.read("love") == (vector, card)
    assert store.read(saved.version) == (vector, card)


def test_a_version_says_what_the_card_says(store: Store):
    vector = make_vector((2, 5), site="attn_out", positions=3)
    card = make_card(vector, method="actadd")
    version = store.save("acme/love", vector, card).version
    assert (version.namespace, version.name, version.number, version.kind) == ("acme", "love", 1, "vector")
    assert version.model == card.model
    assert (version.method, version.sites, version.layers) == ("actadd", ("attn_out",), (2, 5))
    direction = version.directions[Place("attn_out", 5)]
    assert direction.shape == (3, 8)
    assert (direction.norm, direction.residual_norm) == (card.norms[Place("attn_out", 5)], 10.0)
    assert version.to_json()["directions"]["attn_out.5"]["norm"] == direction.norm
    assert json.loads(json.dumps(version.to_json()))["model"]["reference"] == "tiny"


def test_the_same_vector_twice_is_one_version_and_one_blob(store: Store, blobs_folder: Path):
    vector = make_vector()
    first = store.save("love", vector, make_card(vector), labels={"topic": "love"})
    again = store.save("love", vector, make_card(vector), labels={"topic": "love"})
    assert (again.created, again.version) == (False, first.version)
    assert len(store.history("love")) == 1
    assert len(list(blobs_folder.glob("sha256/*/*"))) == 2  # the vector and the manifest


def test_one_vector_under_two_names_is_one_blob(store: Store, blobs_folder: Path):
    vector = make_vector()
    one, other = (store.save(name, vector, make_card(vector)).version for name in ("love", "amor"))
    assert one.blobs == other.blobs
    assert one.digest != other.digest
    assert len(list(blobs_folder.glob("sha256/*/*"))) == 3


def test_saving_again_makes_the_next_version(store: Store):
    for number in (1, 2, 3):
        vector = make_vector(seed=number)
        assert store.save("love", vector, make_card(vector)).version.number == number
    assert store.read("love@2")[0] == make_vector(seed=2)


def test_other_words_about_the_same_vector_are_another_version(store: Store):
    vector = make_vector()
    store.save("love", vector, make_card(vector))
    assert store.save("love", vector, make_card(vector), labels={"topic": "love"}).version.number == 2


def test_one_author_with_a_comma_is_not_two(store: Store):
    vector = make_vector()
    for number, authors in enumerate((["Ada, Grace"], ["Ada", "Grace"]), 1):
        version = store.save("love", vector, make_card(vector), authors=authors).version
        assert (version.number, version.authors) == (number, tuple(authors))


def test_the_manifest_keeps_the_initial_words(store: Store, blobs_folder: Path):
    vector = make_vector()
    version = store.save(
        "love",
        vector,
        make_card(vector),
        description="Of weddings.\nAnd more.",
        license="CC-BY-4.0",
        authors=["Ada", "Grace"],
        labels={"topic": "love", "lang": "en"},
        presets={"mild": 1, "strong": "0.15r", "late": Preset(Coefficient.parse("0.1"), (3, 3), "generated")},
    ).version
    store.set_label("love", "topic", "hate")
    annotations = manifest_of(blobs_folder, version.digest).annotations
    assert dict(annotations) == {
        "org.opencontainers.image.ref.name": "default/love",
        "org.opencontainers.image.description": "Of weddings.\nAnd more.",
        "org.opencontainers.image.licenses": "CC-BY-4.0",
        "vnd.steering-vectorstore.authors": '["Ada","Grace"]',
        "vnd.steering-vectorstore.labels": '{"lang":"en","topic":"love"}',
        "vnd.steering-vectorstore.presets": '{"late":{"coefficient":"0.1","layers":[3,3],"tokens":"generated"},'
        '"mild":{"coefficient":"1","layers":null,"tokens":null},'
        '"strong":{"coefficient":"0.15r","layers":null,"tokens":null}}',
    }
    assert version.presets["late"] == Preset(Coefficient.parse("0.1"), (3, 3), "generated")
    assert (version.license, version.authors) == ("CC-BY-4.0", ("Ada", "Grace"))


def test_what_is_empty_is_left_out_of_the_manifest(store: Store, blobs_folder: Path):
    version = store.save("love", make_vector(), make_card(make_vector())).version
    annotations = manifest_of(blobs_folder, version.digest).annotations
    assert dict(annotations) == {"org.opencontainers.image.ref.name": "default/love"}


def test_large_items_travel_in_a_blob_of_their_own_and_come_back(store: Store, blobs_folder: Path):
    vector = make_vector()
    card = make_card(vector, items=MANY_ITEMS)
    version = store.save("love", vector, card).version
    assert [blob.media_type for blob in version.blobs] == ["application/vnd.safetensors", "application/jsonl"]
    assert [blob.digest for blob in manifest_of(blobs_folder, version.digest).blobs][1] == card.data.digest
    assert store.read("love")[1] == card
    assert len(list(blobs_folder.glob("sha256/*/*"))) == 3


def test_a_vector_is_mapped_not_copied(store: Store):
    store.save("love", make_vector(), make_card(make_vector()))
    direction = store.read("love")[0].directions[Place("resid_pre", 3)]
    assert not direction.flags.owndata
    assert not direction.flags.writeable


def test_a_vector_outlives_the_store_it_came_from(store: Store):
    store.save("love", make_vector(), make_card(make_vector()))
    vector = store.read("love")[0]
    store.close()
    assert vector == make_vector()


def test_parents_must_be_there_and_are_in_the_manifest(store: Store, blobs_folder: Path):
    parent = store.save("love", make_vector(), make_card(make_vector())).version
    vector = make_vector(seed=1)
    child = store.save("more", vector, make_card(vector), parents=[parent.digest]).version
    annotations = manifest_of(blobs_folder, child.digest).annotations
    assert annotations["vnd.steering-vectorstore.parents"] == f'["{parent.digest}"]'
    with pytest.raises(NotFoundError, match=r"parent sha256:0000.* is not in this library"):
        store.save("other", vector, make_card(vector), parents=[f"sha256:{'0' * 64}"])
    with pytest.raises(InvalidInputError, match="not a digest"):
        store.save("other", vector, make_card(vector), parents=["love"])


@pytest.mark.parametrize(
    "name", ["", "1love", "lo ve", "love.x", "a/b/c", "love@2", "/love", "acme/", "ä", "love\n", "x" * 129, "../etc"]
)
def test_a_name_that_references_could_not_say_is_refused(store: Store, blobs_folder: Path, name: str):
    with pytest.raises(InvalidInputError, match="name"):
        store.save(name, make_vector(), make_card(make_vector()))
    assert not blobs_folder.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"labels": {"to pic": "x"}}, "'to pic' is not a label"),
        ({"labels": {"topic": ""}}, "has no value; write topic=VALUE"),
        ({"labels": {"topic": "x" * 256}}, "has 256 characters"),
        ({"labels": {"topic": "a\x00b"}}, "control characters"),
        ({"description": "\ud800"}, "control characters"),
        ({"description": "\x1b[31m"}, "control characters"),
        ({"description": "x" * 10_001}, "has 10001 characters"),
        ({"license": "x\ny"}, "license .* control characters"),
        ({"authors": ["\x07"]}, "author .* control characters"),
        ({"authors": ["x"] * 101}, "101 authors"),
        ({"authors": "Ada"}, "the authors are one text; give a list of names"),
        ({"presets": {"1": 2}}, "'1' is not a preset"),
        ({"presets": {"mild": "much"}}, "'much' is not a coefficient"),
    ],
)
def test_words_that_cannot_be_kept_are_refused(store: Store, blobs_folder: Path, words: dict, message: str):
    with pytest.raises(InvalidInputError, match=message):
        store.save("love", make_vector(), make_card(make_vector()), **words)
    assert not blobs_folder.exists()
    assert not store.list()


def test_a_card_with_a_text_that_no_row_can_hold_is_refused(store: Store):
    card = make_card(make_vector(), model=make_identity(reference="tiny\x00"))
    with pytest.raises(InvalidInputError, match=r"model's reference .* control characters"):
        store.save("love", make_vector(), card)


@pytest.mark.parametrize(
    ("preset", "message"),
    [
        (Preset(Coefficient.parse(1), (2, 4)), "asks for layers 2..4; there is layers 3..4"),
        (Preset(Coefficient.parse(1), None, "prompt_front"), "cannot steer 'prompt_front' tokens"),
    ],
)
def test_a_preset_must_suit_the_vector(store: Store, preset: Preset, message: str):
    vector = make_vector((3, 4))
    with pytest.raises(InvalidInputError, match=message):
        store.save("love", vector, make_card(vector), presets={"mild": preset})
    store.save("love", vector, make_card(vector))
    with pytest.raises(InvalidInputError, match=message):
        store.set_preset("love", "mild", preset)


def test_a_preset_must_suit_a_direction_per_position(store: Store):
    vector = make_vector(positions=4)
    with pytest.raises(InvalidInputError, match=r"shape \[4, 8\] at resid_pre.3 cannot steer 'all' tokens"):
        store.save("love", vector, make_card(vector), presets={"x": Preset(Coefficient.parse(1), None, "all")})
    allowed = Preset(Coefficient.parse(1), None, "prompt_front")
    assert store.save("love", vector, make_card(vector), presets={"x": allowed}).version.presets["x"] == allowed


def test_a_preset_in_multiples_of_r_needs_an_r(store: Store):
    vector = make_vector(site="head_out")
    with pytest.raises(InvalidInputError, match=r"preset strong is 0.15r, but there is no R at head_out.3"):
        store.save("love", vector, make_card(vector), presets={"strong": "0.15r"})


def test_a_card_of_another_vector_is_refused_and_leaves_nothing(store: Store, blobs_folder: Path):
    with pytest.raises(InvalidInputError, match="norm"):
        store.save("love", make_vector(), make_card(make_vector(seed=1)))
    assert not blobs_folder.exists()


def damage(blobs: Path, version_digest: str, change: bytes | None) -> None:
    name = version_digest.removeprefix("sha256:")
    path = blobs / "sha256" / name[:2] / name
    data = path.read_bytes()
    path.unlink()
    if change is not None:
        path.write_bytes(data[: -len(change)] + change if change else data[:-10])


@pytest.mark.parametrize(("change", "message"), [(b"", "bytes, not"), (None, "is missing")])
def test_a_vector_whose_blob_is_truncated_or_gone_is_an_integrity_error(
    store: Store, blobs_folder: Path, change: bytes | None, message: str
):
    version = store.save("love", make_vector(), make_card(make_vector())).version
    damage(blobs_folder, version.blobs[0].digest, change)
    with pytest.raises(IntegrityError, match=rf"{message}.*; restore it from a backup"):
        store.read("love")


def test_altered_items_are_an_integrity_error(store: Store, blobs_folder: Path):
    version = store.save("love", make_vector(), make_card(make_vector(), items=MANY_ITEMS)).version
    damage(blobs_folder, version.blobs[1].digest, b'"}\n ')
    with pytest.raises(IntegrityError, match="was altered"):
        store.read("love")


def test_saving_again_mends_a_damaged_blob(store: Store, blobs_folder: Path):
    vector = make_vector()
    version = store.save("love", vector, make_card(vector)).version
    damage(blobs_folder, version.blobs[0].digest, b"")
    assert not store.save("love", vector, make_card(vector)).created
    assert store.read("love")[0] == vector
