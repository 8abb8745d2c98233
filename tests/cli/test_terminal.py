"""What people see on a terminal: tables that fit its width, colour, progress; and none of it in a pipe."""

from __future__ import annotations

import os
import pty
import re
import struct
import subprocess
import termios
from fcntl import ioctl
from pathlib import Path

import pytest

from cli.answer import printable
from tests.blank import blank
from tests.builders import make_card, make_identity, make_vector
from tests.cli.steering import Steer
from tests.cli.test_process import PROGRAM
from vectorstore.store import Store

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def library(home: Path) -> Path:
    """Have vectors with long names, labels and texts."""
    vector = make_vector([2, 3, 4])
    model = make_identity(reference="HuggingFaceTB/SmolLM2-135M-Instruct", widths=make_card(vector).model.widths)
    with Store.open(blank(home / "library.db"), blobs=str(home / "blobs")) as store:
        for name in ("weddings", "acme/a-name-that-is-rather-long-for-a-table"):
            store.save(
                name,
                vector,
                make_card(vector, model=model),
                presets={"mild": "0.05r", "strong": 2},
                labels={"topic": "weddings", "reviewed-by": "somebody with a long name"},
                description="A description of some length, which does not fit into one line of a terminal. " * 2,
            )
    return home


def on_terminal(columns: int, *words: str) -> str:
    """Run the program on a terminal so wide, and return what it printed there."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        environment.pop(name, None)
    process = subprocess.Popen([PROGRAM, *words], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    printed = b""
    while chunk := _read(ours):
        printed += chunk
    os.close(ours)
    assert process.wait() == 0, printed
    return printed.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says so when the other end is closed
        return b""


@pytest.mark.parametrize("columns", [60, 100])
@pytest.mark.parametrize(
    "words", [["list"], ["show", "weddings"], ["history", "weddings"], ["compose", "weddings:strong - weddings:mild"]]
)
def test_tables_fit_the_terminal(library: Path, columns: int, words: list[str]):
    assert library.exists()
    printed = on_terminal(columns, *words)
    assert "\x1b[1m" in printed
    assert max(map(len, ESCAPES.sub("", printed).splitlines())) <= columns


def test_in_a_pipe_there_is_no_colour_and_nothing_is_cut(steer: Steer, library: Path):
    assert library.exists()
    out = steer("list").out
    assert "\x1b" not in out
    assert "acme/a-name-that-is-rather-long-for-a-table@1" in out
    assert "reviewed-by=somebody with a long name" in out
    assert not any(line.endswith(" ") for line in out.splitlines())


def test_show_gives_presets_in_both_units(steer: Steer, library: Path):
    assert library.exists()
    version = steer.ok("show", "weddings")
    norms = [direction["norm"] for direction in version["directions"].values()]
    lines = {
        line.split()[0]: line for line in steer("show", "weddings").out.splitlines() if line.startswith("weddings:")
    }
    in_r = sorted(2 * norm / 10 for norm in norms)
    assert f"{in_r[0]:.3g}r to {in_r[-1]:.3g}r" in lines["weddings:strong"]
    raw = sorted(0.05 * 10 / norm for norm in norms)
    assert f"{raw[0]:.3g} to {raw[-1]:.3g}" in lines["weddings:mild"]


def test_long_work_shows_where_it_is_and_leaves_no_trace_in_the_text(home: Path, tiny: str):
    compute = ("compute", "love", "--model", tiny, "--layer", "1", "--positive", "a", "--negative", "b")
    printed = on_terminal(100, *compute)
    assert "Starting" in printed
    assert "Loading" in printed
    shown = ESCAPES.sub("", printed)
    assert shown.index("Loading") < shown.index("Saved love@1 (sha256:")
    assert shown.splitlines()[-1].split()[:3] == ["resid_pre", "1", "2"]
    assert home.exists()


def test_control_characters_are_shown_and_not_obeyed():
    assert printable("red \x1b[31m\x9b\x07 é 愛\n\ttab") == "red \\x1b[31m\\x9b\\x07 é 愛\n\ttab"
