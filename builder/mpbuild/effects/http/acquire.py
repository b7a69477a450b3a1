"""Fetches a file of which only the URL is known, and keeps it by its digest."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO

import msgspec

from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest, Hasher
from mpbuild.base.errors import EnvironmentFailureError
from mpbuild.effects.files.disk import disk_errors
from mpbuild.effects.http.client import Body, HttpClient
from mpbuild.effects.http.download import FileSink, claimed
from mpbuild.effects.http.transport import TransientError
from mpbuild.effects.http.urls import shown
from mpbuild.engine.action import Output

_CHUNK = 1 << 20


def acquire(
    url: str, *, into: FileSink, web: HttpClient, progress: Callable[[int], None]
) -> Output:
    """Fetches the file at ``url`` and returns its digest and size; reports bytes to ``progress``.

    Resumes an interrupted download, also of an earlier call, if the server's validators (RFC 9110,
    "Validator Fields") show that the file is the same; otherwise starts again. Raises
    EnvironmentFailureError: fetch-failed, disk-full, or content-mismatch if the file changes during
    the download.
    """
    path = into.partial / f"{Digest.of(url.encode()).hex}.part"
    with disk_errors(path):
        into.partial.mkdir(parents=True, exist_ok=True)
        with claimed(path) as part:
            copy = _Copy(url, part, path.with_suffix(".version"), web, progress)
            hasher = web.retry(copy.finish)
            os.fsync(part.fileno())
            if into.has(hasher.digest):
                path.unlink()
            else:
                into.keep(path, hasher.digest)
            copy.forget_version()
    return Output(hasher.digest, hasher.size)


class _Version(msgspec.Struct, frozen=True):
    """Identifies the content that a URL had at some time."""

    name: str
    total: int | None

    @classmethod
    def of(cls, body: Body) -> "_Version":
        return cls(body.version, body.total)

    @property
    def certain(self) -> bool:
        return bool(self.name) and self.total is not None


class _Copy:
    """A partial copy of a file; ``note`` holds its version."""

    def __init__(
        self,
        url: str,
        part: IO[bytes],
        note: Path,
        web: HttpClient,
        progress: Callable[[int], None],
    ) -> None:
        self._url = url
        self._part = part
        self._note = note
        self._web = web
        self._progress = progress
        self._received = False

    def finish(self) -> Hasher:
        """Fetches the missing bytes; raises TransientError if another attempt may succeed."""
        hasher, version = self._held()
        if hasher.size and hasher.size == version.total:
            return hasher
        with self._web.open(self._url, hasher.size) as body:
            if body.start not in (0, hasher.size):
                raise EnvironmentFailureError(
                    "the server sent another range than requested", where=shown(self._url)
                )
            if hasher.size and _Version.of(body) != version:
                raise self._changed()
            if not body.start:
                hasher = Hasher()
                self._begin(_Version.of(body))
            self._receive(body, hasher)
        return hasher

    def forget_version(self) -> None:
        """Removes the note."""
        self._note.unlink(missing_ok=True)

    def _held(self) -> tuple[Hasher, _Version]:
        """The partial copy that can be resumed, and its version."""
        hasher, version = Hasher(), self._noted()
        if self._part.seek(0, os.SEEK_END) and version.certain:
            with self._web.open(self._url, 0, 0) as body:
                same = _Version.of(body) == version
                self._refuse_change(version, body)
            if same:
                self._part.seek(0)
                for chunk in iter(partial(self._part.read, _CHUNK), b""):
                    hasher.write(chunk)
        if hasher.size > (version.total or 0):
            return Hasher(), version
        return hasher, version

    def _noted(self) -> _Version:
        try:
            return msgspec.json.decode(self._note.read_bytes(), type=_Version)
        except (OSError, msgspec.MsgspecError):
            return _Version("", None)

    def _begin(self, version: _Version) -> None:
        """Truncates the copy before its version is noted, so that the note never misleads."""
        self._part.truncate(0)
        self._note.write_bytes(msgspec.json.encode(version))

    def _receive(self, body: Body, hasher: Hasher) -> None:
        for chunk in body.chunks:
            self._part.write(chunk)
            hasher.write(chunk)
            self._received = True
            self._progress(len(chunk))
        self._part.flush()
        if body.total is not None and hasher.size != body.total:
            message = f"the download ended after {hasher.size} of {body.total} bytes"
            raise TransientError(message, where=shown(self._url))

    def _refuse_change(self, version: _Version, body: Body) -> None:
        """Refuses a change during this call; an older partial copy is just discarded."""
        if self._received and version.certain and _Version.of(body) != version:
            raise self._changed()

    def _changed(self) -> EnvironmentFailureError:
        self._part.truncate(0)
        return EnvironmentFailureError(
            "the file changed during the download",
            where=shown(self._url),
            code=Code.CONTENT_MISMATCH,
            hint="try again when its owner has finished",
        )
