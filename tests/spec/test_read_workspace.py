"""mpbuild.toml: good ones become data, wrong ones say where and why."""

from collections.abc import Callable

import pytest

from mpbuild.base.errors import Finding
from mpbuild.spec.read import read_workspace
from mpbuild.spec.vocabulary import Suite
from mpbuild.spec.workspace import IndexSettings, Workspace

Read = Callable[[str], tuple[Finding, ...]]


def test_a_workspace_is_typed_data(workspace: Workspace) -> None:
    assert (workspace.name, workspace.ignore) == ("models", ("third_party",))
    assert workspace.lock.directory == "lockfiles"
    base = workspace.bases["debian-trixie"]
    assert base.suite is Suite.TRIXIE
    assert base.suite.python == "3.13"
    assert base.mirrors == ("https://mirror.example/debian",)
    assert workspace.store.maximum == 50 << 30


def test_the_least_workspace_has_a_name() -> None:
    workspace = read_workspace('schema_version = 1\nworkspace.name = "x"\n', file="mpbuild.toml")
    assert workspace.indexes == {"default": IndexSettings(url=None)}
    assert workspace.lock.directory == "lockfiles"
    assert (workspace.store.path, workspace.store.maximum) == (None, None)
    assert workspace.bases == {}


def test_an_index_may_have_an_address(workspace_text: str) -> None:
    text = workspace_text.replace("default = {}", 'default.url = "https://index.example/simple"')
    workspace = read_workspace(text, file="mpbuild.toml")
    assert workspace.indexes["default"].url == "https://index.example/simple"


@pytest.mark.parametrize(
    ("good", "bad", "line", "message", "hint"),
    [
        ('name = "models"', "", 3, "missing key workspace.name", "The name of the workspace"),
        ('"models"', '"Models"', 4, "workspace.name: not a name", "lower-case"),
        ("third_party", "../x", 5, "workspace.ignore[0]: '../x' has a part '..'", ""),
        ("third_party", "third_*", 5, "workspace.ignore[0]: 'third_*' contains a wildcard", ""),
        ("default = {}", "", 7, "indexes: expected at least 1, found 0", ""),
        ("{}", '{ url = "index.example" }', 8, "indexes.default.url: not a URL", "http"),
        ("{}", '{ url = "https://u:p@index.example/" }', 8, "'https://index.ex", "no credentials"),
        ('"lockfiles"', '"/locks"', 11, "lock.directory: '/locks' is absolute", ""),
        ("bases.debian-trixie", "bases.Trixie", 17, "bases.Trixie: not a name", "lower-case"),
        ('"bookworm"', '"bookwrm"', 14, "'bookwrm' is not one of bookworm, trixie", "bookworm?"),
        ('suite = "bookworm"', "", 13, "missing key bases.debian-bookworm.suite", "release"),
        ('["python3.13-minimal"]', "[]", 19, "bases.debian-trixie.packages: expected at", ""),
        ('"libstdc++6"', '"libstdc++6:amd64"', 15, "packages[1]: not a Debian package", "lock"),
        ("https://mirror.example/debian", "ftp://x", 20, "mirrors[0]: not a URL", ""),
        ("keys/archive.asc", "~/archive.asc", 21, "keyring: '~/archive.asc' begins with ~", ""),
        ("~/.cache/mpbuild", "cache", 24, "store.path: not a path of a folder on", "absolute"),
        ('"50GiB"', '"50GB"', 25, "store.maximum: not a positive size: '50GB'", "GiB"),
        ('"50GiB"', "50", 25, "store.maximum: expected a positive size, found 50", "GiB"),
        ("maximum", "maximun", 25, "unknown key store.maximun; did you mean maximum?", "path"),
        ("[store]", "store = 3\n[stores]", 23, "unknown key bases.debian-trixie.store", ""),
        ("default = {}", "default = {}\ntorch = {}", 9, "'torch' owns no packages", "nvidia-*"),
        ("{}", '{ packages = ["torch"] }', 8, "has all packages that no other", ""),
        ("{}", '{ accelerators = ["cpu"] }', 8, "has all packages that no other", ""),
        ("{}", '{ url = "https://host/simple", folder = "wheels" }', 8, "not both", ""),
        (
            "{}",
            "{ build = true }",
            8,
            "indexes.default.build: `build` requires a folder",
            "folder =",
        ),
        (
            "default = {}",
            'a = { packages = ["a", "b-*"] }\nb = { packages = ["b-*"], accelerators = ["cuda"] }',
            9,
            "the index 'a' also owns it",
            "different accelerators",
        ),
        (
            "default = {}",
            'one = { packages = ["Torch"] }',
            8,
            "not a Python package name or prefix: 'Torch'",
            "a normalized name",
        ),
        ("[lock]", '[lock]\ncooldown = "3"', 11, "not a positive duration", "10m"),
        (
            "[lock]",
            '[lock]\ncooldown = "999999999d"',
            11,
            "longer than the maximum of ten years",
            "",
        ),
        (
            "[lock]",
            '[lock]\noverrides = [{ requirement = "a" }]',
            11,
            "missing key",
            "own requirements",
        ),
    ],
)
def test_a_wrong_workspace_is_reported_at_its_line(
    workspace_text: str,
    findings_of_workspace: Read,
    good: str,
    bad: str,
    line: int,
    message: str,
    hint: str,
) -> None:
    assert good in workspace_text
    finding = findings_of_workspace(workspace_text.replace(good, bad, 1))[0]
    assert (finding.where, finding.code) == (f"mpbuild.toml:{line}", "spec-invalid")
    assert message in finding.message
    assert hint in finding.hint


@pytest.mark.parametrize(
    ("good", "bad", "line", "key"),
    [
        ("[store]", "[remote]\n[store]", 23, "remote"),
        ("[store]", '[policies]\nprod = "p.toml"\n[store]', 23, "policies"),
        ("[store]", "[deployments.prod]\n[store]", 23, "deployments"),
    ],
)
def test_what_nothing_acts_on_yet_is_refused_in_a_workspace(
    workspace_text: str, findings_of_workspace: Read, good: str, bad: str, line: int, key: str
) -> None:
    (finding,) = findings_of_workspace(workspace_text.replace(good, bad, 1))
    assert finding.code == "not-supported-yet"
    assert finding.where == f"mpbuild.toml:{line}"
    assert finding.message == f"{key} is not supported yet"


def test_two_indexes_may_own_a_package_for_different_accelerators(
    workspace_text: str, findings_of_workspace: Read
) -> None:
    text = workspace_text.replace(
        "default = {}",
        'one = { packages = ["torch"], accelerators = ["cpu"] }\n'
        'two = { packages = ["torch"], accelerators = ["cuda", "rocm"] }',
    )
    assert findings_of_workspace(text) == ()
