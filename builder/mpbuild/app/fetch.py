"""Fetching: everything the locks of a target name, into the store."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from mpbuild.app.locks import Environment, LockSet, environments
from mpbuild.app.workspace import Target
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, WorldError
from mpbuild.effects.apt import mirrors
from mpbuild.effects.download import Depot, Request, download
from mpbuild.effects.indexes import Index, find_index
from mpbuild.effects.store import Store, disk_error
from mpbuild.effects.uv import Uv
from mpbuild.effects.web import Web
from mpbuild.resolve import debian, python

WHEELS = "wheels"


def fetch_locks(
    target: Target,
    locks: LockSet,
    store: Store,
    *,
    offline: bool = False,
    progress: Callable[[int], None] | None = None,
) -> tuple[int, int]:
    """Bring what the store lacks; how many files that were, and bytes.

    Offline, anything missing is a WorldError (fetch-failed) that names it.
    """
    missing = {digest: name for name, digest in _named(locks) if not store.has(digest)}
    if not missing:
        return 0, 0
    if offline:
        raise WorldError.collect(
            [
                Finding("fetch-failed", f"{name} is not in the store", str(target.label), _HINT)
                for name in sorted(missing.values())
            ]
        )
    wanted = [request for request in _requests(target, locks) if request.digest in missing]
    download(
        wanted,
        into=Depot(store.path / "partial", store.has, store.adopt),
        web=Web(os.environ),
        progress=progress,
    )
    return len(wanted), sum(request.size for request in wanted)


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


_HINT = "run `mpbuild fetch` where there is a network"


def _copy(source: Path, target: Path) -> None:
    """A copy, not a link: whoever edits the folder must not reach the store."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(source, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _named(locks: LockSet) -> Iterator[tuple[str, Digest]]:
    for lock in locks.locks.values():
        for package in lock.python.packages:
            yield package.wheel.filename, package.wheel.sha256
        for deb in lock.debian.packages:
            yield deb.path.rsplit("/", 1)[-1], deb.sha256


def _requests(target: Target, locks: LockSet) -> Iterator[Request]:
    index, uv = open_index(target), Uv.find(os.environ)
    for environment in environments(target):
        lock = locks.locks[environment.name]
        yield from python.requests(lock.python, index=index, uv=uv)
        yield from debian.requests(lock.debian, debian_mirrors(environment))


def open_index(target: Target) -> Index:
    """The package index that the workspace or the user's configuration names."""
    settings = target.workspace.settings.indexes["default"]
    return find_index(os.environ, url=settings.url or "")


def debian_mirrors(environment: Environment) -> tuple[str, ...]:
    """Where the environment's Debian packages can be had."""
    return mirrors(environment.base.mirrors, os.environ)
