"""The audit of a target: wheels in the store or elsewhere, accepted findings, no download."""

import os
from pathlib import Path

import isal.isal_zlib
import pytest

from mpbuild.app.lock.audit_locks import audit
from mpbuild.app.lock.lock_files import environments
from mpbuild.app.workspace.workspace import OpenWorkspace
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.base.label import Label
from mpbuild.derive.environment_locks import EnvironmentLocks
from mpbuild.effects.store.store import Store
from mpbuild.formats.debian.deblock import DebianLock
from mpbuild.formats.python.pylock import LockedWheel, PythonLock, PythonPackage
from tests.making.wheels import write_wheel

INDEX = '[indexes]\ndefault = { folder = "wheels" }\n'
NATIVE = Path(isal.isal_zlib.__file__).read_bytes()
ACCEPTED = """\
[[environment.accepted]]
code = "file-collision"
packages = ["one", "two"]
reason = "The file is a licence."
"""


class Audited:
    """A workspace with wheels in a folder that is its index, and locks of them."""

    def __init__(self, root: Path, workspace: str, model: str) -> None:
        (root / "a").mkdir(parents=True)
        (root / "wheels").mkdir()
        (root / "mpbuild.toml").write_text(workspace)
        (root / "a/model.toml").write_text(model)
        self.root = root
        self.store = Store(root / "store")
        self.wheels: dict[str, bytes] = {}

    def wheel(self, name: str, files: dict[str, bytes]) -> bytes:
        return write_wheel(f"{name}-1.0-py3-none-any.whl", files)

    def add(self, name: str, files: dict[str, bytes]) -> Path:
        path = self.root / "wheels" / f"{name}-1.0-py3-none-any.whl"
        self.wheels[name] = self.wheel(name, files)
        path.write_bytes(self.wheels[name])
        return path

    def fetch(self) -> None:
        for data in self.wheels.values():
            self.store.put([data])

    def locks(self, target) -> dict[str, EnvironmentLocks]:
        return {
            e.name: EnvironmentLocks(self._python(e), self._debian(e)) for e in environments(target)
        }

    def _python(self, environment) -> PythonLock:
        asked = {text.partition("=")[0] for text in environment.python.requirements}
        packages = [
            PythonPackage(
                name=name,
                version="1.0",
                wheel=LockedWheel(
                    filename=f"{name}-1.0-py3-none-any.whl", sha256=Digest.of(data), size=len(data)
                ),
            )
            for name, data in sorted(self.wheels.items())
            if name in asked
        ]
        return PythonLock(
            environment=environment.name,
            python="3.11",
            resolution=environment.python.digest,
            resolver="uv 0.13.9",
            packages=tuple(packages),
        )

    @staticmethod
    def _debian(environment) -> DebianLock:
        return DebianLock(
            environment=environment.name,
            suite="bookworm",
            architecture="amd64",
            resolution=environment.debian.digest,
            packages=(),
        )

    def __call__(self, *accelerators: Accelerator):
        target = OpenWorkspace(self.root).target(Label("//a"))
        chosen = accelerators or None
        return audit(target, self.locks(target), store=self.store, accelerators=chosen)


CPU = '[accelerators.cpu]\ndependencies = ["one", "two"]\n'


@pytest.fixture
def audited(tmp_path, smallest_workspace, smallest_model):
    """``audited(*tables)``: the workspace whose spec has these tables beside the others."""

    def audited(*tables: str) -> Audited:
        model = "".join([smallest_model, *tables])
        return Audited(tmp_path / "workspace", smallest_workspace + INDEX, model)

    return audited


def told(report):
    return [(finding.severity, finding.code) for finding in report.findings]


def test_locks_of_wheels_that_fit_together_are_right(audited):
    workspace = audited(CPU)
    workspace.add("one", {"one/__init__.py": b"import two\n"})
    workspace.add("two", {"two/__init__.py": b""})
    report = workspace()
    assert report.findings == ()
    assert report.ok
    assert report.wheels == 2
    assert report.bytes > 0


def test_a_collision_names_lock_and_both_wheels(audited):
    workspace = audited(CPU)
    workspace.add("one", {"LICENSE": b"1"})
    workspace.add("two", {"LICENSE": b"2"})
    report = workspace()
    (finding,) = report.findings
    assert not report.ok
    assert finding.code == "file-collision"
    assert finding.where == "lockfiles/a/pylock.cpu.toml: packages: one"
    assert finding.message.startswith("one and two install 1 file at the same path")


def test_wheels_of_the_store_are_read_there_and_wholly(audited):
    workspace = audited(CPU)
    for name in ("one", "two"):
        workspace.add(name, {f"{name}/native.so": NATIVE}).unlink()
    workspace.fetch()
    report = workspace()
    assert (report.bytes, report.requests) == (0, 0)
    assert told(report) == [("error", "elf-unmet")] * 2
    assert "needs libc.so.6" in report.findings[0].message


