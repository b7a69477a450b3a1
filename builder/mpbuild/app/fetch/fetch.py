"""Fetches the files that the locks and the spec of a target name into the store."""

import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mpbuild.app.lock.lock_files import LockEnvironment, LockSet, environments
from mpbuild.app.workspace.workspace import Target
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, Finding, InputError
from mpbuild.derive.environment_locks import LockedFile, built_environments, fetched_weights
from mpbuild.effects.files.disk import disk_error
from mpbuild.effects.store.store import Store
from mpbuild.locks.toolchain import BASE as TOOLCHAIN_BASE
from mpbuild.locks.toolchain import Toolchain

if TYPE_CHECKING:
    from mpbuild.effects.http.client import HttpClient
    from mpbuild.effects.http.file_request import FileRequest

WHEELS = "wheels"


class DownloadObserver(Protocol):
    """Receives the progress of downloads, from several threads."""

    def fetching(self, files: int, size: int) -> None:
        """``files`` files of ``size`` bytes in all are about to be fetched."""

    def received(self, count: int) -> None:
        """``count`` more bytes were received."""


class FetchResult(NamedTuple):
    """The number of fetched files, and their bytes."""

    files: int = 0
    bytes: int = 0


def wanted_environments(
    target: Target, accelerators: Sequence[Accelerator]
) -> tuple[LockEnvironment, ...]:
    """The environments whose files a build for ``accelerators`` needs."""
    names = built_environments(target.model, accelerators)
    return tuple(one for one in environments(target) if one.name in names)


def fetch(
    target: Target,
    locks: LockSet,
    wanted: Sequence[LockEnvironment],
    toolchain: Toolchain,
    store: Store,
    observer: DownloadObserver,
    *,
    offline: bool = False,
) -> FetchResult:
    """Fetches what ``wanted`` environments, the toolchain and weights need and the store lacks.

    Offline, a missing file raises EnvironmentFailureError (fetch-failed), which names each.
    """
    files = [file for one in wanted for file in locks.locks[one.name].files]
    files += [*toolchain.locks.files, *fetched_weights(target.model)]
    missing = {file.digest: file for file in files if not store.has(file.digest)}
    _check_sizes([file for file in files if file.digest not in missing], store)
    if not missing:
        return FetchResult()
    if offline:
        names = sorted(file.name for file in missing.values())
        raise EnvironmentFailureError.collect([_absent(target, name) for name in names])
    # Most builds fetch nothing and need no HTTP client.
    from mpbuild.effects.http.download import FileSink, download
    from mpbuild.effects.registry.client import registry_client

    size = sum(file.size for file in missing.values())
    observer.fetching(len(missing), size)
    web = registry_client(os.environ)
    requests = {r.digest: r for r in _requests(target, locks, wanted, toolchain, missing, web)}
    download(
        tuple(requests.values()),
        into=FileSink(store.path / "partial", store.has, store.adopt),
        web=web,
        progress=observer.received,
    )
    return FetchResult(len(missing), size)


def _check_sizes(files: Iterable[LockedFile], store: Store) -> None:
    """Checks the locked sizes of files in the store; downloads check those of other files."""
    findings = [
        Finding(
            Code.CONTENT_MISMATCH,
            f"the file has {store.size(file.digest)} bytes; locked: {file.size}",
            file.name,
            "the lock was edited: find out what else changed, then run `mpbuild lock`",
        )
        for file in files
        if store.size(file.digest) != file.size
    ]
    if findings:
        raise InputError.collect(findings)


def place_wheels(
    target: Target, locks: LockSet, wanted: Sequence[LockEnvironment], store: Store
) -> int:
    """Copies wheels into ``wheels`` beside the locks, for uv, pip and pex; returns how many."""
    placed = 0
    folder = target.workspace.lock_folder(target.label) / WHEELS
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for one in wanted:
            for package in locks.locks[one.name].python.packages:
                path = folder / package.wheel.filename
                if not path.exists():
                    _copy(store.blob(package.wheel.sha256), path)
                    placed += 1
    except OSError as error:
        raise disk_error(error, folder) from error
    return placed


def _absent(target: Target, name: str) -> Finding:
    hint = "run `mpbuild fetch` with access to the network"
    return Finding(Code.FETCH_FAILED, f"{name} is not in the store", str(target.label), hint)


def _copy(source: Path, target: Path) -> None:
    """Copies, and never links: an edit in the folder must not reach the store."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(source, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _requests(
    target: Target,
    locks: LockSet,
    wanted: Sequence[LockEnvironment],
    toolchain: Toolchain,
    missing: Collection[Digest],
    web: "HttpClient",
) -> "Iterator[FileRequest]":
    from mpbuild.app.fetch.file_requests import deb_requests, weight_requests, wheel_requests
    from mpbuild.app.lock.index_sources import open_index, toolchain_index

    find = partial(open_index, target.workspace)
    for one in wanted:
        lock = locks.locks[one.name]
        yield from wheel_requests(lock, missing, find, web)
        yield from deb_requests(lock, missing, one.base)
    lock = toolchain.locks
    names = [package.wheel.filename for package in lock.python.packages]
    yield from wheel_requests(lock, missing, partial(toolchain_index, target.workspace, names), web)
    yield from deb_requests(lock, missing, TOOLCHAIN_BASE)
    yield from weight_requests(target.model, missing, web)
