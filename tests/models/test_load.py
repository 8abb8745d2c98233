"""Loading from folders and hub ids; each failure is one line that says what to do."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from tqdm import tqdm

from tests.models.tokenizers_for_tests import fast
from tests.tiny_models import tiny_model
from vectorstore.errors import IntegrityError, InvalidInputError, NotFoundError, UnavailableError
from vectorstore.models import load_model
from vectorstore.models.identity import identify
from vectorstore.models.load import source
from vectorstore.models.quiet import quiet


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Save a tiny Llama and a tokenizer that puts no BOS first."""
    path = tmp_path / "tiny-llama"
    tiny_model().save_pretrained(path)
    fast("<s>", "</s>", bos="<s>", eos="</s>").save_pretrained(path)
    return path


def change_config(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_folder_gives_the_saved_model_and_a_tokenizer_with_bos(folder: Path):
    model, tokenizer = load_model(str(folder))
    assert not model.training
    assert tokenizer("hello")["input_ids"] == [0, 7]
    assert model.generation_config.pad_token_id is not None
    saved = tiny_model().state_dict()
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())


def test_identity_remembers_what_loading_knew(folder: Path):
    model, tokenizer = load_model(str(folder))
    identity = identify(model)
    assert identity == identify(model, tokenizer)
    assert (identity.reference, identity.revision, identity.bos_token_id) == ("tiny-llama", None, 0)


def test_all_dtypes_of_one_folder_are_the_same_model(folder: Path):
    identities = [identify(load_model(str(folder), dtype=dtype)[0]) for dtype in ("auto", "float32", "bfloat16")]
    assert [identity.dtype for identity in identities] == ["float32", "float32", "bfloat16"]
    assert {identities[0].fit(identity) for identity in identities} == {"same"}


def test_auto_is_the_dtype_of_the_checkpoint(folder: Path):
    tiny_model().bfloat16().save_pretrained(folder)
    assert load_model(str(folder))[0].dtype == torch.bfloat16


def test_loading_says_what_it_does_and_nothing_else(folder: Path, capfd: pytest.CaptureFixture[str]):
    lines: list[str] = []
    load_model(str(folder), progress=lines.append)
    assert lines == ["Loading tiny-llama"]
    assert capfd.readouterr() == ("", "")


def test_quiet_silences_everything_and_puts_it_back(capfd: pytest.CaptureFixture[str]):
    with quiet():
        warnings.warn("a warning", UserWarning, stacklevel=1)
        logging.getLogger("transformers").error("an error")
        list(tqdm([1, 2], disable=False))
    assert capfd.readouterr() == ("", "")
    list(tqdm([1, 2]))
    logging.getLogger("somebody").error("an error")
    assert "2/2" in capfd.readouterr().err
    with pytest.warns(UserWarning, match="again"):
        warnings.warn("again", UserWarning, stacklevel=1)


@pytest.mark.parametrize(
    ("reference", "location", "revision"),
    [
        ("gpt2", "gpt2", None),
        ("owner/model", "owner/model", None),
        ("owner/model@v1.0", "owner/model", "v1.0"),
        ("owner/model-1.5_b@refs/pr/3", "owner/model-1.5_b", "refs/pr/3"),
    ],
)
def test_a_hub_id_may_name_a_revision(reference: str, location: str, revision: str | None):
    assert source(reference).location == location
    assert source(reference).revision == revision


@pytest.mark.parametrize("reference", ["", "a/b/c", "owner/model@", "two words", "@main", "https://example.org/x"])
def test_what_is_no_reference_lists_what_is(reference: str):
    with pytest.raises(InvalidInputError, match=r"give demo, a folder, a .gguf file or OWNER/MODEL@REVISION"):
        load_model(reference)


@pytest.mark.parametrize("reference", ["./nowhere", "/nowhere/at/all", "~nobody/nowhere", "nothing.gguf"])
def test_a_path_that_is_not_there_is_not_looked_for_on_the_hub(reference: str):
    with pytest.raises(NotFoundError, match=r"there is no (folder|file)"):
        load_model(reference)


def test_a_folder_without_a_model_says_what_is_missing(tmp_path: Path):
    with pytest.raises(NotFoundError, match=r"is no folder with a config.json; name a folder that holds a model"):
        load_model(str(tmp_path))


def test_a_folder_without_weights_says_so(folder: Path):
    (folder / "model.safetensors").unlink()
    with pytest.raises(NotFoundError, match=r"model 'tiny-llama' has no weights"):
        load_model(str(folder))


