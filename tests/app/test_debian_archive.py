"""Debian archives in folders, signed with a key of the workspace: locked, outdated, and fetched."""

import hashlib
from datetime import UTC, datetime

import pysequoia
import pytest

from mpbuild.app.fetch.file_requests import deb_requests
from mpbuild.app.lock.debian_archives import DebianArchives
from mpbuild.app.lock.lock_files import environments
from mpbuild.app.workspace.workspace import OpenWorkspace
from mpbuild.base.errors import EnvironmentFailureError, InputError
from mpbuild.base.label import Label
from mpbuild.derive.environment_locks import EnvironmentLocks
from mpbuild.effects.http.client import http_client
from mpbuild.effects.http.download import FileSink, download
from mpbuild.formats.debian.deblock import filename
from mpbuild.formats.python import pylock

NOW = datetime(2026, 11, 28, tzinfo=UTC)
DATE = "Sat, 11 Jul 2026 10:16:37 UTC"
SNAPSHOT = "20261101T000000Z"
TABLES = '[accelerators.cpu]\n[environments.train]\nsystem = ["more"]\n'
WORKSPACE = """\
schema_version = 1
[workspace]
name = "tests"
[bases.bookworm]
suite = "bookworm"
packages = ["python", "tls"]
keyring = "own.pgp"
"""


class World:
    """A folder with a workspace, a signed archive and one of security updates beside it."""

    def __init__(self, folder, model: str, monkeypatch) -> None:
        self.folder = folder
        self._key = pysequoia.Tsk.generate("archive <archive@mirror.example>")
        self._monkeypatch = monkeypatch
        (folder / "a").mkdir()
        (folder / "a/model.toml").write_text(model)
        (folder / "own.pgp").write_bytes(bytes(self._key.extract_certificate()))
        self.write()
        self.mirror(f"file://{folder}/debian")
        self.publish("debian", "bookworm", "python 3.11", "tls 1", "more 1")
        self.publish("debian-security", "bookworm-security", "tls 1+deb12u1")

    def write(self, more: str = "") -> None:
        (self.folder / "mpbuild.toml").write_text(WORKSPACE + more)

    def mirror(self, roots: str, security: str = "") -> None:
        self._monkeypatch.setenv("MPBUILD_DEBIAN_MIRROR", roots)
        security = security or f"file://{self.folder}/debian-security"
        self._monkeypatch.setenv("MPBUILD_DEBIAN_SECURITY_MIRROR", security)

    def publish(self, root: str, suite: str, *packages: str, date: str = DATE) -> None:
        pool = "pool/updates/main" if suite.endswith("-security") else "pool/main"
        rows = []
        for name, version in (package.split() for package in packages):
            path = f"{pool}/{name[0]}/{name}/{filename(name, version, 'amd64')}"
            content = f"{name} {version}".encode()
            self._put(f"{root}/{path}", content)
            rows.append(
                f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nFilename: {path}\n"
                f"Size: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"
            )
        index = "\n".join(rows).encode()
        place = "main/binary-amd64/Packages"
        self._put(f"{root}/dists/{suite}/{place}", index)
        digest = hashlib.sha256(index).hexdigest()
        release = f"Codename: {suite}\nDate: {date}\nSHA256:\n {digest} {len(index)} {place}\n"
        mode = pysequoia.SignatureMode.CLEAR
        signed = pysequoia.sign(self._key.signer(), release.encode(), mode=mode)
        self._put(f"{root}/dists/{suite}/InRelease", signed)

    def environments(self):
        return environments(OpenWorkspace(self.folder).target(Label("//a")))

    def lock(self, previous=None, fresh=()):
        return DebianArchives(http_client({}), NOW).lock(self.environments(), previous or {}, fresh)

    def outdated(self, locks):
        cpu, _ = self.environments()
        return list(DebianArchives(http_client({}), NOW).outdated(cpu, locks["cpu"]))

    def fetched(self, lock, *, known=True):
        """What the mirrors give for a lock: file names to bytes; its base may not be known."""
        python = pylock.PythonLock(
            environment="cpu", python="3.11", resolution=lock.resolution, resolver="", packages=()
        )
        cpu, _ = self.environments()
        missing = {package.sha256 for package in lock.packages}
        requests = tuple(
            deb_requests(EnvironmentLocks(python, lock), missing, cpu.base if known else None)
        )
        found = {}
        depot = FileSink(self.folder / "partial", lambda _: False, lambda path, d: found.update(
            {d: path.read_bytes()}))  # fmt: skip
        download(requests, into=depot, web=http_client({}))
        return {request.name: found[request.digest] for request in requests}

    def _put(self, path: str, data: bytes) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)


