"""Fetching: everything the locks of a target name, into the store."""

import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Protocol

from mpbuild.app.addresses import deb_requests, wheel_requests
from mpbuild.app.locks import Environment, LockSet, environments
from mpbuild.app.workspace import Target
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, WorldError
from mpbuild.effects.apt import mirrors
from mpbuild.effects.download import Depot, Request, download
from mpbuild.effects.indexes import Index, find_index
from mpbuild.effects.store import Store, disk_error
from mpbuild.effects.web import Web

WHEELS = "wheels"


class Watcher(Protocol):
    """Told what is fetched, from several threads."""

    def fetching(self, files: int, size: int) -> None:
        """So many files are missing, of so many bytes in all."""

    def received(self, count: int) -> None:
        """So many bytes more have come."""


def fetch_locks(
    target: Target,
    locks: LockSet,
    store: Store,
    watcher: Watcher,
    *,
    offline: bool = False,
) -> tuple[int, int]:
    """Bring what the store lacks; how many files that were, and bytes.

    Offline, anything missing is a WorldError (fetch-failed) that names it.
    """
    files = (file for lock in locks.locks.values() for file in lock.files)
    missing = {file.digest: file for file in files if not store.has(file.digest)}
    if not missing:
        return 0, 0
    if offline:
        names = sorted(file.name for file in missing.values())
        raise WorldError.collect([_absent(target, name) for name in names])
    size = sum(file.size for file in missing.values())
    watcher.fetching(len(missing), size)
    wanted = {request.digest: request for request in _requests(target, locks, missing)}
    download(
        tuple(wanted.values()),
        into=Depot(store.path / "partial", store.has, store.adopt),
        web=Web(os.environ),
        progress=watcher.received,
    )
    return len(missing), size


def place_wheels(target: Target, locks: LockSet, store: Store) -> int:
    """Fill the ``wheels`` folder beside the locks, for uv, pip and pex; how many were placed."""
    placed = 0
    folder = target.workspace.lock_folder(target.label) / WHEELS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for lock in locks.locks.values():
            for package in lock.python.packages:
                path = folder / package.wheel.filename
                if not path.exists():
                    _copy(store.blob(package.wheel.sha256), path)
                    placed += 1
    except OSError as error:
        raise disk_error(error, folder) from error
    return placed


def _absent(target: Target, name: str) -> Finding:
    hint = "run `mpbuild fetch` where there is a network"
    return Finding("fetch-failed", f"{name} is not in the store", str(target.label), hint)


def _copy(source: Path, target: Path) -> None:
    """A copy, not a link: whoever edits the folder must not reach the store."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(source, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _requests(target: Target, locks: LockSet, missing: Collection[Digest]) -> Iterator[Request]:
    index = open_index(target)
    for environment in environments(target):
        lock = locks.locks[environment.name]
        yield from wheel_requests(lock, missing, index)
        yield from deb_requests(lock, missing, environment.base.mirrors)


def open_index(target: Target) -> Index:
    """The package index that the workspace or the user's configuration names."""
    settings = target.workspace.settings.indexes["default"]
    return find_index(os.environ, url=settings.url or "")


def debian_mirrors(environment: Environment) -> tuple[str, ...]:
    """Where the environment's Debian packages can be had."""
    return mirrors(environment.base.mirrors, os.environ)
