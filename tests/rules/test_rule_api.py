"""A rule of another project, written against ``mpbuild.rule_api`` alone: the documented example."""

import ast
import sys
import textwrap
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import msgspec
import pytest

from mpbuild import rule_api
from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.effects.installation import load_rule
from mpbuild.effects.sandbox.host_executor import HostExecutor
from mpbuild.effects.store.store import Store
from mpbuild.engine.graph import Graph

PYTHON = "{}.{}".format(*sys.version_info)
EXAMPLE = textwrap.dedent(
    rule_api.__doc__.partition("environment::\n\n")[2].partition("The kinds of rules")[0]
)


@pytest.fixture
def rule(tmp_path, monkeypatch):
    """The example, installed beside mpbuild and loaded by its entry point."""
    site = tmp_path / "site"
    info = site / "inventory-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "inventory.py").write_text(EXAMPLE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: inventory\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mpbuild.rules]\ninventory = inventory:rule\n")
    monkeypatch.syspath_prepend(str(site))
    (entry,) = entry_points(group="mpbuild.rules", name="inventory")
    yield entry.load()
    sys.modules.pop("inventory")


def test_it_imports_nothing_else_of_mpbuild():
    imports = [n for n in ast.walk(ast.parse(EXAMPLE)) if isinstance(n, ast.ImportFrom)]
    assert [node.module for node in imports] == ["mpbuild.rule_api"]


def test_its_task_takes_its_place_in_a_graph(rule):
    base = rule_api.Task(
        name="layer:base",
        action=rule_api.Action(
            rule="files-layer", version=1, executor="derive", outputs=("layer",)
        ),
    )
    task = rule("cpu", PYTHON, (rule_api.Ref("layer:base", "layer"),))
    assert Graph([base, task]).tasks["inventory:cpu"].needs == {"layer:base"}
    assert task.action.environment["PYTHONHASHSEED"] == "0"


def test_its_action_runs_and_leaves_its_output(rule, tmp_path, monkeypatch):
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    (bin_folder / f"python{PYTHON}").symlink_to(Path(sys.executable).resolve())
    monkeypatch.setenv("PATH", str(bin_folder))
    store = Store(tmp_path / "store")
    diff_id = Digest.of(b"layer")
    info = store.tree(diff_id) / f"opt/venv/lib/python{PYTHON}/site-packages/thing-1.5.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.5\n")
    action = msgspec.structs.replace(rule("cpu", PYTHON, ()).action, root=(diff_id,))
    outputs = HostExecutor(store).run(action, 60_000).outputs
    assert "thing 1.5" in store.read(outputs["packages.txt"].digest).decode().splitlines()


def test_the_page_names_every_public_name():
    assert [name for name in rule_api.__all__ if f"``{name}" not in rule_api.__doc__] == []


@pytest.mark.parametrize("count", [0, 2])
def test_a_rule_is_loaded_only_if_exactly_one_package_installs_it(count):
    entry = EntryPoint("bytecode", "mpbuild_rules.bytecode:rule", "mpbuild.rules")
    assert load_rule("bytecode", [entry]) is load_rule("bytecode")
    with pytest.raises(
        EnvironmentFailureError, match=f"{count} packages install the rule"
    ) as caught:
        load_rule("bytecode", [entry] * count)
    assert caught.value.findings[0].code == "rule-missing"
