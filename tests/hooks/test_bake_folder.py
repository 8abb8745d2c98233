"""The folder of a baked model: whole or not there, loaded by plain transformers, and it says what went in."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.builders import make_card, make_vector
from tests.extract.tiny_tokenizer import ids_of, tiny_tokenizer
from tests.hooks.probe import add_plan, direction_of
from tests.tiny_models import tiny_model
from vectorstore.compose import compose
from vectorstore.errors import ConflictError, NotFoundError, UnavailableError
from vectorstore.hooks.baking import Baked, bake, save_baked
from vectorstore.hooks.fit import CompatibleModelWarning
from vectorstore.hooks.steer import steer
from vectorstore.models import load_model
from vectorstore.models.identity import Origin, identify, remember
from vectorstore.place import Place
from vectorstore.store import Store
from vectorstore.store.feed import feed

POST = Place("resid_post", 1)
IDS = torch.tensor([ids_of("so it goes")])


@pytest.fixture
def baked(store: Store) -> Baked:
    """Bake a preset of a vector, through a recipe, into a Llama."""
    model = tiny_model()
    remember(model, Origin("acme/tiny", "abc123", tiny_tokenizer()))
    vector = make_vector(1, width=32, site="resid_post")
    card = make_card(vector, model=identify(model))
    store.save("love", vector, card, presets={"strong": 2}, license="MIT", authors=["Ada | Co"], description="<b>")
    return bake(model, compose(store, "love:strong + 0.5*love"))


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Give a folder with nothing in it."""
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def plain() -> Baked:
    return bake(tiny_model(), add_plan(POST, direction_of(32)))


def test_plain_transformers_loads_what_the_hooks_do(baked: Baked, store: Store, tmp_path: Path):
    save_baked(baked, tiny_tokenizer(), tmp_path / "steered", store)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "steered")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "steered")
    inputs = tokenizer("so it goes", return_tensors="pt")
    assert torch.equal(inputs["input_ids"], IDS), "BOS is put first"
    original = tiny_model()
    remember(original, Origin("acme/tiny", "abc123", tiny_tokenizer()))
    with torch.no_grad(), steer(original, baked.plan):
        hooked = original(input_ids=IDS).logits
    with torch.no_grad():
        torch.testing.assert_close(model(input_ids=IDS).logits, hooked)
    assert {path.stat().st_mode for path in (tmp_path / "steered").iterdir()} == {
        (tmp_path / "steered" / "config.json").stat().st_mode
    }


def test_the_record_says_what_went_in(baked: Baked, store: Store, tmp_path: Path):
    record = save_baked(baked, tiny_tokenizer(), tmp_path / "steered", store)
    assert json.loads((tmp_path / "steered" / "steering.json").read_text("utf-8")) == record
    version = store.resolve("love@1")
    assert record["expression"] == "love:strong + 0.5*love"
    (made_of,) = record["versions"]
    assert (made_of["version"], made_of["digest"]) == ("default/love@1", version.digest)
    assert (made_of["license"], made_of["authors"]) == ("MIT", ["Ada | Co"])
    assert record["presets"]["love:strong"]["coefficient"] == "2"
    assert (record["base"]["reference"], record["base"]["revision"]) == ("acme/tiny", "abc123")
    assert record["changed"] == ["model.layers.1.mlp.down_proj.bias"]
    assert record["config"] == {"mlp_bias": True}
    assert record["begins_with"] == "<bos>"
    again, _ = load_model(str(tmp_path / "steered"))
    assert identify(again).fingerprint == record["fingerprint"] != record["base"]["fingerprint"]
    assert save_baked(baked, tiny_tokenizer(), tmp_path / "again", store) == record


def test_the_card_names_base_versions_and_licenses(baked: Baked, store: Store, tmp_path: Path):
    save_baked(baked, tiny_tokenizer(), tmp_path / "steered", store)
    card = (tmp_path / "steered" / "README.md").read_text("utf-8")
    assert card.startswith('---\nbase_model: "acme/tiny"\nlibrary_name: transformers\n')
    for said in ("`acme/tiny` at revision `abc123`", "    love:strong + 0.5*love\n", "| add | resid_post.1 |"):
        assert said in card
    digest = store.resolve("love").digest[:19]
    assert f"| default/love@1 | {digest} | mean_difference | acme/tiny | MIT | Ada \\| Co |" in card
    assert "`mlp_bias` is true" in card


