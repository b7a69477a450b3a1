"""Downloads files by digest: in parallel, resumed, checked before they are kept."""

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import IO

import msgspec

from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest, Hasher
from mpbuild.base.errors import EnvironmentFailureError, Finding
from mpbuild.effects.files.disk import disk_errors
from mpbuild.effects.http.client import HttpClient
from mpbuild.effects.http.file_request import FileRequest, mismatch
from mpbuild.effects.http.transport import TransientError
from mpbuild.effects.http.urls import shown

_CHUNK = 1 << 20


class FileSink(msgspec.Struct, frozen=True):
    """Where files go: ``partial`` holds incomplete ones, ``keep`` moves a checked one away.

    Processes that share the folder wait for each other, file by file; ``has`` returns whether
    another one has kept a file meanwhile.
    """

    partial: Path
    has: Callable[[Digest], bool]
    keep: Callable[[Path, Digest], None]


def download(
    requests: Sequence[FileRequest],
    *,
    into: FileSink,
    web: HttpClient,
    jobs: int = 8,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Downloads every file that is not kept yet; reports new bytes to ``progress``.

    Keeps a file only if size and digest match. Tries the URLs of a file in order, and resumes an
    interrupted download. Raises EnvironmentFailureError: fetch-failed, content-mismatch or
    disk-full, with a finding for each file and URL that failed.
    """
    wanted = {request.digest: request for request in requests if not into.has(request.digest)}
    worker = _Worker(into, web, progress or (lambda _: None))
    with disk_errors(into.partial), ThreadPoolExecutor(jobs, "download") as pool:
        into.partial.mkdir(parents=True, exist_ok=True)
        futures = [pool.submit(worker.get, request) for request in wanted.values()]
        try:
            findings = [finding for future in as_completed(futures) for finding in _failed(future)]
        except BaseException:
            worker.stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if findings:
        raise EnvironmentFailureError.collect(sorted(findings, key=lambda finding: finding.where))


def _failed(future: "Future[None]") -> tuple[Finding, ...]:
    error = future.exception()
    if isinstance(error, EnvironmentFailureError) and error.findings[0].code != Code.DISK_FULL:
        return error.findings
    if error:
        raise error
    return ()


class _Worker:
    """Downloads one file at a time; threads share it."""

    def __init__(self, sink: FileSink, web: HttpClient, progress: Callable[[int], None]) -> None:
        self._sink = sink
        self._web = web
        self._progress = progress
        self.stop = threading.Event()

    def get(self, request: FileRequest) -> None:
        """Downloads a file from the first of its URLs that has it."""
        path = self._sink.partial / f"{request.digest.hex}.part"
        with disk_errors(path), claimed(path) as part:
            if self._sink.has(request.digest):
                path.unlink(missing_ok=True)
                return
            self._from_any(request, part, path)
            os.fsync(part.fileno())
            self._sink.keep(path, request.digest)

    def _from_any(self, request: FileRequest, part: IO[bytes], path: Path) -> None:
        findings: list[Finding] = []
        for url in request.urls:
            try:
                self._web.retry(partial(self._receive, request, part, url))
            except EnvironmentFailureError as error:
                findings += error.within(request.name).findings
            else:
                return
        if any(finding.code == Code.CONTENT_MISMATCH for finding in findings):
            path.unlink(missing_ok=True)
        raise EnvironmentFailureError.collect(
            findings or [Finding(Code.FETCH_FAILED, "no URL is known", request.name)]
        )

    def _receive(self, request: FileRequest, part: IO[bytes], url: str) -> None:
        hasher = Hasher()
        if part.seek(0, os.SEEK_END) > request.size:
            part.truncate(0)
        part.seek(0)
        while chunk := part.read(_CHUNK):
            hasher.write(chunk)
        resumed = hasher.size
        if hasher.size < request.size:
            hasher = self._append(request, part, url, hasher)
        if hasher.digest == request.digest:
            return
        part.truncate(0)
        if resumed:  # The partial file may have been at fault, not the server.
            raise TransientError("the resumed file has another digest", where=shown(url))
        raise mismatch(f"the digest is {hasher.digest}; expected {request.digest}", url)

    def _append(self, request: FileRequest, part: IO[bytes], url: str, hasher: Hasher) -> Hasher:
        with self._web.open(url, hasher.size) as body:
            if body.total not in (None, request.size):
                part.truncate(0)
                raise mismatch(f"the size is {body.total} bytes; expected {request.size}", url)
            if body.start != hasher.size:
                part.truncate(0)
                hasher = Hasher()
            for chunk in body.chunks:
                self._check(hasher.size + len(chunk), request, part, url)
                part.write(chunk)
                hasher.write(chunk)
                self._progress(len(chunk))
        part.flush()
        if hasher.size < request.size:
            raise TransientError(
                f"the download ended after {hasher.size} of {request.size} bytes", where=shown(url)
            )
        return hasher

    def _check(self, size: int, request: FileRequest, part: IO[bytes], url: str) -> None:
        if self.stop.is_set():
            part.flush()
            raise EnvironmentFailureError("stopped")
        if size > request.size:
            part.truncate(0)
            raise mismatch(f"larger than {request.size} bytes", url)


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[IO[bytes]]:
    """Opens and locks the partial file."""
    while True:
        with path.open("a+b") as part:
            fcntl.flock(part, fcntl.LOCK_EX)
            if _is_at(part, path):
                yield part
                return


def _is_at(part: IO[bytes], path: Path) -> bool:
    """Whether ``path`` still names ``part``: the last owner of the lock may have moved it."""
    try:
        return os.path.samestat(os.fstat(part.fileno()), path.stat())
    except FileNotFoundError:
        return False
