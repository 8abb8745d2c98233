"""The manifest: golden bytes, canonical only, and digests that cannot be anything else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectorstore.canonical import canonical_bytes, digest
from vectorstore.errors import IntegrityError, InvalidInputError
from vectorstore.manifest import ITEMS_BLOB, RECIPE_BLOB, VECTOR_BLOB, BlobEntry, Manifest

VECTOR = Manifest(
    "vector",
    (BlobEntry.of(VECTOR_BLOB, b"tensors"), BlobEntry.of(ITEMS_BLOB, b"items")),
    {"org.opencontainers.image.ref.name": "love", "license": "CC-BY-4.0", "description": "Wärme"},
)
GOLDEN = (
    '{"annotations":{"description":"Wärme","license":"CC-BY-4.0","org.opencontainers.image.ref.name":"love"},'
    '"artifactType":"application/vnd.steering-vectorstore.vector.v1+json",'
    '"config":{"data":"e30=","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",'
    '"mediaType":"application/vnd.oci.empty.v1+json","size":2},'
    '"layers":[{"digest":"sha256:26cc73f9fbf623d9a49bbf3f3d88f70195f2de68d7f25b5161f6700e6644cf44",'
    '"mediaType":"application/vnd.safetensors","size":7},'
    '{"digest":"sha256:5f3c4f8580d392e422e7c2f6802674ac27966c98d95c39696e4b2490168e5488",'
    '"mediaType":"application/jsonl","size":5}],'
    '"mediaType":"application/vnd.oci.image.manifest.v1+json","schemaVersion":2}'
).encode()
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)


def altered(change: Callable[[dict[str, Any]], object]) -> bytes:
    value = json.loads(VECTOR.to_bytes())
    change(value)
    return canonical_bytes(value)


def test_a_manifest_has_its_golden_bytes():
    assert VECTOR.to_bytes() == GOLDEN


def test_a_manifest_has_its_golden_digest():
    assert VECTOR.digest == "sha256:e9a08bae82a3c5306fbcdb883bab8e81ea1092edbd2e6e4a028c093868b02173"


def test_the_empty_config_is_the_one_of_the_oci_specification():
    config = json.loads(VECTOR.to_bytes())["config"]
    assert (config["digest"], config["size"]) == (digest(b"{}"), len(b"{}"))


def test_a_manifest_is_no_value_that_can_change():
    annotations = {"license": "MIT"}
    manifest = Manifest("vector", VECTOR.blobs, annotations)
    annotations["license"] = "GPL"
    assert manifest.annotations == {"license": "MIT"}
    with pytest.raises(TypeError):
        manifest.annotations["license"] = "GPL"  # type: ignore[index]


@given(st.sampled_from([("vector", VECTOR_BLOB), ("recipe", RECIPE_BLOB)]), st.binary(), st.dictionaries(TEXTS, TEXTS))
def test_what_is_written_reads_back_equal(kind: tuple[str, str], body: bytes, annotations: dict[str, str]):
    manifest = Manifest(kind[0], (BlobEntry.of(kind[1], body),), annotations)
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest


@given(st.dictionaries(TEXTS, TEXTS, min_size=1))
def test_other_annotations_are_another_version(annotations: dict[str, str]):
    plain = Manifest("vector", VECTOR.blobs)
    assert Manifest("vector", VECTOR.blobs, annotations).digest != plain.digest


def test_an_annotation_that_is_not_text_is_refused_before_it_is_kept():
    with pytest.raises(InvalidInputError, match="surrogates not allowed"):
        Manifest("vector", VECTOR.blobs, {"description": "\udcff"}).to_bytes()


@pytest.mark.parametrize(
    "data",
    [
        GOLDEN + b"\n",
        b" " + GOLDEN,
        GOLDEN.replace(b'":', b'": '),
        GOLDEN.replace("ä".encode(), b"\\u00e4"),
        json.dumps(json.loads(GOLDEN), sort_keys=False).encode(),
        altered(lambda value: value.update(extra=1)),
        altered(lambda value: value.update(schemaVersion=3)),
        altered(lambda value: value.update(mediaType="application/vnd.oci.image.index.v1+json")),
        altered(lambda value: value["config"].update(data="e31=")),
        altered(lambda value: value["layers"][0].update(urls=["http://example.org"])),
        altered(lambda value: value["layers"][0].update(size=7.0)),
    ],
)
def test_only_canonical_bytes_are_read(data: bytes):
    with pytest.raises(IntegrityError):
        Manifest.from_bytes(data)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "sha256:",
        "../../etc/passwd",
        f"sha256:{'/' * 64}",
        f"sha256:..{'/' * 62}",
        f"sha256:{'A' * 64}",
        f"sha256:{'a' * 64}\n",
        f"md5:{'a' * 32}",
        None,
        7,
    ],
)
def test_a_blob_has_a_digest_and_nothing_like_a_path(bad: object):
    with pytest.raises(IntegrityError):
        Manifest.from_bytes(altered(lambda value: value["layers"][0].update(digest=bad)))


@pytest.mark.parametrize("size", [-1, 2**63, True, "7", None])
def test_a_size_is_a_whole_number(size: object):
    with pytest.raises(IntegrityError):
        Manifest.from_bytes(altered(lambda value: value["layers"][0].update(size=size)))


def test_an_unknown_kind_lists_the_known_ones():
    with pytest.raises(IntegrityError, match=r"known: .*vector\.v1.*recipe\.v1"):
        Manifest.from_bytes(altered(lambda value: value.update(artifactType="application/vnd.cncf.helm")))


def test_a_manifest_without_blobs_is_refused():
    with pytest.raises(IntegrityError, match="first blob is not"):
        Manifest.from_bytes(altered(lambda value: value.update(layers=[])))


def test_the_first_blob_is_of_the_manifests_kind():
    recipe = Manifest("recipe", (BlobEntry.of(VECTOR_BLOB, b"tensors"),))
    with pytest.raises(IntegrityError, match="of a recipe, but its first blob is not"):
        Manifest.from_bytes(recipe.to_bytes())


@given(st.data())
def test_a_flipped_byte_is_an_integrity_error_or_another_version(data: st.DataObject):
    raw = bytearray(VECTOR.to_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        manifest = Manifest.from_bytes(bytes(raw))
    except IntegrityError:
        return
    assert manifest.to_bytes() == bytes(raw)
    assert manifest.digest != VECTOR.digest
