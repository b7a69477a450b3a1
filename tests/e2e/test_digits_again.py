"""Building again does what a change makes necessary, and nothing else."""

import re
import subprocess

import pytest

pytestmark = [pytest.mark.network, pytest.mark.sandbox]
LAZY = ("mpbuild.locks", "mpbuild.spec", "mpbuild.derive", "mpbuild.engine", "mpbuild_rules")


def change(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def titles(names):
    """Layers and steps that ran, without what makes their names unique."""
    return {name.rpartition(":")[0] if name.startswith("layer:") else name for name in names}


def differing(before, after):
    assert before.keys() == after.keys()
    return {title for title in before if before[title] != after[title]}


@pytest.fixture
def mpbuild(digits, workspace):
    """In a copy of the workspace, with the store that holds the package."""
    return digits.mpbuild._replace(workspace=workspace)


def test_another_copy_of_the_workspace_runs_nothing(digits, mpbuild):
    answer = mpbuild.build()
    assert answer.digest == digits.digest
    assert answer.ran == set()


def test_building_again_runs_nothing(digits, mpbuild):
    first = mpbuild.build().target
    again = mpbuild.build().target
    assert again["package"]["digest"] == digits.digest
    assert again["actions"] == {**first["actions"], "run": 0, "cached": first["actions"]["total"]}
    assert again["record"] == first["record"], "nothing was built, so nothing was recorded"
    assert again["seconds"] < 2


def test_building_again_reads_no_spec_and_no_lock_and_loads_no_rule(mpbuild):
    def modules():
        command = mpbuild.words(*mpbuild.BUILD)
        command.insert(command.index(mpbuild.python) + 1, "-v")
        told = subprocess.run(
            command, env=mpbuild.environment, capture_output=True, text=True, check=True
        )
        return set(re.findall(r"^import '([\w.]+)' #", told.stderr, re.MULTILINE))

    first, again = modules(), modules()
    assert set(LAZY) <= first, "the probe sees what is imported"
    assert {name for name in again if name.startswith(LAZY)} == set()
    assert {"tomlkit", "urllib3", "packaging", "pysequoia"} & again == set()


def test_a_changed_source_line_makes_the_code_layer_alone(digits, mpbuild):
    source = mpbuild.workspace / "examples/digits/src/digits/__init__.py"
    source.write_text(source.read_text() + "\nCHANGED = True\n")
    answer = mpbuild.build()
    assert titles(answer.ran) == {"layer:code"}
    assert differing(digits.layers(digits.digest), digits.layers(answer.digest)) == {"code"}
    files = [digits.layers(digest, "pex") for digest in (digits.digest, answer.digest)]
    hashing_it = {"PEX-INFO", "__main__.py", "__pex__/__init__.py"}
    assert differing(*files) == {"digits/__init__.py", *hashing_it}
    shared = [digits.layers(digest, "model") for digest in (digits.digest, answer.digest)]
    assert differing(*shared) == {"code.tar.gz"}


def test_a_comment_in_the_spec_changes_nothing(digits, mpbuild):
    spec = mpbuild.workspace / "examples/digits/model.toml"
    spec.write_text("# A comment.\n" + spec.read_text())
    answer = mpbuild.build()
    assert answer.ran == set()
    assert answer.digest == digits.digest


def test_a_changed_version_makes_the_layer_with_the_spec_alone(digits, mpbuild):
    spec = mpbuild.workspace / "examples/digits/model.toml"
    change(spec, 'name = "digits"\nversion = "1.4.0"', 'name = "digits"\nversion = "1.4.1"')
    answer = mpbuild.build()
    assert titles(answer.ran) == {"layer:spec and locks"}
    changed = differing(digits.layers(digits.digest), digits.layers(answer.digest))
    assert changed == {"spec and locks"}


def test_a_changed_step_runs_again_and_reaches_only_what_comes_of_it(digits, mpbuild):
    script = mpbuild.workspace / "examples/digits/train.py"
    script.write_text(script.read_text() + "\n# The same model from other bytes.\n")
    answer = mpbuild.build()
    assert titles(answer.ran) == {"step:train", "layer:read by train"}
    assert answer.digest == digits.digest, "the same weights make the same package"


def test_a_file_beside_the_declared_ones_changes_nothing(digits, mpbuild):
    first = mpbuild.build()
    (mpbuild.workspace / "examples/digits/notes.txt").write_text("not declared")
    (mpbuild.workspace / "examples/digits/src/.hidden.py").write_text("not declared")
    again = mpbuild.build()
    assert again.digest == digits.digest
    assert again.target["record"] == first.target["record"]


def test_a_new_source_file_is_seen(digits, mpbuild):
    assert mpbuild.build().digest == digits.digest
    (mpbuild.workspace / "examples/digits/src/digits/extra.py").write_text("EXTRA = True\n")
    answer = mpbuild.build()
    assert titles(answer.ran) == {"layer:code"}
    assert answer.digest != digits.digest
