"""An exported PEX: the files of the package, and a verdict that needs nothing else of it."""

import os
import shutil
from pathlib import Path

import pytest

from mpbuild.base.digest import Digest

OWN = "tiny/model.py"


@pytest.fixture
def exported(signed, cli, tmp_path) -> Path:
    """The PEX of the signed package."""
    folder = tmp_path / "tiny.pex"
    answer = cli("export", signed.folder, "--pex", folder)
    assert answer.code == 0, answer.json
    return folder


@pytest.fixture
def verify(cli, tiny, tmp_path):
    """Verify a folder with an empty store."""

    def call(folder, *words, key=None):
        words = ("verify", folder, "--key", key or tiny.key.public, *words)
        return cli(*words, store=tmp_path / "empty store")

    return call


def test_the_folder_holds_wheels_as_they_are_locked_code_weights_spec_and_lock(exported, tiny):
    model = tiny.workspace / "models/tiny"
    assert (exported / OWN).read_bytes() == (model / "src" / OWN).read_bytes()
    assert (exported / "weights/numbers").read_bytes() == bytes(range(256)) * 16
    lock = tiny.workspace / "lockfiles/models/tiny/pylock.cpu.toml"
    assert (exported / "pylock.cpu.toml").read_bytes() == lock.read_bytes()
    for wheel in (exported / ".deps").iterdir():
        assert Digest.of(wheel.read_bytes()).hex in lock.read_text()
    assert (exported / "pex").readlink() == Path("__main__.py")
    assert os.access(exported / "__main__.py", os.X_OK)
    assert (exported / OWN).stat().st_mode & 0o777 == 0o644


def test_the_answer_says_which_pex_of_the_package_it_is(signed, cli, tmp_path):
    answer = cli("export", signed.folder, "--pex", tmp_path / "p", "--accelerator", "cpu")
    (entry,) = [
        e for e in signed.index["manifests"] if e["annotations"]["dev.mpbuild.kind"] == "pex"
    ]
    assert (answer.json["digest"], answer.json["accelerator"]) == (entry["digest"], "cpu")


def test_exporting_again_makes_the_same_files(signed, cli, exported, tmp_path):
    assert cli("export", signed.folder, "--pex", tmp_path / "again").code == 0

    def files(root):
        found = {p.relative_to(root): p for p in root.rglob("*") if ".mpbuild" not in p.parts}
        return {path: p.read_bytes() for path, p in found.items() if p.is_file()}

    assert files(tmp_path / "again") == files(exported)


def test_nothing_is_written_over(signed, cli, exported, tmp_path):
    before = sorted(exported.rglob("*"))
    answer = cli("export", signed.folder, "--pex", exported)
    assert answer.code == 2
    assert "not an empty folder" in answer.told("usage")
    (tmp_path / "file").write_text("mine")
    assert cli("export", signed.folder, "--pex", tmp_path / "file").code == 2
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(exported.rglob("*")) == before


def test_a_package_with_damaged_files_leaves_no_folder(signed, cli, tmp_path):
    manifest = signed.document(signed.index["manifests"][1]["digest"])
    digest = Digest(manifest["layers"][-1]["digest"])
    signed.layout.blob(digest).write_bytes(b"other")
    target = tmp_path / "exports" / "tiny.pex"
    assert cli("export", signed.folder, "--pex", target).code == 2
    assert list(target.parent.iterdir()) == []


def test_the_verdict_needs_the_folder_and_the_key_alone(exported, verify, signed):
    answer = verify(exported)
    assert answer.passed
    assert answer.json["digest"] == signed.digest
    assert {leaf["kind"] for leaf in answer.json["leaves"]} == {
        *("lock", "pex", "runtime", "source", "spec"),
    }
    assert all(leaf["vouched_by"] for leaf in answer.json["leaves"])
    assert any("only this PEX" in remark for remark in answer.json["unchecked"])


def test_another_key_is_no_evidence(exported, verify, signed):
    assert verify(exported, key=signed.tiny.other.public).failed_with("signer-unknown")


def test_an_unsigned_package_gives_an_unsigned_pex(unsigned, cli, verify, tmp_path):
    assert cli("export", unsigned.folder, "--pex", tmp_path / "p").code == 0
    assert verify(tmp_path / "p").failed_with("signature-missing", "provenance-missing")


