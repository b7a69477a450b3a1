"""What tests of every room share."""

import base64
import hashlib
import io
import lzma
import os
import pwd
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says something about the machine only.
settings.register_profile("mpbuild", deadline=None)
settings.load_profile("mpbuild")

ROOT = Path(__file__).parent.parent
# What podman needs where it runs as root without systemd and without a network of its own.
CONTAINERS = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "none"
log_driver = "none"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
"""

SMALLEST_WORKSPACE = """\
schema_version = 1
[workspace]
name = "tests"
[bases.bookworm]
suite = "bookworm"
packages = ["python3.11-minimal"]
"""
SMALLEST_MODEL = """\
schema_version = 1
[package]
name = "tiny"
version = "1.0.0"
summary = "As small as a model can be."
owners = ["nobody"]
license = "Apache-2.0"
[core]
version = "1.0.0"
task = "nothing"
format = "raw"
entry_point = "tiny:Model"
sources = ["tiny.py"]
[io]
version = "1.0.0"
inputs = [{ name = "x", datatype = "FP32", shape = [1] }]
outputs = [{ name = "y", datatype = "FP32", shape = [1] }]
[environment]
version = "1.0.0"
python = "3.11"
base = "bookworm"
"""


def pytest_addoption(parser):
    parser.addoption(
        "--renew-golden",
        action="store_true",
        help="write golden files anew instead of comparing; then look at what git diff says",
    )


def pytest_configure(config):
    if config.getoption("--renew-golden") and os.environ.get("CI"):
        raise pytest.UsageError("--renew-golden: in CI golden files are compared, never renewed")


def pytest_runtest_setup(item):
    marker = item.get_closest_marker("root")
    if marker and os.geteuid():
        pytest.skip(*marker.args)


@pytest.fixture(scope="session", autouse=True)
def temporary_folders(tmp_path_factory):
    """Temporary files, caches and records of this test run go to pytest's own folder.

    pytest removes that folder when all tests pass, so a run leaves nothing behind.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("TMPDIR", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        patch.setattr(tempfile, "tempdir", None)
        yield


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the checkout these tests are in."""
    return ROOT


@pytest.fixture(scope="session")
def checkout_files(checkout) -> tuple[str, ...]:
    """Every file of the checkout that git tracks, or would after ``git add``."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, cwd=checkout, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not a git checkout, so nobody can say which files belong to it: {error}")
    names = dict.fromkeys(listing.decode().split("\0"))
    return tuple(name for name in names if name and (checkout / name).is_file())


def tar_bytes(files: Mapping[str, bytes | str], executable: tuple[str, ...] = ()) -> bytes:
    """A tar of files and, where the value is a text, of symbolic links."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.mtime = 315532800
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            else:
                info.size = len(content)
                info.mode = 0o755 if path in executable or "bin/" in path else 0o644
                archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def deb_bytes(name: str, version: str, files: Mapping[str, bytes]) -> bytes:
    """A Debian package: the tar files of the standard library in an ar archive."""
    control = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\n"
    control += "Maintainer: nobody <nobody@example.org>\nDescription: a test\n"
    members = (
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", lzma.compress(tar_bytes({"./control": control.encode()}))),
        ("data.tar.xz", lzma.compress(tar_bytes(files))),
    )
    out = b"!<arch>\n"
    for member, data in members:
        out += f"{member:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode()
        out += data + b"\n" * (len(data) % 2)
    return out


def wheel_bytes(filename: str, files: Mapping[str, bytes], *metadata: str) -> bytes:
    """A wheel with a complete RECORD; ``metadata`` are further lines of METADATA."""
    name, version, tag = filename.removesuffix(".whl").split("-", 2)
    info = f"{name}-{version}.dist-info"
    head = ("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}")
    pure = str(tag.endswith("-none-any")).lower()
    everything = {
        **files,
        f"{info}/METADATA": "\n".join([*head, *metadata, ""]).encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: {pure}\nTag: {tag}\n".encode(),
    }
    rows = ""
    for path, data in everything.items():
        raw = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows += f"{path},sha256={raw},{len(data)}\n"
    everything[f"{info}/RECORD"] = f"{rows}{info}/RECORD,,\n".encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in everything.items():
            archive.writestr(zipfile.ZipInfo(path), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


@pytest.fixture(scope="session")
def make_tar():
    """``make_tar(files)``: a tar archive's bytes."""
    return tar_bytes