def test_a_large_object_elsewhere_is_not_downloaded_but_reported(audited):
    workspace = audited(CPU)
    large = NATIVE + os.urandom(4 << 20)
    for name in ("one", "two"):
        workspace.add(name, {f"{name}/native.so": large})
    report = workspace()
    assert told(report) == [("note", "elf-unmet")]
    assert report.ok
    assert report.bytes < 20_000
    assert not list((workspace.store.path / "blobs/sha256").iterdir())


def test_facts_are_kept_and_nobody_is_asked_again(audited):
    workspace = audited(CPU)
    paths = [workspace.add(name, {f"{name}.py": b""}) for name in ("one", "two")]
    first = workspace()
    for path in paths:
        path.unlink()
    second = workspace()
    assert second.findings == first.findings
    assert second.bytes == 0


def test_facts_that_are_damaged_are_found_out_again(audited):
    workspace = audited(CPU)
    for name in ("one", "two"):
        workspace.add(name, {f"{name}.py": b""})
    first = workspace()
    for path in (workspace.store.path / "facts").iterdir():
        path.chmod(0o644)
        path.write_bytes(b"{}")
    assert workspace().bytes == first.bytes


def test_what_parts_of_another_file_said_is_forgotten_once_the_wheel_is_there(audited):
    """A server that lies about a wheel of the right size is found out when it is fetched."""
    workspace = audited(CPU)
    path = workspace.add("one", {"m.py": b"aaaa"})
    workspace.add("two", {"m.py": b"bbbb"})
    other = workspace.wheel("one", {"m.py": b"bbbb"})
    assert len(other) == path.stat().st_size
    path.write_bytes(other)
    assert workspace().ok
    workspace.fetch()
    assert told(workspace()) == [("error", "file-collision")]


def test_a_blob_of_the_store_with_other_bytes_is_reported(audited):
    workspace = audited(CPU)
    workspace.add("one", {})
    workspace.add("two", {})
    workspace.fetch()
    blob = workspace.store.blob(Digest.of(workspace.wheels["two"]))
    blob.chmod(0o644)
    blob.write_bytes(b"x" * blob.stat().st_size)
    (finding,) = workspace().findings
    assert finding.code == "content-mismatch"
    assert finding.where == "lockfiles/a/pylock.cpu.toml: packages: two"


def test_a_wheel_that_is_no_archive_is_reported_with_the_other_findings(audited):
    workspace = audited(CPU, "[environments.train]\ndependencies = ['three', 'four']\n")
    workspace.wheels["one"] = b"x" * 3000
    workspace.wheels["two"] = workspace.wheel("two", {})
    workspace.wheels["three"] = workspace.wheel("three", {"m.py": b"1"})
    workspace.wheels["four"] = workspace.wheel("four", {"m.py": b"2"})
    workspace.fetch()
    assert told(workspace()) == [("error", "layer-unsafe"), ("error", "file-collision")]


def test_a_wheel_that_the_index_no_longer_has_is_reported(audited):
    workspace = audited(CPU)
    workspace.add("one", {}).unlink()
    workspace.add("two", {})
    with pytest.raises(EnvironmentFailureError, match=r"one-1\.0"):
        workspace()


# ---- accepted findings


def test_an_accepted_finding_is_not_reported(audited):
    workspace = audited(ACCEPTED, CPU)
    workspace.add("one", {"LICENSE": b"1"})
    workspace.add("two", {"LICENSE": b"2"})
    assert workspace().findings == ()


def test_an_acceptance_that_has_no_finding_is_reported(audited):
    workspace = audited(ACCEPTED, CPU)
    workspace.add("one", {})
    workspace.add("two", {})
    (finding,) = workspace().findings
    assert finding.code == "spec-invalid"
    assert finding.where == "a/model.toml: environment.accepted[0]"


def test_of_some_accelerators_alone_no_acceptance_is_stale(audited):
    cuda = '[accelerators.cuda]\ndependencies = ["two"]\n'
    workspace = audited(ACCEPTED, CPU, cuda)
    workspace.add("one", {"LICENSE": b"1"})
    workspace.add("two", {"LICENSE": b"2"})
    assert workspace(Accelerator.CUDA).findings == ()
    assert workspace().findings == ()


def test_what_was_not_looked_into_makes_no_acceptance_stale(audited):
    entry = ACCEPTED.replace("file-collision", "elf-unmet").replace('"one", "two"', '"one"')
    workspace = audited(entry, CPU)
    workspace.add("one", {"one/native.so": NATIVE + os.urandom(1 << 20)})
    workspace.add("two", {})
    assert told(workspace()) == [("note", "elf-unmet")]
    workspace.fetch()
    assert told(workspace()) == []