def test_a_folder_without_a_tokenizer_says_so(folder: Path):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(NotFoundError, match=r"'tiny-llama' has no tokenizer that can be loaded"):
        load_model(str(folder))


def test_truncated_weights_are_an_integrity_error(folder: Path):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(IntegrityError, match=r"a file of model 'tiny-llama' is damaged"):
        load_model(str(folder))


def test_a_config_that_is_no_json_is_an_integrity_error(folder: Path):
    (folder / "config.json").write_text("{")
    with pytest.raises(IntegrityError, match=r"a file of model 'tiny-llama' is damaged"):
        load_model(str(folder))


def test_weights_that_lack_a_tensor_are_refused(folder: Path):
    model = tiny_model()
    state = model.state_dict()
    del state["model.layers.1.mlp.up_proj.weight"]
    model.save_pretrained(folder, state_dict=state)
    with pytest.raises(IntegrityError, match=r"lack model\.layers\.1\.mlp\.up_proj\.weight; it is no whole causal"):
        load_model(str(folder))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"architectures": ["BertForMaskedLM"], "model_type": "bert"}, "is a BertForMaskedLM, not a causal"),
        ({"architectures": None, "model_type": "vit"}, "is not a causal language model"),
        ({"model_type": "from-the-future"}, "does not know the architecture of 'tiny-llama'; upgrade"),
    ],
)
def test_what_is_no_causal_language_model_is_refused(folder: Path, changes: dict[str, object], problem: str):
    change_config(folder, **changes)
    with pytest.raises(InvalidInputError, match=problem):
        load_model(str(folder))


def test_code_that_comes_with_a_model_runs_only_when_asked(folder: Path):
    change_config(folder, auto_map={"AutoConfig": "own.Config"}, model_type="own")
    (folder / "own.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(InvalidInputError, match=r"runs code of its own; read that code, then .* --trust-remote-code"):
        load_model(str(folder))


def test_a_file_that_is_no_gguf_is_an_integrity_error(tmp_path: Path):
    path = tmp_path / "wrong.gguf"
    path.write_bytes(b"GIF89a")
    with pytest.raises(IntegrityError, match=r"wrong.gguf is not a GGUF file"):
        load_model(str(path))


def test_a_truncated_gguf_is_an_integrity_error(tmp_path: Path):
    path = tmp_path / "short.gguf"
    path.write_bytes(b"GGUF\x03\x00\x00\x00" + b"\xff" * 40)
    with pytest.raises(IntegrityError, match=r"short.gguf is no GGUF language model"):
        load_model(str(path))


def test_an_unknown_dtype_lists_those_there_are():
    with pytest.raises(InvalidInputError, match=r"'int3' is not a dtype; choose one of auto, float32"):
        load_model("demo", dtype="int3")  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["toaster", "cuda:99"])
def test_a_device_that_is_not_there_is_told_before_anything_is_loaded(device: str):
    with pytest.raises(UnavailableError, match=f"device '{device}' cannot be used .* use --device cpu"):
        load_model("no/such-model", device=device)


def test_an_id_that_is_not_cached_offline_is_one_line():
    code = "from vectorstore.models import load_model\nload_model('nobody/nothing@main')"
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("vectorstore.errors.UnavailableError: model 'nobody/nothing@main' is not in the local cache")
    assert "HF_HUB_OFFLINE" in last


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_no_tokenizer_is_made_out_of_nothing(tmp_path: Path, architecture: str):
    tiny_model(architecture).save_pretrained(tmp_path / "bare")
    with pytest.raises(
        NotFoundError, match=r"'bare' has no tokenizer that can be loaded \(none of its files is there\)"
    ):
        load_model(str(tmp_path / "bare"))


@pytest.mark.parametrize(
    "text", ["{}", "[]", '{"version": "1.0", "added_tokens": []}', '{"version": "1.0", "added_', ""]
)
def test_a_damaged_tokenizer_is_an_integrity_error(folder: Path, text: str):
    (folder / "tokenizer.json").write_text(text)
    with pytest.raises(IntegrityError, match=r"(the tokenizer|a file) of (model )?'tiny-llama' is damaged"):
        load_model(str(folder))


def test_a_folder_may_have_an_at_sign_in_its_name(folder: Path):
    renamed = folder.rename(folder.with_name("my@model"))
    assert identify(*load_model(str(renamed))).reference == "my@model"


def test_a_folder_that_is_named_from_here_may_have_one_too(folder: Path, monkeypatch: pytest.MonkeyPatch):
    folder.rename(folder.with_name("my@model"))
    monkeypatch.chdir(folder.parent)
    assert identify(*load_model("my@model")).reference == "my@model"