@pytest.fixture(scope="session")
def make_deb():
    """``make_deb(name, version, files)``: a Debian package's bytes."""
    return deb_bytes


@pytest.fixture(scope="session")
def make_wheel():
    """``make_wheel(filename, files, *metadata)``: a wheel's bytes."""
    return wheel_bytes


class FolderIndex:
    """A simple repository (PEP 503) in a folder: wheels made here, and what is put there."""

    def __init__(self, name: str, folder: Path) -> None:
        from mpbuild.effects.python.indexes import PythonIndex

        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.index = PythonIndex(name, folder.as_uri())
        self._attributes: dict[str, str] = {}

    def add(
        self, filename: str, *metadata: str, content: str = "", attributes: str = "", files=()
    ) -> Path:
        """Write a wheel, or write it again with other bytes; ``files`` are paths and contents."""
        given = {name: text.encode() for name, text in files}
        data = wheel_bytes(filename, given, *metadata, "", content)
        return self.put(filename, data, attributes)

    def put(self, filename: str, data: bytes, attributes: str = "") -> Path:
        """Write a wheel or a source distribution that was made elsewhere."""
        path = self.folder / filename.partition("-")[0].replace("_", "-") / filename
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        self._attributes[filename] = attributes
        self._list(path.parent)
        return path

    def release(self, name: str, *versions: str, requires: tuple[str, ...] = (), files=()) -> None:
        """Write a pure wheel for each version."""
        lines = [f"Requires-Dist: {one}" for one in requires]
        for version in versions:
            self.add(f"{name}-{version}-py3-none-any.whl", *lines, files=files)

    def remove(self, path: Path) -> None:
        path.unlink()
        self._list(path.parent)

    def _list(self, folder: Path) -> None:
        links = [
            f'<a href="{path.name}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}"'
            f"{self._attributes.get(path.name, '')}>"
            f"{path.name}</a>"
            for path in sorted(folder.iterdir())
            if path.name != "index.html"
        ]
        (folder / "index.html").write_text("<br>".join(links))


@pytest.fixture
def make_index(tmp_path):
    """``make_index(name)``: a package index of that name, in a folder of its own."""

    def make(name: str) -> FolderIndex:
        return FolderIndex(name, tmp_path / f"simple-{name}")

    return make


@pytest.fixture(scope="session")
def smallest_workspace() -> str:
    """An mpbuild.toml that ends in the table of its base, bookworm."""
    return SMALLEST_WORKSPACE


@pytest.fixture(scope="session")
def smallest_model() -> str:
    """A model.toml without accelerators that ends in [environment]."""
    return SMALLEST_MODEL


@pytest.fixture(scope="session")
def python_path() -> str:
    """A PATH with every Python of this machine on it, those too that pyenv keeps in reserve."""
    kept = sorted(Path.home().glob(".pyenv/versions/3.*/bin"))
    return os.pathsep.join([*map(str, kept), os.environ.get("PATH", os.defpath)])


@pytest.fixture
def podman():
    """``podman(*words)``: what it prints; its storage is its own, at a path that is short."""
    for tool in ("podman", "runc"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    user = pwd.getpwuid(os.geteuid()).pw_name
    ranges = Path("/etc/subuid")
    if os.geteuid() and not (ranges.is_file() and f"{user}:" in ranges.read_text()):
        pytest.skip(f"{user} has no range of subordinate users, which an image's user needs")
    if os.geteuid() and shutil.which("newuidmap") is None:
        pytest.skip("newuidmap is not installed, which podman needs for an ordinary user")
    with tempfile.TemporaryDirectory(prefix="mpbuild-", dir="/tmp") as folder:
        settings = Path(folder, "containers.conf")
        settings.write_text(CONTAINERS)
        command = ("podman", "--root", f"{folder}/root", "--runroot", f"{folder}/run")
        environment = os.environ | {"CONTAINERS_CONF": str(settings)}

        def run(*words, **options):
            words = (*command, *words)
            done = subprocess.run(
                words, env=environment, capture_output=True, check=False, **options
            )
            assert done.returncode == 0, done.stderr.decode()
            return done.stdout

        yield run
        run("rmi", "--all", "--force")
