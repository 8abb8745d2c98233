"""What only a process of its own can show: imports, exit codes, pipes, signals, and what the libraries print."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from cli.edge import run
from tests.blank import blank
from tests.builders import make_card, make_vector
from tests.cli.steering import Steer
from vectorstore.errors import IntegrityError
from vectorstore.store import Store

PROGRAM = str(Path(sys.executable).with_name("steer"))
IMPORTS = """
import sys
from cli.main import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
sys.stderr.write(",".join({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.fixture
def library(home: Path) -> Path:
    """Have one vector in the library of `home`."""
    with Store.open(blank(home / "library.db"), blobs=str(home / "blobs")) as store:
        vector = make_vector([2, 3])
        store.save("love", vector, make_card(vector), presets={"strong": 2}, labels={"topic": "love"})
    return home


def start(*words: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [PROGRAM, *words],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options},  # type: ignore[call-overload]
    )


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["init"],
        ["list"],
        ["list", "--json"],
        ["show", "love"],
        ["history", "love"],
        ["compose", "2*love:strong"],
        ["compose", "love", "--save", "mix"],
        ["alias", "set", "love", "prod"],
        ["label", "set", "love", "topic=joy"],
        ["preset", "set", "love", "mild=1"],
        ["db", "check"],
    ],
)
def test_what_needs_no_model_imports_neither_torch_nor_transformers(library: Path, words: list[str]):
    assert library.exists()
    done = subprocess.run([sys.executable, "-c", IMPORTS, *words], capture_output=True, text=True, check=True)
    modules = set(done.stderr.split(","))
    assert "click" in modules
    assert not modules & {"torch", "transformers"}
    assert words[0] != "list" or "alembic" not in modules
    assert words[0] != "--help" or not modules & {"sqlalchemy", "numpy", "rich"}


def test_the_program_is_silent_about_what_the_libraries_say(home: Path, tiny: str):
    compute = ("compute", "love", "--model", tiny, "--layer", "1", "--positive", "a", "--negative", "b")
    generate = ("generate", "some text", "--model", tiny, "--steer", "love", "--compare", "--temperature", "2")
    for words in (compute, generate):
        process = start(*words)
        out, err = process.communicate()
        assert (process.returncode, err) == (0, "")
        assert out
        assert "\x1b" not in out
    assert home.exists()


@pytest.mark.parametrize("words", [["--help"], ["list"], ["list", "--json"], ["show", "love"]])
def test_a_reader_that_goes_away_is_no_news(library: Path, words: list[str]):
    assert library.exists()
    read, write = os.pipe()
    os.close(read)
    process = start(*words, stdout=write)
    os.close(write)
    assert process.communicate()[1] == ""


def test_output_that_cannot_be_written_is_unavailable(library: Path):
    assert library.exists()
    with Path("/dev/full").open("w") as full:
        process = start("list", stdout=full)
        assert process.communicate()[1].startswith("error: No space left on device; ")
    assert process.returncode == 7


def test_an_interrupt_ends_with_130_and_leaves_the_library_as_it_was(steer: Steer, library: Path, tmp_path: Path):
    assert library.exists()
    before = steer.contents()
    os.mkfifo(tmp_path / "pairs")
    process = start("compute", "mood", "--model", "x", "--layer", "1", "--pairs", str(tmp_path / "pairs"))
    with (tmp_path / "pairs").open("w"):  # goes on once the program reads
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out, err.strip()) == (130, "", "interrupted")
    assert steer.contents() == before


def test_a_bug_is_one_line_and_a_traceback_only_when_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("STEER_DEBUG", raising=False)
    assert run(lambda: {}["x"], as_json=False) == 1
    line = "error: this is a bug in steer: KeyError: 'x'; set STEER_DEBUG=1 to see where it is, and report it\n"
    assert capsys.readouterr() == ("", line)
    monkeypatch.setenv("STEER_DEBUG", "1")
    assert run(lambda: {}["x"], as_json=False) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (IntegrityError("bytes\nare\x1b[31m bad", "look"), 6, "error: bytes are\\x1b[31m bad; look"),
        (click.UsageError("No."), 2, "error: no; see: steer --help"),
        (PermissionError(13, "Permission denied", "/x"), 7, "error: /x: Permission denied; check that the folder"),
        (MemoryError(), 7, "error: there is not enough memory; use a smaller --batch-size"),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), 7, "error: torch is not installed; pip install"),
        (click.Abort(), 130, "interrupted"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_every_end_has_its_code_and_its_line(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, line: str
):
    def program() -> None:
        raise error

    assert run(program, as_json=False) == code
    err = capsys.readouterr().err
    assert err.startswith(line)
    assert err.count("\n") == 1
