"""docs/cli.md lists all commands, options, finding codes and exit codes."""

import ast
import re

import click
import grimp
import pytest

from mpbuild.base.codes import Code
from mpbuild.base.errors import MpbuildError
from mpbuild.cli.root import COMMANDS, cli

# Words that are codes and nothing else: `system`, for one, is also a kind of layer.
AMONG_CODES = {str(code) for code in Code if "-" in code}


@pytest.fixture(scope="module")
def reference(checkout):
    return (checkout / "docs/cli.md").read_text()


def section(reference, command):
    return reference.partition(f"\n## {command}\n")[2].partition("\n## ")[0]


def options(command):
    """The options of a command and its subcommands."""
    below = command.commands.values() if isinstance(command, click.Group) else ()
    own = {max(p.opts, key=len) for p in command.params if isinstance(p, click.Option)}
    return own.union(*(options(one) for one in below))


def given(tree):
    """The finding codes that a module names, as members of ``Code``."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="Code"), attr=name) if name in Code.__members__:
                yield Code[name]


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


def test_every_finding_code_is_documented(reference):
    assert [code for code in Code if f"`{code}`" not in reference] == []


def test_every_finding_code_is_documented_with_its_meaning(reference):
    """A row of two codes has two meanings; those that end a process have exit codes instead."""
    rows = re.findall(r"^\| `([a-z`, -]+)` \| (.+) \|$", reference, re.MULTILINE)
    documented = set(rows)
    for codes, meanings in rows:
        documented |= set(zip(codes.split("`, `"), meanings.split("; "), strict=False))
    ending = {Code.INTERRUPTED, Code.INTERNAL}
    assert {(str(code), code.meaning) for code in set(Code) - ending} - documented == set()


def test_every_finding_code_is_one_that_a_command_can_give(checkout):
    graph = grimp.build_graph("mpbuild", cache_dir=None)
    commands = graph.find_descendants("mpbuild.cli")
    modules = commands | graph.find_upstream_modules("mpbuild.cli", as_package=True)
    modules -= {"mpbuild.base.codes", "mpbuild.spec.vocabulary"}
    files = [checkout / "builder" / f"{module.replace('.', '/')}.py" for module in modules]
    trees = [ast.parse(file.read_text()) for file in files if file.is_file()]
    assert set(Code) - {code for tree in trees for code in given(tree)} == set()


def test_no_finding_code_is_written_as_a_string(checkout):
    """A misspelt code would be listed nowhere."""
    spelt = [
        f"{path.relative_to(checkout)}:{node.lineno} {node.value}"
        for path in (checkout / "builder").rglob("*.py")
        if path.name != "codes.py"
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call | ast.Compare | ast.AnnAssign | ast.Assign)
        for node in ast.walk(call)
        if isinstance(node, ast.Constant) and node.value in AMONG_CODES
    ]
    assert spelt == []


def test_every_exit_code_of_an_error_is_documented(reference):
    kinds = [MpbuildError, *MpbuildError.__subclasses__()]
    shown = {int(code) for code in re.findall(r"^\| (\d+) \|", reference, re.MULTILINE)}
    assert {kind.exit_code for kind in kinds} <= shown
