"""docs/cli.md lists what there is: commands, options, finding codes, exit codes."""

import ast
import re

import click
import grimp
import pytest

from mpbuild.base.errors import MpbuildError
from mpbuild.cli.root import COMMANDS, cli


@pytest.fixture(scope="module")
def reference(checkout):
    return (checkout / "docs/cli.md").read_text()


def section(reference, command):
    return reference.partition(f"\n## {command}\n")[2].partition("\n## ")[0]


def options(command):
    """The options of a command, and of what is below it."""
    below = command.commands.values() if isinstance(command, click.Group) else ()
    own = {max(p.opts, key=len) for p in command.params if isinstance(p, click.Option)}
    return own.union(*(options(one) for one in below))


def codes(tree):
    """The finding codes that a module gives: ``code=``, ``default_code =``, ``Finding("…"``."""
    for node in ast.walk(tree):
        match node:
            case (
                ast.keyword(arg="code", value=given)
                | ast.AnnAssign(target=ast.Name(id="default_code"), value=given)
                | ast.Call(func=ast.Name(id="Finding"), args=[given, *_])
            ):
                yield from texts(given)


def texts(expression):
    return [
        node.value
        for node in ast.walk(expression)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value
    ]


def test_every_command_has_a_section_and_every_section_a_command(reference):
    sections = set(re.findall(r"^## ([a-z]+)$", reference, re.MULTILINE))
    assert sections == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_documented_with_it(reference, name):
    command = cli.get_command(click.Context(cli), name)
    shown = set(re.findall(r"--?[A-Za-z][A-Za-z-]*", section(reference, name)))
    assert options(command) - shown == set()


def test_every_global_option_is_documented(reference):
    own = {option for p in cli.params for option in p.opts if len(option) == 2 or not p.is_flag}
    shown = set(re.findall(r"--?[A-Za-z][A-Za-z-]*", reference.partition("\n## ")[0]))
    assert own - shown == set()


def test_every_finding_code_that_a_command_can_give_is_documented(reference, checkout):
    graph = grimp.build_graph("mpbuild", cache_dir=None)
    commands = graph.find_descendants("mpbuild.cli")
    modules = commands | graph.find_upstream_modules("mpbuild.cli", as_package=True)
    files = [checkout / "builder" / f"{module.replace('.', '/')}.py" for module in modules]
    trees = [ast.parse(file.read_text()) for file in files if file.is_file()]
    given = {code for tree in trees for code in codes(tree)}
    assert {"spec-invalid", "disk-full", "lock-drift", "internal"} <= given
    assert {code for code in given if f"`{code}`" not in reference} == set()


def test_every_exit_code_of_an_error_is_documented(reference):
    kinds = [MpbuildError, *MpbuildError.__subclasses__()]
    shown = {int(code) for code in re.findall(r"^\| (\d+) \|", reference, re.MULTILINE)}
    assert {kind.exit_code for kind in kinds} <= shown
