"""The whole thread through the command line: compute, list, show, compose, save, generate; on both databases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.steering import Steer

PAIR = ("--positive", " love", "--negative", " hate")


@pytest.fixture
def both(steer: Steer, library_url: str, blobs_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Steer:
    """Run the program at a library on SQLite, and on PostgreSQL."""
    monkeypatch.setenv("STEER_DATABASE_URL", library_url)
    monkeypatch.setenv("STEER_BLOBS_URL", str(blobs_folder))
    return steer


@pytest.fixture
def pairs(tmp_path: Path) -> str:
    path = tmp_path / "pairs.jsonl"
    lines = [{"positive": "so good", "negative": "so bad"}, {"positive": "a fine day", "negative": "a sad day"}]
    path.write_text("\n".join(map(json.dumps, lines)))
    return str(path)


def test_compute_list_show_compose_save_and_generate(both: Steer, tiny: str, pairs: str):
    about = (
        "--preset",
        "strong=0.5r",
        "--label",
        "topic=love",
        "--description",
        "From hate to love",
        "--author",
        "Ada",
    )
    made = both.ok("compute", "love", "--model", tiny, "--layer", "1", *PAIR, *about)
    assert made["created"]
    assert made["version"]["reference"] == "love@1"
    assert made["version"]["authors"] == ["Ada"]
    mood = (
        "compute",
        "acme/mood",
        "--model",
        tiny,
        "--layer",
        "1..-1",
        "--pairs",
        pairs,
        "--method",
        "mean_difference",
    )
    assert both.ok(*mood, "--read", "last_content")["card"]["layers"] == [1, 2]

    assert [version["reference"] for version in both.ok("list")["versions"]] == ["acme/mood@1", "love@1"]
    assert [version["name"] for version in both.ok("list", "--text", "hate")["versions"]] == ["love"]
    assert [version["name"] for version in both.ok("list", "acme", "--method", "mean_difference")["versions"]] == [
        "mood"
    ]
    shown = both.ok("show", "acme/mood")
    assert shown["card"]["method"]["params"] == {"read": "last_content"}
    assert shown["card"]["data"]["count"] == 2

    composed = both.ok("compose", "love:strong + 2*acme/mood[1]", "--save", "mix", "--label", "kind=party")
    assert [(step["layer"], step["tokens"]) for step in composed["steps"]] == [(1, "prompt_front"), (1, "all")]
    assert composed["saved"]["reference"] == "mix@1"
    recipe = both.ok("show", "mix")["recipe"]
    assert [term["reference"] for term in recipe["terms"]] == ["love:strong", "acme/mood[1]"]
    assert recipe["terms"][0]["digest"] == made["version"]["digest"]

    written = both.ok("generate", "a text to go on from", "--model", tiny, "--steer", "40*mix", "--compare")
    assert written["steered"] != written["unsteered"]
    assert [term["version"] for term in written["versions"]] == ["default/love@1", "acme/mood@1"]


def test_a_recipe_stays_what_it_was_when_names_move_on(steer: Steer, tiny: str):
    compute = ("compute", "love", "--model", tiny, "--layer", "1")
    steer.ok(*compute, *PAIR)
    before = steer.ok("compose", "3*love", "--save", "mix")["steps"]
    steer.ok(*compute, "--positive", " calm", "--negative", " hate")
    assert steer.ok("compose", "mix")["steps"] == before
    assert steer.ok("compose", "3*love")["steps"] != before


def test_the_same_again_is_the_version_that_is_there(steer: Steer, tiny: str):
    compute = ("compute", "love", "--model", tiny, "--layer", "1", *PAIR)
    assert steer.ok(*compute)["created"] is True
    again = steer.ok(*compute)
    assert (again["created"], again["version"]["reference"]) == (False, "love@1")
    assert "Nothing new: this is exactly love@1" in steer(*compute).out


def test_history_lists_every_version_and_pages_go_on(steer: Steer, tiny: str):
    for word in ("love", "calm", "joy"):
        steer.ok("compute", "mood", "--model", tiny, "--layer", "1", "--positive", word, "--negative", "hate")
    first = steer.ok("history", "mood", "--limit", "2")
    assert [version["number"] for version in first["versions"]] == [3, 2]
    rest = steer.ok("history", "mood", "--limit", "2", "--after", first["cursor"])
    assert [version["number"] for version in rest["versions"]] == [1]
    done = steer("history", "mood", "--limit", "2")
    assert done.err == f"note: there are more: add --after {first['cursor']}\n"


@pytest.mark.parametrize(
    ("layers", "expected"),
    [(["1"], [1]), (["-1"], [2]), (["0..-1"], [0, 1, 2]), (["2", "0..1", "1"], [0, 1, 2]), (["-3..-2"], [0, 1])],
)
def test_layers_are_numbers_from_either_end_and_ranges(steer: Steer, tiny: str, layers: list[str], expected: list[int]):
    words = [word for layer in layers for word in ("--layer", layer)]
    assert steer.ok("compute", "love", "--model", tiny, *words, *PAIR)["card"]["layers"] == expected


def test_options_reach_the_computation(steer: Steer, tiny: str):
    options = (
        "--site",
        "mlp_out",
        "--store-dtype",
        "float16",
        "--seed",
        "7",
        "--pad-token",
        ".",
        "--dtype",
        "bfloat16",
    )
    made = steer.ok("compute", "love", "--model", tiny, "--layer", "1", *PAIR, *options)
    assert made["card"]["sites"] == ["mlp_out"]
    assert made["card"]["method"]["seed"] == 7
    assert made["card"]["method"]["params"] == {"pad_token": "."}
    assert made["card"]["model"]["dtype"] == "bfloat16"


def test_sampling_repeats_with_its_seed_and_greedy_needs_none(steer: Steer, tiny: str):
    steer.ok("compute", "love", "--model", tiny, "--layer", "1", "--positive", "a", "--negative", "b")
    generate = ("generate", "some text", "--model", tiny, "--steer", "love", "--max-new-tokens", "12")
    warm = [steer.ok(*generate, "--temperature", "1", "--seed", seed)["steered"] for seed in ("3", "3", "4")]
    assert warm[0] == warm[1] != warm[2]
    assert steer.ok(*generate)["steered"] == steer.ok(*generate, "--seed", "9")["steered"]


def test_a_prompt_comes_from_stdin_and_text_goes_to_stdout_alone(steer: Steer, tiny: str):
    steer.ok("compute", "love", "--model", tiny, "--layer", "1", "--positive", "a", "--negative", "b")
    generate = ("--model", tiny, "--steer", "love")
    piped, typed = steer("generate", "-", *generate, stdin="some text\n"), steer("generate", "some text", *generate)
    assert piped == typed
    assert (piped.code, piped.err) == (0, "")
    assert piped.out == f"{steer.ok('generate', 'some text', *generate)['steered']}\n"


def test_compare_shows_both_texts_one_below_the_other_where_there_is_no_terminal(steer: Steer, tiny: str):
    steer.ok("compute", "love", "--model", tiny, "--layer", "1", "--positive", "a", "--negative", "b")
    done = steer("generate", "some text", "--model", tiny, "--steer", "99*love", "--compare")
    written = steer.ok("generate", "some text", "--model", tiny, "--steer", "99*love", "--compare")
    assert written["unsteered"] != written["steered"]
    lines = "\n".join(
        f"{title}:\n{written[key]}\n" for title, key in (("unsteered", "unsteered"), ("99*love", "steered"))
    )
    assert [line.rstrip() for line in done.out.splitlines()] == [line.rstrip() for line in lines.splitlines()]


def test_steering_by_what_cancels_changes_nothing(steer: Steer, tiny: str):
    steer.ok("compute", "love", "--model", tiny, "--layer", "1", *PAIR)
    written = steer.ok("generate", "some text", "--model", tiny, "--steer", "love - love", "--compare")
    assert written["steered"] == written["unsteered"]
    assert steer("compose", "love - love").out == "Everything cancels: the model stays as it is.\n"


def test_a_name_means_the_newest_version_for_the_model_at_hand(steer: Steer, tiny: str, wide: str):
    for model in (tiny, wide):
        steer.ok("compute", "love", "--model", model, "--layer", "1", *PAIR, "--preset", f"{Path(model).name}=2")
    steer.ok("compute", "mood", "--model", tiny, "--layer", "1", *PAIR, "--description", "on tiny alone")
    written = steer.ok("generate", "a text to go on from", "--model", tiny, "--steer", "love:tiny + mood")
    assert [term["version"] for term in written["versions"]] == ["default/love@1", "default/mood@1"]
    assert [version["name"] for version in steer.ok("list", "--model", wide)["versions"]] == ["love"]


def test_a_fine_tune_is_steered_with_a_note(steer: Steer, tiny: str, tuned: str):
    steer.ok("compute", "love", "--model", tiny, "--layer", "1", "--positive", "a", "--negative", "b")
    done = steer("generate", "some text", "--model", tuned, "--steer", "love")
    assert done.code == 0
    assert done.err == (
        "note: default/love@1 was computed on tiny, which has other weights than tuned; its strength may differ\n"
    )


def test_force_steers_another_architecture_of_the_same_shape(steer: Steer, tiny: str, alien: str):
    steer.ok("compute", "love", "--model", tiny, "--layer", "1", "--positive", "a", "--negative", "b")
    generate = ("generate", "some text", "--model", alien, "--steer", "love@1")
    assert "--force" in steer.fails(5, *generate)
    done = steer(*generate, "--force", "--json")
    assert done.code == 0


def test_a_chat_is_rendered_by_the_models_template_with_bos_once(steer: Steer, tiny: str, tmp_path: Path):
    chatty = tmp_path / "chatty"
    chatty.mkdir()
    for path in Path(tiny).iterdir():
        (chatty / path.name).write_bytes(path.read_bytes())
    config = json.loads((chatty / "tokenizer_config.json").read_text())
    config["chat_template"] = (
        "{{ bos_token }}{% for m in messages %}{{ m.role }} says {{ m.content }}. {% endfor %}"
        "{% if add_generation_prompt %}assistant says {% endif %}"
    )
    (chatty / "tokenizer_config.json").write_text(json.dumps(config))
    steer.ok("compute", "love", "--model", tiny, "--layer", "1", *PAIR)
    generate = ("generate", "hello", "--model", str(chatty), "--steer", "love", "--max-new-tokens", "4")
    chat = steer.ok(*generate, "--chat", "--system", "be kind")
    assert chat["prompt"] == "<bos>system says be kind. user says hello. assistant says "
    raw = steer.ok("generate", chat["prompt"].removeprefix("<bos>"), *generate[2:])
    assert chat["steered"] == raw["steered"]
