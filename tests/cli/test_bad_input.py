"""Bad input: one error line that says what to do next, the right exit code, no traceback, nothing half saved."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import stat
from pathlib import Path

import pytest

from tests.cli.steering import Steer

PAIR = ("--positive", " love", "--negative", " hate")


@pytest.fixture
def love(steer: Steer, tiny: str) -> Steer:
    """Have a vector."""
    steer.ok("compute", "love", "--model", tiny, "--layer", "1", *PAIR, "--preset", "strong=2")
    return steer


def blob_of(steer: Steer, reference: str) -> Path:
    """Return the file of a version's blob, made writable."""
    digest = steer.ok("show", reference)["blobs"][0]["digest"].removeprefix("sha256:")
    path = steer.home / "blobs" / "sha256" / digest[:2] / digest
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    return path


@pytest.mark.parametrize(
    "words",
    [
        ["show", "lov"],
        ["history", "lov"],
        ["compose", "2*lov"],
        ["alias", "set", "lov", "prod"],
        ["alias", "remove", "lov", "prod"],
        ["label", "set", "lov", "topic=love"],
        ["preset", "set", "lov", "mild=1"],
    ],
)
def test_an_unknown_reference_names_the_near_one(love: Steer, words: list[str]):
    assert "there is no 'lov'; did you mean love?" in love.fails(3, *words)


@pytest.mark.parametrize(
    ("reference", "said"),
    [("love@7", "it has @1"), ("love@prod", "it has no aliases; it has @1"), ("love@sha256:00000000", "it has @1")],
)
def test_an_unknown_version_says_which_there_are(love: Steer, reference: str, said: str):
    assert said in love.fails(3, "show", reference)


def test_an_empty_library_says_how_to_begin(steer: Steer):
    assert "make a vector with `steer compute`" in steer.fails(3, "show", "love")
    assert steer("list").err == "note: the library is empty; make a vector with `steer compute`\n"


def test_an_unknown_method_names_those_there_are(steer: Steer):
    words = ("compute", "love", "--model", "nowhere", "--layer", "1", *PAIR, "--method", "actad")
    assert "did you mean actadd? known: actadd, mean_difference" in steer.fails(2, *words)


def test_a_model_that_is_not_named_is_asked_for(steer: Steer):
    assert "missing option '--model'" in steer.fails(2, "compute", "love", "--layer", "1", *PAIR)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("alias", "list", "love"), "'steer alias' has no command 'list'; it has set, remove"),
        (
            ("namespace", "member", "team", "bob", "writer"),
            "'steer namespace member' has no command 'team'; it has list, set, remove",
        ),
    ],
)
def test_a_word_that_is_no_subcommand_is_answered_with_those_there_are(steer: Steer, words: tuple[str, ...], said: str):
    assert said in steer.fails(2, *words)


def test_a_port_that_is_taken_is_one_line_and_nobody_is_made_administrator(steer: Steer):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = steer.fails(7, "serve", "--port", str(port))
    assert f"nothing can listen at 127.0.0.1:{port} (Address already in use)" in said
    assert not (steer.home / "library.db").exists()


def test_methods_can_be_looked_up_by_name(steer: Steer):
    assert [method["name"] for method in steer.ok("methods", "lat", "caa")["methods"]] == ["lat", "caa"]
    assert len(steer.ok("methods")["methods"]) > 10
    assert "did you mean caa" in steer.fails(2, "methods", "cca")


