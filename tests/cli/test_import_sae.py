"""`steer import --feature`: a feature of an autoencoder through the command line, and the page about it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from tests.cli.steering import Steer
from tests.extract.test_every_method import SECTIONS, tiny_words
from vectorstore.store import Store

DECODER = np.random.default_rng(0).standard_normal((1300, 32)).astype(np.float32)
PAGE = Path(__file__).parents[2] / "docs" / "methods" / "sae.md"
PLACE = ("--layer", "1", "--site", "resid_post")


@pytest.fixture
def sae(tmp_path: Path) -> str:
    """Write an autoencoder's weights, and return their path."""
    path = tmp_path / "sae_weights.safetensors"
    safetensors.numpy.save_file({"W_dec": DECODER, "b_dec": np.zeros(32, np.float32)}, path)
    return str(path)


def test_a_feature_becomes_a_version(steer: Steer, tiny: str, sae: str):
    document = steer.ok("import", sae, "--name", "paris", "--feature", "1234", "--model", tiny, *PLACE)
    assert document["card"]["method"]["params"] == {"feature": 1234, "as_stored": False}
    assert document["card"]["data"]["items"][0]["tensors"] == {"resid_post.1": "W_dec[1234]"}
    assert document["notes"] == []
    stored = ("--feature", "7", "--as-stored", "--like", "paris", "--tokens", "generated", "--key", "W_dec")
    steer.ok("import", sae, "--name", "rhymes", *stored, *PLACE)
    with Store.open() as store:
        (unit,) = store.read("paris")[0].directions.values()
        vector, card = store.read("rhymes")
    np.testing.assert_allclose(unit, DECODER[1234] / np.linalg.norm(DECODER[1234]), rtol=1e-6)
    np.testing.assert_array_equal(next(iter(vector.directions.values())), DECODER[7])
    assert card.apply.tokens == "generated"


def test_it_says_where_r_is_not_known(steer: Steer, tiny: str, sae: str):
    steer.ok("import", sae, "--name", "paris", "--feature", "1", "--model", tiny, *PLACE)
    there = ("--layer", "0", "--site", "resid_post")
    document = steer.ok("import", sae, "--name", "rhymes", "--feature", "1", "--like", "paris", *there)
    assert "R is not known at resid_post.0" in document["notes"][0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--feature", "1", "--layer", "1"), "they are not both said; give what it was trained at, such as --layer"),
        (("--feature", "1", "--site", "resid_pre"), "they are not both said"),
        (("--feature", "1", "--layer", "0..1", "--site", "resid_pre"), "of one site at one layer"),
        (("--feature", "1", *PLACE, "--rows", "layers"), "the rows of a decoder are its features; leave --rows out"),
        (("--feature", "1", *PLACE, "--method", "caa"), "the method is 'caa', and that of a feature is sae"),
        (("--feature", "1", *PLACE, "--key", "a", "--key", "b"), "2 keys for one decoder; give one --key"),
        (("--feature", "1300", *PLACE), "feature 1300 is out of range: W_dec has 1300 features; choose 0..1299"),
        (("--as-stored", *PLACE), "--as-stored is about a feature, and none is given"),
    ],
)
def test_what_is_not_clear_is_refused(steer: Steer, tiny: str, sae: str, words: tuple[str, ...], message: str):
    assert message in steer.fails(2, "import", sae, "--name", "paris", "--model", tiny, *words)


def test_it_asks_which_model_before_anything_is_loaded(steer: Steer, sae: str):
    done = steer("import", sae, "--name", "paris", "--feature", "1", *PLACE)
    assert "sae_weights.safetensors does not say which model it is for; give --model REF, or --like" in done.err


def test_the_page_has_its_sections_and_its_example_runs(
    steer: Steer, tiny: str, sae: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    text = PAGE.read_text()
    assert [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")] == list(SECTIONS)
    np.savez(tmp_path / "params.npz", W_dec=DECODER)
    monkeypatch.chdir(Path(sae).parent)
    (commands,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    for line in commands.splitlines():
        done = steer(*tiny_words(line, {"demo": tiny}))
        assert done.code == 0, (line, done.err)