def test_the_library_records_where_its_versions_went(baked: Baked, store: Store, tmp_path: Path):
    record = save_baked(baked, tiny_tokenizer(), tmp_path / "steered", store)
    event = feed(store)[-1]
    assert (event.action, event.subject) == ("version.bake", "default/love@1")
    assert event.after == {
        "folder": "steered",
        "base": "acme/tiny",
        "fingerprint": record["fingerprint"],
        "expression": "love:strong + 0.5*love",
    }


def test_a_version_that_was_deleted_since_is_still_told(baked: Baked, store: Store, tmp_path: Path):
    store.delete("love@1")
    (made_of,) = save_baked(baked, tiny_tokenizer(), tmp_path / "steered", store)["versions"]
    assert made_of["digest"]
    assert "license" not in made_of
    assert feed(store)[-1].action == "version.delete"


def test_steering_it_once_more_warns_that_its_weights_are_others(baked: Baked, store: Store, tmp_path: Path):
    save_baked(baked, tiny_tokenizer(), tmp_path / "steered", store)
    model, tokenizer = load_model(str(tmp_path / "steered"))
    plan = compose(store, "love", model=identify(model, tokenizer))
    with pytest.warns(CompatibleModelWarning, match="acme/tiny, which has other weights than steered"):
        with steer(model, plan):
            model(input_ids=IDS)


def test_a_folder_that_is_empty_is_filled_and_another_left_alone(models: Path):
    (models / "empty").mkdir()
    save_baked(plain(), tiny_tokenizer(), models / "empty")
    assert (models / "empty" / "model.safetensors").is_file()
    before = sorted(models.rglob("*"))
    with pytest.raises(ConflictError, match="empty is there already, and not empty"):
        save_baked(plain(), tiny_tokenizer(), models / "empty")
    (models / "file").touch()
    (models / "link").symlink_to("nowhere")
    for name in ("file", "link"):
        with pytest.raises(ConflictError, match=f"{name} is there already"):
            save_baked(plain(), tiny_tokenizer(), models / name)
    with pytest.raises(NotFoundError, match="there is no folder"):
        save_baked(plain(), tiny_tokenizer(), models / "none" / "steered")
    assert sorted(models.rglob("*")) == sorted([*before, models / "file", models / "link"])


def test_a_failure_on_the_way_leaves_nothing(models: Path):
    broken = tiny_tokenizer()
    broken.init_kwargs["more"] = object()
    with pytest.raises(TypeError, match="not JSON serializable"):
        save_baked(plain(), broken, models / "steered")
    assert list(models.iterdir()) == []


FULL_DISK = """
    import os, resource, signal, sys
    from tests.extract.tiny_tokenizer import tiny_tokenizer
    from tests.hooks.probe import add_plan, direction_of
    from tests.tiny_models import tiny_model
    from vectorstore.errors import UnavailableError
    from vectorstore.hooks.baking import bake, save_baked
    from vectorstore.place import Place

    baked = bake(tiny_model(), add_plan(Place("resid_post", 1), direction_of(32)))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    for limit in sys.argv[2:]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
        try:
            save_baked(baked, tiny_tokenizer(), sys.argv[1])
        except UnavailableError as error:
            print(limit, error, os.listdir(os.path.dirname(sys.argv[1])))
"""
LIMITS = ["100", "2500", "20000"]


def test_a_full_disk_leaves_nothing(models: Path):
    words = [str(models / "steered"), *LIMITS]
    script = textwrap.dedent(FULL_DISK)
    done = subprocess.run([sys.executable, "-c", script, *words], check=True, capture_output=True, text=True)
    for limit, said in zip(LIMITS, done.stdout.splitlines(), strict=True):
        assert said.startswith(f"{limit} cannot write"), done.stdout
        assert said.endswith(" []")


def test_a_folder_that_cannot_be_written_is_unavailable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir("/proc")
    with pytest.raises(UnavailableError, match="cannot write steered"):
        save_baked(plain(), tiny_tokenizer(), "steered")