@pytest.mark.parametrize("layers", ["3", "-4", "1..3", "0..99"])
def test_a_layer_out_of_range_lists_the_range(steer: Steer, tiny: str, layers: str):
    said = steer.fails(2, "compute", "love", "--model", tiny, "--layer", layers, *PAIR)
    assert "with 3 layers; choose 0..2, or -3..-1 from the end" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--positive", "", "--negative", "b"], "the positive prompt is empty; say what to steer towards"),
        (["--positive", "a"], "the negative prompt is missing; give --negative TEXT, or --pairs FILE"),
        (["--negative", "a"], "the positive prompt is missing; give --positive TEXT, or --pairs FILE"),
        (["--pairs", "x", "--positive", "a"], "both a file and texts are given"),
        ([*PAIR, "--layer", "one"], "'one' is not a layer; write 6, -1 for the last one, or 6..12"),
        ([*PAIR, "--layer", "2..1"], "layers 2..1 run backwards; write 1..2"),
        ([*PAIR, "--preset", "strong"], "'strong' is not a preset; write mild=2 or strong=0.15r"),
        ([*PAIR, "--preset", "strong=much"], "'much' is not a coefficient; write a number such as 2"),
        ([*PAIR, "--preset", "1=2"], "'1' is not a preset; a preset starts with a letter"),
        ([*PAIR, "--label", "topic="], "the label topic has no value; write topic=VALUE"),
        ([*PAIR, "--read", "last_content"], "actadd has no parameter 'read'; actadd takes pad_token"),
        ([*PAIR, "--method", "mean_difference", "--read", "x"], "choose mean_content or last_content or mean_nonsink"),
        ([*PAIR, "--site", "resid"], "'resid' is not one of 'resid_pre'"),
        (
            ["--positive", "love", "--negative", "", "--pad-token", "two"],
            "give another text of exactly one token with --pad-token",
        ),
        ([*PAIR, "--device", "abacus"], "device 'abacus' cannot be used"),
    ],
)
def test_an_option_that_cannot_be_used_says_what_can(steer: Steer, tiny: str, options: list[str], said: str):
    assert said in steer.fails(
        2 if "device" not in said else 7, "compute", "love", "--model", tiny, "--layer", "1", *options
    )


def test_a_name_that_is_none_is_refused_before_any_work(steer: Steer):
    said = steer.fails(2, "compute", "1love", "--model", "nowhere", "--layer", "1", *PAIR)
    assert "'1love' is not a name; a name starts with a letter" in said


@pytest.mark.parametrize(
    ("lines", "code", "said"),
    [
        (None, 3, "cannot read pairs from"),
        ("", 2, "has no pairs; write lines such as"),
        ('{"positive": "a", "negative": "b"}\n{"positive": "a"}', 2, "pairs.jsonl line 2 is not a contrast pair"),
    ],
)
def test_pairs_that_cannot_be_read_name_the_line(steer: Steer, tmp_path: Path, lines: str | None, code: int, said: str):
    if lines is not None:
        (tmp_path / "pairs.jsonl").write_text(lines)
    words = ("compute", "love", "--model", "nowhere", "--layer", "1", "--pairs", str(tmp_path / "pairs.jsonl"))
    assert said in steer.fails(code, *words)


def test_a_vector_for_another_width_never_passes(love: Steer, wide: str):
    generate = ("generate", "some text", "--model", wide, "--steer")
    assert "no version of love fits wide (3 layers of width 64)" in love.fails(5, *generate, "love")
    said = love.fails(5, *generate, "love@1", "--force")
    assert "default/love@1 was computed on tiny (3 layers of width 32); this model is wide" in said


def test_a_vector_for_another_model_needs_force(love: Steer, alien: str):
    assert "--force" in love.fails(5, "generate", "some text", "--model", alien, "--steer", "love@1")


def test_vectors_of_two_models_do_not_go_together(love: Steer, wide: str):
    love.ok("compute", "broad", "--model", wide, "--layer", "1", *PAIR)
    assert "compose vectors of one model" in love.fails(5, "compose", "love + broad")


@pytest.mark.parametrize("size", [0, 1, 100, -1])
def test_a_truncated_blob_is_told(love: Steer, tiny: str, size: int):
    path = blob_of(love, "love")
    whole = path.read_bytes()
    path.write_bytes(whole[:size])
    for words in (["show", "love"], ["compose", "love"], ["generate", "hi", "--model", tiny, "--steer", "love"]):
        assert "bytes, not" in love.fails(6, *words)
    path.write_bytes(whole)
    assert love("show", "love").code == 0


def test_a_missing_blob_is_told(love: Steer):
    path = blob_of(love, "love")
    path.unlink()
    assert "is missing; restore it from a backup" in love.fails(6, "show", "love")


