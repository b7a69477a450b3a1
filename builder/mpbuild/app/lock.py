"""Locking: resolve every environment of a target and write what changed."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mpbuild.app.debian_archive import DebianArchives
from mpbuild.app.fetch import open_index
from mpbuild.app.locks import Environment, check_floors, environments, read_debian, read_python
from mpbuild.app.workspace import Target
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.effects.atomic import write_new
from mpbuild.effects.disk import disk_error
from mpbuild.effects.uv import Uv
from mpbuild.effects.web import Web
from mpbuild.formats import deblock, pylock
from mpbuild.resolve import together


class Locker:
    """Resolves targets; a Debian index is fetched once for all that stand on it."""

    def __init__(self) -> None:
        self._web = Web(os.environ)
        self._uv = Uv.find(os.environ)
        self._archives = DebianArchives(self._web)

    def lock(self, target: Target) -> list[dict[str, Any]]:
        """Resolve and write; entries for ``locks[]`` of the command's result."""
        found = environments(target)
        previous = {e.name: lock for e in found if (lock := read_python(e)) is not None}
        locks = self._resolve(target, found, previous)
        findings = check_floors(target, found, locks)
        if findings:
            raise InputError.collect(findings)
        entries = []
        for environment in found:
            name, before = environment.name, read_debian(environment)
            entries += [
                _keep_python(target, environment, locks[name], previous.get(name)),
                _keep_debian(target, environment, self._archives.lock(environment, before), before),
            ]
        return entries

    def _resolve(
        self,
        target: Target,
        found: Sequence[Environment],
        previous: Mapping[str, pylock.PythonLock],
    ) -> dict[str, pylock.PythonLock]:
        """The accelerators together, each further environment by itself."""
        index = open_index(target)
        accelerators = [e for e in found if e.accelerator is not None]
        groups = [accelerators, *([e] for e in found if e.accelerator is None)]
        locks: dict[str, pylock.PythonLock] = {}
        for group in groups:
            locks |= together.lock(
                {environment.name: environment.python for environment in group},
                index=index,
                uv=self._uv,
                web=self._web,
                previous=previous,
            )
        return locks


def _keep_debian(
    target: Target,
    environment: Environment,
    lock: deblock.DebianLock,
    previous: deblock.DebianLock | None,
) -> dict[str, Any]:
    _write(environment.debian_file, deblock.write(lock))
    sizes = sum(package.size for package in lock.packages)
    old, new = _versions(previous), _versions(lock)
    return _entry(target, environment, "debian", environment.debian_file, sizes, old, new)


def _keep_python(
    target: Target,
    environment: Environment,
    lock: pylock.PythonLock,
    previous: pylock.PythonLock | None,
) -> dict[str, Any]:
    _write(environment.python_file, pylock.write(lock))
    sizes = sum(package.wheel.size for package in lock.packages)
    old, new = _versions(previous), _versions(lock)
    return _entry(target, environment, "python", environment.python_file, sizes, old, new)


def _versions(lock: pylock.PythonLock | deblock.DebianLock | None) -> dict[str, str]:
    return {package.name: package.version for package in lock.packages} if lock else {}


def _write(path: Path, text: str) -> None:
    """Replace a lock only if it changed, and whole."""
    data = text.encode()
    try:
        if path.is_file() and path.read_bytes() == data:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        write_new(path.parent, path, data)
        path.chmod(0o644)
    except OSError as error:
        raise disk_error(error, path) from error


def _entry(
    target: Target,
    environment: Environment,
    kind: str,
    path: Path,
    size: int,
    old: dict[str, str],
    new: dict[str, str],
) -> dict[str, Any]:
    changed = [
        {"name": name, "from": old.get(name), "to": new.get(name)}
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    return {
        "label": str(target.label),
        "kind": kind,
        "environment": environment.name,
        "path": path.relative_to(target.workspace.root).as_posix(),
        "digest": str(Digest.of(path.read_bytes())),
        "packages": len(new),
        "bytes": size,
        "changed": changed,
    }