def add(path, data=b"import os\n"):
    def change(folder):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)

    return change


def flip(path):
    def change(folder):
        data = (folder / path).read_bytes()
        (folder / path).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))

    return change


def drop(path):
    return lambda folder: (folder / path).unlink()


def link(path, target):
    def change(folder):
        (folder / path).unlink()
        (folder / path).symlink_to(target)

    return change


CHANGES = {
    "another line of code": (flip(OWN), "content-mismatch"),
    "another wheel": (
        lambda f: flip(next((f / ".deps").iterdir()).relative_to(f))(f),
        "content-mismatch",
    ),
    "other weights": (flip("weights/numbers"), "content-mismatch"),
    "another bootstrap": (flip(".bootstrap"), ""),
    "another program": (add("__main__.py", b"#!/bin/sh\necho evil\n"), ""),
    "another PEX-INFO": (flip("PEX-INFO"), "content-mismatch"),
    "another spec": (add("spec.json", b"{}"), ""),
    "another lock": (flip("pylock.cpu.toml"), ""),
    "a module more": (add("sitecustomize.py"), ""),
    "a wheel more": (add(".deps/evil-1.0-py3-none-any.whl"), "content-extra"),
    "a folder of the interpreter": (add("__pycache__/__main__.cpython-311.pyc"), ""),
    "a module less": (drop(OWN), ""),
    "no link": (drop("pex"), "content-mismatch"),
    "a link elsewhere": (link("pex", "/bin/sh"), "content-mismatch"),
    "a link in place of a file": (link(OWN, "/etc/hostname"), ""),
    "no evidence": (lambda f: shutil.rmtree(f / ".mpbuild"), ""),
    "a pipe": (lambda f: os.mkfifo(f / "pipe"), "content-extra"),
    "executable code": (lambda f: (f / OWN).chmod(0o755), "content-mismatch"),
    "a program that is not executable": (lambda f: (f / "__main__.py").chmod(0o644), ""),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_folder_fails(exported, verify, what):
    change, code = CHANGES[what]
    change(exported)
    answer = verify(exported)
    assert answer.code == 1
    assert answer.json["verdict"] == "FAILED"
    if code:
        assert code in answer.errors


def test_evidence_of_another_package_is_none(exported, verify, rebuild, tmp_path, cli, signed):
    def other_code(root):
        (root / "models/tiny/src/tiny/model.py").write_text("class Model: pass\n")

    other = rebuild(other_code)
    other.sign()
    assert cli("export", other.folder, "--pex", tmp_path / "other").code == 0
    shutil.rmtree(exported / ".mpbuild")
    shutil.copytree(tmp_path / "other" / ".mpbuild", exported / ".mpbuild")
    assert verify(exported).failed_with("derivation-mismatch")


@pytest.mark.parametrize("words", [["--no-recompute"], ["--source", "."]])
def test_what_makes_no_sense_for_a_folder_is_a_wrong_use(exported, verify, words):
    answer = verify(exported, *words)
    assert answer.code == 2
    assert answer.json["findings"][0]["code"] == "usage"


def test_the_lock_comes_out_as_it_was_locked(signed, cli, tmp_path):
    wanted = (signed.tiny.workspace / "lockfiles/models/tiny/pylock.cpu.toml").read_text()
    assert cli("export", signed.folder, "--lock", "-").json["lock"] == wanted
    assert cli("export", signed.folder, "--lock", tmp_path / "pylock.toml").code == 0
    assert (tmp_path / "pylock.toml").read_text() == wanted


def test_one_thing_is_exported_at_a_time(signed, cli, tmp_path):
    for words in ([], ["--pex", tmp_path / "p", "--lock", "-"]):
        answer = cli("export", signed.folder, *words)
        assert answer.code == 2
        assert answer.json["findings"][0]["code"] == "usage"


def test_an_accelerator_that_the_package_lacks_is_reported(signed, cli, tmp_path):
    answer = cli("export", signed.folder, "--pex", tmp_path / "p", "--accelerator", "cuda")
    assert answer.code == 2
    assert "no pex for cuda" in answer.told("content-missing")