@pytest.mark.parametrize(
    ("where", "what"),
    [
        (0, b"\xff" * 8),  # a header of 2**64 bytes
        (8, b"[" * 200),  # deep JSON
        (20, b"\xff\x00\x80"),  # not UTF-8
        (9, b'"../../../etc/passwd":'),  # a tensor of that name
    ],
)
def test_a_hostile_blob_of_the_right_size_is_told(love: Steer, where: int, what: bytes):
    path = blob_of(love, "love")
    data = bytearray(path.read_bytes())
    data[where : where + len(what)] = what
    path.write_bytes(data)
    love.fails(6, "show", "love")
    love.fails(6, "compose", "2*love")


def test_a_folder_that_cannot_be_made_is_unavailable(steer: Steer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("STEER_HOME", str(tmp_path / "file" / "home"))
    for words in (["init"], ["list"], ["compute", "love", "--model", "nowhere", "--layer", "1", *PAIR]):
        assert str(tmp_path / "file") in steer.fails(7, *words)


def test_a_read_only_folder_can_be_read_and_not_changed(love: Steer, tiny: str, monkeypatch: pytest.MonkeyPatch):
    may = os.access  # permissions do not bind root
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != love.home and may(path, mode))
    assert love("show", "love").code == 0
    assert "readonly database" in love.fails(7, "alias", "set", "love", "prod")
    assert "readonly database" in love.fails(7, "compute", "hate", "--model", tiny, "--layer", "1", *PAIR)
    assert "readonly database" in love.fails(7, "compose", "love", "--save", "mix")


def test_a_database_newer_than_the_program_says_what_to_install(love: Steer):
    with sqlite3.connect(love.home / "library.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    for words in (["init"], ["show", "love"], ["db", "upgrade"], ["db", "check"]):
        done = love(*words)
        assert done.code == 7
        assert "pip install -U steering-vectorstore" in done.err
        assert done.err.count("\n") == 1


def test_a_file_that_is_no_database_is_told(steer: Steer):
    steer.home.mkdir()
    (steer.home / "library.db").write_text("not a database, though long enough to be taken for one" * 20)
    assert steer("list").code == 6
    assert "damaged or not an SQLite database" in steer("list").err


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (["model.safetensors"], "has no weights"),
        (["config.json"], "config.json; name a folder that holds a model"),
        (["tokenizer.json", "tokenizer_config.json"], "tokenizer"),
    ],
)
def test_a_model_with_parts_missing_says_which(steer: Steer, tiny: str, tmp_path: Path, missing: list[str], said: str):
    folder = tmp_path / "partial"
    shutil.copytree(tiny, folder)
    for name in missing:
        (folder / name).unlink()
    assert said in steer.fails(3, "compute", "love", "--model", str(folder), "--layer", "1", *PAIR)


def test_damaged_weights_are_told(steer: Steer, tiny: str, tmp_path: Path):
    folder = tmp_path / "damaged"
    shutil.copytree(tiny, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "is damaged" in steer.fails(6, "compute", "love", "--model", str(folder), "--layer", "1", *PAIR)


def test_a_model_folder_that_is_not_there_is_not_found(steer: Steer, tmp_path: Path):
    said = steer.fails(3, "compute", "love", "--model", str(tmp_path / "nowhere"), "--layer", "1", *PAIR)
    assert "name a folder, a .gguf file or a hub id" in said


@pytest.mark.parametrize(
    ("expression", "column", "said"),
    [
        ("love +", 7, "expected a name, a number or '('"),
        ("2*(love", 8, "a '(' is not closed"),
        ("2*ablate(love)", 3, "ablate"),
        ("love - hate!", 8, "hate!"),
        ("", 1, "the expression is empty"),
        ("0.15r*(love)+love love", 19, "expected + - * or 'then'"),
        ("love:nope", 1, "no preset"),
        ("love[2]", 1, "there is no layer 2 in it"),
    ],
)
def test_an_expression_that_cannot_be_points_at_its_column(love: Steer, expression: str, column: int, said: str):
    for words in (["compose", expression], ["compose", expression, "--save", "mix"]):
        done = love(*words, "--json")
        assert done.code in (2, 3)
        assert said in love.fails(done.code, *words)
        if expression:
            assert f"column {column} of '{expression}'" in done.err


def test_an_expression_is_read_before_the_model_is_loaded(love: Steer):
    words = ("generate", "hi", "--model", "nowhere", "--steer")
    assert love.fails(2, *words, "love +")
    assert love.fails(3, *words, "love + hate")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["", "--steer", "love"], "the prompt is empty"),
        (["hi", "--steer", "love"], "use a longer prompt, or steer with truncate=True (steer generate: --truncate)"),
        (["some text", "--steer", "love", "--system", "x"], "a system message belongs to a chat; add --chat"),
        (["some text", "--steer", "love", "--chat"], "the model has no chat template"),
        (["some text", "--steer", "love", "--max-new-tokens", "500"], "exceed the model's 128"),
        (["some text"], "missing option '--steer'"),
    ],
)
def test_a_prompt_that_cannot_be_gone_on_from_says_why(love: Steer, tiny: str, words: list[str], said: str):
    assert said in love.fails(2, "generate", *words, "--model", tiny)


