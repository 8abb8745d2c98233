"""What holds for every command, whatever it does."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from cli.main import COMMANDS
from tests.cli.steering import Steer

SUBCOMMANDS = [
    ("alias", "set"),
    ("alias", "remove"),
    ("bundle", "apply"),
    ("bundle", "create"),
    ("bundle", "verify"),
    ("db", "backup"),
    ("db", "check"),
    ("db", "current"),
    ("db", "downgrade"),
    ("db", "rebuild"),
    ("db", "restore"),
    ("db", "upgrade"),
    ("label", "set"),
    ("label", "remove"),
    ("namespace", "create"),
    ("namespace", "list"),
    ("namespace", "member"),
    ("namespace", "member", "list"),
    ("namespace", "member", "remove"),
    ("namespace", "member", "set"),
    ("namespace", "set"),
    ("preset", "set"),
    ("preset", "remove"),
    ("proposal", "approve"),
    ("proposal", "list"),
    ("proposal", "reject"),
    ("proposal", "show"),
    ("proposal", "withdraw"),
    ("protection", "list"),
    ("protection", "remove"),
    ("protection", "set"),
    ("remote", "add"),
    ("remote", "list"),
    ("remote", "remove"),
    ("token", "create"),
    ("token", "list"),
    ("token", "revoke"),
    ("user", "add"),
    ("user", "admin"),
    ("user", "disable"),
    ("user", "enable"),
    ("user", "list"),
    ("webhook", "add"),
    ("webhook", "enable"),
    ("webhook", "list"),
    ("webhook", "remove"),
]

OF_REMOTES = {path for path in SUBCOMMANDS if path[0] in {"remote", "protection", "proposal", "webhook"}}
WITHOUT_A_LIBRARY = {("methods",), ("demo",), ("datasets",), ("login",), ("logout",)} | OF_REMOTES


def walk(path: tuple[str, ...], command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command with the words that name it."""
    yield path, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from walk((*path, name), child)


def everything() -> list[tuple[tuple[str, ...], click.Command]]:
    return [found for name, entry in COMMANDS.items() for found in walk((name,), entry.load())]


def test_the_commands_are_those_of_the_design():
    names = """init demo compute list show history similar diff import export bundle remote
    login logout push pull sync protection proposal webhook lock compose generate bake score alias
    preset label describe yank deprecate restore delete lineage audit recompute methods datasets serve user token
    namespace gc fsck db"""
    assert list(COMMANDS) == names.split()
    assert sorted(path for path, _ in everything() if len(path) > 1) == sorted(SUBCOMMANDS)


def test_every_command_explains_itself_with_a_sentence_an_example_and_its_options(steer: Steer):
    for path, command in everything():
        done = steer(*path, "--help")
        assert done.code == 0, path
        assert f"steer {' '.join(path)}" in done.out.split("Example")[1], path
        assert command.help, path
        assert command.help.split("\n\n")[0].endswith("."), path
        for option in command.params:
            if isinstance(option, click.Option):
                assert option.help, (path, option.name)


def test_every_command_that_does_something_has_json_and_every_one_of_a_library_says_which():
    for path, command in everything():
        if isinstance(command, click.Group):
            continue
        options = {name for param in command.params for name in param.opts}
        assert "--json" in options, path
        assert {"--database", "--blobs"} <= options or path in WITHOUT_A_LIBRARY, path


def test_the_table_says_of_each_command_what_the_command_says():
    assert {name: entry.help for name, entry in COMMANDS.items()} == {
        name: entry.load().get_short_help_str(1000) for name, entry in COMMANDS.items()
    }


def test_help_names_every_command(steer: Steer):
    lines = [line.split(maxsplit=1) for line in steer("--help").out.splitlines()]
    for name, entry in COMMANDS.items():
        assert [name, entry.help] in lines


def test_nothing_at_all_shows_the_help_and_is_a_usage_error(steer: Steer):
    done = steer()
    assert (done.code, done.out) == (2, "")
    assert "Commands:" in done.err


def test_the_version_is_the_packages(steer: Steer):
    assert steer("--version").out.startswith("steer 0.")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lst"], "there is no command 'lst'; did you mean list? see: steer --help"),
        (["xyzzy"], "there is no command 'xyzzy'; see: steer --help"),
        (["list", "--lable", "a=b"], "no such option '--lable'"),
        (["alias", "sett", "love", "prod"], "steer alias --help"),
        (["show"], "missing argument 'REF'; see: steer show --help"),
        (["list", "a", "b"], "unexpected extra argument"),
        (["list", "--limit", "many"], "'many' is not a valid integer"),
        (["list", "--limit", "0"], "a page of 0 versions; ask for 1 to 1000"),
        (["list", "--label", "topic"], "'topic' is not a label; write topic=weddings"),
        (["list", "--label", "a=1", "--label", "a=2"], "the label a is given twice"),
        (["list", "--after", "x"], "'x' is not a cursor"),
    ],
)
def test_a_usage_error_is_one_line_that_says_where_to_look(steer: Steer, words: list[str], said: str):
    assert said in steer.fails(2, *words)
