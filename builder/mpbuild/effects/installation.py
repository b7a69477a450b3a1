"""Finds the running mpbuild: its identity, its files that decide packages, its rules.

Imports little: the memo asks for it.
"""

import importlib.util
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import mpbuild
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_PACKAGES = ("mpbuild", "mpbuild_rules", "mpbuild_runtime")
_RUNTIME = "mpbuild_runtime"


class Installation(NamedTuple):
    """This mpbuild, as it was found before any of its files was read.

    ``identity`` names the version and, as a checkout may be edited, the size and the time of
    every file. ``runtime`` and ``toolchain`` are the folders of what goes into images and of the
    locks that mpbuild's own actions run in.
    """

    identity: str
    runtime: Path
    toolchain: Path

    @property
    def runtime_files(self) -> dict[str, Path]:
        """The files of mpbuild_runtime that go into packages, by their names there."""
        return {
            f"{_RUNTIME}/{path.name}": path
            for path in sorted(self.runtime.iterdir())
            if path.suffix == ".py" or path.name == "mpbuild-run"
        }


def find_installation(toolchain: Path | None = None, runtime: Path | None = None) -> Installation:
    """Finds the running mpbuild.

    ``toolchain`` is another folder of toolchain locks, ``runtime`` another folder of the files
    that go into images.
    """
    folders = {name: _folders(name) for name in _PACKAGES}
    if runtime:
        folders[_RUNTIME] = [str(runtime)]
    toolchain = toolchain or toolchain_folder(Path(mpbuild.__file__).parent)
    places = {**folders, "toolchain": [str(toolchain)]}
    looks = [
        look for name, paths in places.items() for path in paths for look in _looks(name, path)
    ]
    digest = Digest.of("\n".join(sorted(looks)).encode())
    return Installation(f"{mpbuild.__version__} {digest}", Path(folders[_RUNTIME][0]), toolchain)


def toolchain_folder(package: Path) -> Path:
    """Where the locks of the toolchain are: in mpbuild's wheel, or in its checkout."""
    installed = package / "toolchain"
    return installed if installed.is_dir() else package.parents[1] / "lockfiles" / "toolchain"


def load_rule(name: str, found: "Sequence[EntryPoint] | None" = None) -> Any:
    """Loads a rule by its entry point in the group mpbuild.rules; ``found`` replaces the installed.

    Raises EnvironmentFailureError (rule-missing) unless exactly one package installs the rule.
    """
    from importlib.metadata import entry_points

    entries = entry_points(group="mpbuild.rules", name=name) if found is None else found
    if len(entries) == 1:
        (entry,) = entries
        return entry.load()
    raise EnvironmentFailureError(
        f"{len(entries)} packages install the rule {name!r}, not one",
        hint="reinstall mpbuild, which has it, and uninstall others that have a rule of that name",
        code=Code.RULE_MISSING,
    )


def _folders(package: str) -> list[str]:
    spec = importlib.util.find_spec(package)
    assert spec is not None, "installed together"
    return list(spec.submodule_search_locations or ())


def _looks(package: str, folder: str) -> Iterator[str]:
    """Name, size and time of every file below ``folder``, which need not exist."""
    pending = [folder] if os.path.isdir(folder) else []  # noqa: PTH112 - no Path is needed
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_file():
                    found = entry.stat()
                    yield f"{package} {entry.name} {found.st_size} {found.st_mtime_ns}"
                elif entry.name != "__pycache__" and entry.is_dir():
                    pending.append(entry.path)