@pytest.fixture
def world(tmp_path, smallest_model, monkeypatch):
    return World(tmp_path, smallest_model + TABLES, monkeypatch)


def versions(lock):
    return {package.name: package.version for package in lock.packages}


def test_each_package_is_locked_from_the_newer_archive_and_fetched_from_its_own(world):
    lock = world.lock()["cpu"]
    assert versions(lock) == {"python": "3.11", "tls": "1+deb12u1"}
    assert world.fetched(lock) == {
        "python_3.11_amd64.deb": b"python 3.11",
        "tls_1+deb12u1_amd64.deb": b"tls 1+deb12u1",
    }
    assert world.fetched(lock, known=False) == world.fetched(lock), "a verifier has no base"


def test_environments_of_one_base_have_the_same_base(world):
    locks = world.lock()
    assert versions(locks["train"]) == versions(locks["cpu"]) | {"more": "1"}
    world.publish("debian", "bookworm", "python 3.11", "python 3.11.1", "tls 1", "more 1")
    later = world.lock({"cpu": locks["cpu"]})
    assert versions(later["cpu"])["python"] == versions(later["train"])["python"] == "3.11"


def test_without_its_security_archive_nothing_is_locked_unless_the_base_says_so(world):
    world.mirror(f"file://{world.folder}/debian", f"file://{world.folder}/none")
    with pytest.raises(
        EnvironmentFailureError, match="cannot read the security updates of bookworm"
    ):
        world.lock()
    world.write("security = false\n")
    assert versions(world.lock()["cpu"]) == {"python": "3.11", "tls": "1"}


def test_what_only_an_upgrade_would_move_is_reported_and_security_updates_are_a_warning(world):
    locks = world.lock()
    assert world.outdated(locks) == []
    world.publish("debian", "bookworm", "python 3.11", "python 3.11.1", "tls 1", "more 1")
    world.publish("debian-security", "bookworm-security", "tls 1+deb12u1", "tls 1+deb12u2")
    assert world.lock(locks) == locks
    where = "lockfiles/a/debian.cpu.toml"
    assert [(f.code, f.severity, f.where, f.message) for f in world.outdated(locks)] == [
        (
            "lock-outdated",
            "warning",
            where,
            "security updates are available: tls 1+deb12u2 for 1+deb12u1",
        ),
        ("lock-outdated", "note", where, "newer versions are available: python 3.11.1 for 3.11"),
    ]
    upgraded = world.lock(locks, fresh={"tls"})
    assert versions(upgraded["cpu"]) == {"python": "3.11", "tls": "1+deb12u2"}
    (finding,) = world.outdated(upgraded)
    assert finding.severity == "note"


def test_a_snapshot_is_read_from_its_own_mirrors_and_files_come_from_any(world):
    """What the archive of snapshots has lost another mirror may still have."""
    past, today = f"snapshots/debian/{SNAPSHOT}", "Fri, 27 Nov 2026 02:10:32 UTC"
    world.publish(past, "bookworm", "python 3.11", "tls 2", "more 1")
    world.publish(f"snapshots/debian-security/{SNAPSHOT}", "bookworm-security", "tls 2+deb12u1")
    world.publish("debian", "bookworm", "python 3.11", "python 3.12", "tls 3", date=today)
    world.write(f'snapshot = "{SNAPSHOT}"\n')
    snapshots = f"file://{world.folder}/snapshots"
    world.mirror(
        f"file://{world.folder}/debian {snapshots}/debian/{{snapshot}}",
        f"{snapshots}/debian-security/{{snapshot}}",
    )
    lock = world.lock()["cpu"]
    assert versions(lock) == {"python": "3.11", "tls": "2+deb12u1"}
    (lost,) = (world.folder / past).glob("pool/main/p/python/*.deb")
    lost.unlink()
    assert world.fetched(lock) == {
        "python_3.11_amd64.deb": b"python 3.11",
        "tls_2+deb12u1_amd64.deb": b"tls 2+deb12u1",
    }


def test_a_release_from_after_the_snapshot_does_not_stand_for_it(world):
    later = "Sun, 01 Nov 2026 00:00:01 UTC"
    world.publish("debian", "bookworm", "python 3.11", "tls 1", "more 1", date=later)
    world.write(f'snapshot = "{SNAPSHOT}"\n')
    with pytest.raises(EnvironmentFailureError, match="which is later than the snapshot"):
        world.lock()


def test_a_snapshot_that_is_yet_to_come_is_refused(world):
    world.write('snapshot = "20270101T000000Z"\n')
    with pytest.raises(InputError, match="is in the future"):
        world.lock()