def test_a_recipe_name_cannot_become_a_vector_and_nothing_is_kept(love: Steer, tiny: str):
    love.ok("compose", "2*love", "--save", "mix")
    assert "mix is a recipe" in love.fails(5, "compute", "mix", "--model", tiny, "--layer", "1", *PAIR)


def test_words_about_a_recipe_need_a_recipe(love: Steer):
    assert "add --save NAME" in love.fails(2, "compose", "love", "--label", "a=b")


def test_the_error_document_says_what_the_line_says(love: Steer):
    done = love("compose", "love + nope", "--json")
    error = done.json["error"]
    assert done.err == f"error: {error['problem']}; {error['hint']}\n"
    assert (error["kind"], error["exit_code"]) == ("NotFoundError", 3)
    assert json.loads(love("compose", "love +", "--json").out)["error"]["column"] == 7


def test_text_of_another_encoding_is_told(love: Steer, tiny: str):
    generate = ("generate", "--model", tiny, "--steer", "love")
    assert "the prompt is not valid UTF-8 (at character 3)" in love.fails(2, *generate, "hi\udcff")
    assert "the system message is not valid UTF-8" in love.fails(2, *generate, "hi", "--chat", "--system", "\udcff")


def test_a_seed_that_is_too_large_is_told(love: Steer, tiny: str):
    words = ("generate", "hi", "--model", tiny, "--steer", "love", "--temperature", "1", "--seed", str(2**64))
    assert "--seed" in love.fails(2, *words)


@pytest.mark.parametrize(
    "words",
    [
        ["list"],
        ["show", "love"],
        ["history", "love"],
        ["alias", "set", "love", "prod"],
        ["label", "set", "love", "topic=love"],
        ["preset", "set", "love", "mild=1"],
    ],
)
def test_looking_at_a_library_that_was_named_and_is_not_there_makes_none(
    steer: Steer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
):
    url = f"sqlite:///{tmp_path}/typo/library.db"
    assert "there is no library at" in steer.fails(3, *words, "--database", url)
    monkeypatch.setenv("STEER_DATABASE_URL", url)
    assert "there is no library at" in steer.fails(3, *words)
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize("option", ["--database", "--blobs"])
def test_an_empty_url_is_refused(steer: Steer, option: str):
    assert f"{option} is empty" in steer.fails(2, "list", option, "")


@pytest.mark.parametrize("model", ["~nobody-has-this-name/x", "x" * 300])
def test_a_model_that_is_no_path_is_looked_for_as_it_is(steer: Steer, model: str):
    assert steer("list", "--model", model).err.startswith("note: nothing matches")


def test_an_expression_that_begins_with_a_minus_is_told_to_begin_with_a_space(love: Steer):
    assert "needs a space before it: ' -love'" in love.fails(2, "compose", "-love")
    assert love.ok("compose", " -love")["steps"]


def test_an_expression_without_quotes_is_told_of_them(love: Steer):
    assert "put the whole expression in quotes" in love.fails(2, "compose", "love", "+", "love")


def test_a_search_for_half_a_word_is_told_of_the_star(love: Steer):
    assert "try --text 'lov*'" in love("list", "--text", "lov").err
    assert love.ok("list", "--text", "lov*")["versions"]


def test_a_norm_that_no_text_gives_is_noted(love: Steer, tiny: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("cli.compute.LARGE", 1e-6)  # tiny models have no attention sinks of their own
    done = love("compute", "sink", "--model", tiny, "--layer", "1", *PAIR)
    assert done.code == 0
    assert "times R: a token it was read at is an attention sink" in done.err
