"""What tests of every room share."""

import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
import zipfile
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


def pytest_addoption(parser):
    parser.addoption(
        "--renew-golden",
        action="store_true",
        help="write golden files anew instead of comparing; then look at what git diff says",
    )


def pytest_configure(config):
    if config.getoption("--renew-golden") and os.environ.get("CI"):
        raise pytest.UsageError("--renew-golden: in CI golden files are compared, never renewed")


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


class FolderIndex:
    """A simple repository (PEP 503) of empty wheels."""

    def __init__(self, name: str, folder: Path) -> None:
        from mpbuild.effects.indexes import Index

        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.index = Index(name, folder.as_uri())
        self._attributes: dict[str, str] = {}

    def add(
        self, filename: str, *metadata: str, content: str = "", attributes: str = "", files=()
    ) -> Path:
        """Write a wheel, or write it again with other bytes; ``files`` are paths and contents."""
        name, version, tag = filename.removesuffix(".whl").split("-", 2)
        path = self.folder / name.replace("_", "-") / filename
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = f"{name}-{version}.dist-info"
        with zipfile.ZipFile(path, "w") as archive:
            head = ("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}")
            archive.writestr(f"{folder}/METADATA", "\n".join([*head, *metadata, "", content]))
            archive.writestr(f"{folder}/WHEEL", f"Wheel-Version: 1.0\nTag: {tag}\n")
            for name, data in files:
                archive.writestr(name, data)
            rows = [f"{name},," for name in archive.namelist()]
            archive.writestr(f"{folder}/RECORD", "\n".join([*rows, f"{folder}/RECORD,,", ""]))
        self._attributes[filename] = attributes
        self._list(path.parent)
        return path

    def remove(self, path: Path) -> None:
        path.unlink()
        self._list(path.parent)

    def _list(self, folder: Path) -> None:
        links = [
            f'<a href="{path.name}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}"'
            f"{self._attributes.get(path.name, '')}>"
            f"{path.name}</a>"
            for path in sorted(folder.glob("*.whl"))
        ]
        (folder / "index.html").write_text("<br>".join(links))


@pytest.fixture
def make_index(tmp_path):
    """``make_index(name)``: a package index of that name, in a folder of its own."""

    def make(name: str) -> FolderIndex:
        return FolderIndex(name, tmp_path / f"simple-{name}")

    return make


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
    with tempfile.TemporaryDirectory(prefix="mpbuild-") as folder:
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
