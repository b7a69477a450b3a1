"""Wheels that hide each other's files fail builds and verification, unless the spec accepts it."""

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from mpbuild.app.build.wheel_collisions import file_collisions, new_collisions, without_accepted
from mpbuild.base.errors import Finding, InputError
from mpbuild.derive.environment_locks import EnvironmentLocks
from mpbuild.effects.files.oci_layout import Layout
from mpbuild.formats.debian import deblock
from mpbuild.formats.python import pylock
from mpbuild.spec.environment import AcceptedFinding
from mpbuild.spec.vocabulary import AcceptableCode
from tests.making.wheels import write_wheel

LOCK = "lockfiles/models/tiny/pylock.cpu.toml"
SPEC = "opt/model/spec.json"
SITE = "/opt/venv/lib/python3.11/site-packages"
ACCEPTED = """
[[environment.accepted]]
code = "file-collision"
packages = ["numpy", "tinynumbers"]
reason = "Nobody reads it."
"""


@pytest.fixture
def workspace(tiny, tmp_path):
    """``workspace(*tables, numpy=…, tinynumbers=…)``: locked are wheels of these files."""

    def make(tables: str = "", **wheels: dict[str, bytes]) -> Path:
        root = tmp_path / "colliding"
        shutil.copytree(tiny.workspace, root)
        spec = root / "models/tiny/model.toml"
        text = spec.read_text()
        spec.write_text(text.replace("[accelerators.cpu]", f"{tables}\n[accelerators.cpu]"))
        lock = pylock.read((root / LOCK).read_text(), file=LOCK)
        packages = [
            _package(package, write_wheel(package.wheel.filename, wheels[package.name]), tiny.store)
            for package in lock.packages
        ]
        changed = msgspec.structs.replace(lock, packages=tuple(packages))
        (root / LOCK).write_text(pylock.write(changed))
        return root

    return make


def _package(package, wheel, store):
    kept = store.put([wheel])
    file = msgspec.structs.replace(package.wheel, sha256=kept.digest, size=kept.size)
    return msgspec.structs.replace(package, wheel=file)


def built(cli, root, *words):
    return cli("-C", root, "build", "//models/tiny", "--offline", *words)


ONE, OTHER = {"shared.txt": b"one"}, {"shared.txt": b"other"}


def test_a_build_refuses_wheels_with_other_bytes_at_one_path(cli, workspace):
    answer = built(cli, workspace(numpy=ONE, tinynumbers=OTHER))
    assert answer.code == 2
    (finding,) = answer.json["findings"]
    assert finding["code"] == "file-collision"
    assert finding["where"] == f"{LOCK}: packages: numpy"
    assert finding["message"].endswith(f"of which 1 differs, such as {SITE}/shared.txt")


def test_equal_bytes_at_one_path_are_built(cli, workspace):
    assert built(cli, workspace(numpy=ONE, tinynumbers=ONE)).code == 0


def test_wheels_that_hide_nothing_are_looked_into_once(tiny):
    lock = _locks(tiny, ONE, ONE)
    assert new_collisions(lock, (), tiny.store, file="lock") == []
    for package in lock.python.packages:
        tiny.store.blob(package.wheel.sha256).unlink()
    assert new_collisions(lock, (), tiny.store, file="lock") == []
    with pytest.raises(InputError):
        file_collisions(lock, (), tiny.store, file="lock")


def test_a_collision_is_found_again_and_so_is_one_that_is_accepted_no_more(tiny):
    lock = _locks(tiny, ONE, OTHER)
    for _ in range(2):
        assert len(new_collisions(lock, (), tiny.store, file="lock")) == 1
    entry = AcceptedFinding(
        code=AcceptableCode.FILE_COLLISION, packages=("numpy", "tinynumbers"), reason="x"
    )
    assert new_collisions(lock, (entry,), tiny.store, file="lock") == []
    assert len(new_collisions(lock, (), tiny.store, file="lock")) == 1


def _locks(tiny, *files) -> EnvironmentLocks:
    text = (tiny.workspace / LOCK).read_text()
    lock = pylock.read(text, file=LOCK)
    packages = [
        _package(package, write_wheel(package.wheel.filename, one), tiny.store)
        for package, one in zip(lock.packages, files, strict=True)
    ]
    debian = tiny.workspace / LOCK.replace("pylock", "debian")
    return EnvironmentLocks(
        msgspec.structs.replace(lock, packages=tuple(packages)),
        deblock.read(debian.read_text(), file=LOCK),
    )


@pytest.fixture
def accepted(cli, workspace, tmp_path, unsigned):
    """An unsigned package of wheels that collide, with a spec that accepts it."""
    answer = built(
        cli, workspace(ACCEPTED, numpy=ONE, tinynumbers=OTHER), "--output", tmp_path / "x"
    )
    assert answer.code == 0, answer.json["findings"]
    unsigned.folder = tmp_path / "x"
    unsigned.layout = Layout(tmp_path / "x")
    return unsigned


def test_an_accepted_collision_is_built_and_verified(accepted):
    accepted.sign()
    assert "file-collision" not in accepted.verify().errors


def test_a_verifier_finds_a_collision_that_the_packages_own_spec_does_not_accept(accepted):
    spec = json.loads(accepted.files("spec and locks")[SPEC])
    del spec["environment"]["accepted"]
    accepted.replace_file("spec and locks", SPEC, json.dumps(spec).encode())
    accepted.sign()
    answer = accepted.verify()
    assert answer.failed_with("file-collision")
    assert "image cpu" in answer.told("file-collision")


# ---- unmet needs


def test_needs_of_an_accepted_wheel_alone_are_passed_over(tiny):
    lock = pylock.read((tiny.workspace / LOCK).read_text(), file=LOCK)
    debian = LOCK.replace("pylock", "debian")
    locks = EnvironmentLocks(lock, deblock.read((tiny.workspace / debian).read_text(), file=debian))
    entry = AcceptedFinding(
        code=AcceptableCode.ELF_UNMET, packages=("numpy",), reason="Never loaded."
    )
    numpy = Finding("elf-unmet", "needs libz.so.1", f"{SITE}/numpy/__init__.py")
    others = [
        Finding("elf-unmet", "needs libz.so.1", f"{SITE}/tinynumbers/__init__.py"),
        Finding("elf-unmet", "needs libz.so.1", "/usr/lib/libx.so"),
        Finding("spec-invalid", "never_loaded names it", f"{SITE}/numpy/__init__.py"),
    ]
    assert without_accepted([numpy, *others], locks, [entry], tiny.store) == others
    assert without_accepted([numpy, *others], locks, [], tiny.store) == [numpy, *others]
