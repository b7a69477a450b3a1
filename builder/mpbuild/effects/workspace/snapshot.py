"""A snapshot of a workspace: opens each file once.

Spec, locks, actions, provenance and memo take from one snapshot, so an edit during a build counts
for the next build as a whole. Imports little, as the memo reads through it.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from io import FileIO
from pathlib import Path
from typing import NamedTuple, Protocol

from mpbuild.base.digest import Buffer, Digest
from mpbuild.effects.workspace import sources
from mpbuild.effects.workspace.documents import read_document
from mpbuild.effects.workspace.sources import FileStat


class FileVersion(NamedTuple):
    """The stat of a file and the digest of its bytes, taken from one descriptor."""

    stat: FileStat
    digest: Digest


class KeptBlob(Protocol):
    """A blob that a sink has taken."""

    @property
    def digest(self) -> Digest:
        """The digest of its bytes."""


class BlobSink(Protocol):
    """Takes the bytes of source files while they are read; a store is one."""

    def has(self, digest: Digest, /) -> bool:
        """Whether it has the blob already."""

    def put(self, chunks: Iterable[Buffer], /) -> KeptBlob:
        """Keeps a stream of bytes."""


class SourceBlobs(Protocol):
    """Has the bytes of source files; a store is one."""

    def mapped(self, digest: Digest, /) -> AbstractContextManager[memoryview]:
        """The bytes of a blob."""


class _Reads:
    """Everything read so far: files by path, bytes of documents, matches of patterns.

    ``plain`` holds the folders that are known not to be behind a link.
    """

    def __init__(self) -> None:
        self.versions: dict[str, FileVersion] = {}
        self.contents: dict[str, bytes] = {}
        self.matches: dict[tuple[str, str], list[str]] = {}
        self.plain: set[str] = set()


class Snapshot:
    """The files of one workspace, each as it was when it was first read.

    Holds documents in memory. Puts the bytes of sources into ``sink``, if there is one and it
    lacks them, from the descriptor that was hashed. A file that changes while it is read raises
    InputError.
    """

    def __init__(self, root: Path, sink: BlobSink | None = None) -> None:
        self.root = root
        self.at = time.time_ns()
        """The time before the first look, in ns: see ``FileStat.settled``."""
        self._sink = sink
        self._reads = _Reads()
        self.patterns: dict[str, list[str]] = {}
        """The matches of each expanded pattern, by ``folder:pattern``."""
        self.versions: dict[str, FileVersion] = {}
        """Each requested file, by its path from the root."""
        self.documents: set[str] = set()
        """Those of the files that are held in memory."""

    def branch(self) -> "Snapshot":
        """The same snapshot, which lists by itself what is asked of it."""
        other = Snapshot(self.root, self._sink)
        other.at, other._reads = self.at, self._reads
        return other

    def match(self, folder: str, pattern: str) -> list[str]:
        """Matches ``pattern``, relative to ``folder``; lists once. See ``sources.match``."""
        key = folder, pattern
        if key not in self._reads.matches:
            self._reads.matches[key] = sources.match(self.root, folder, pattern)
        found = self.patterns[f"{folder}:{pattern}"] = self._reads.matches[key]
        return found

    def look(self, path: str) -> FileStat:
        """Stats a source file now; see ``sources.look``."""
        return sources.look(self.root, path, self._reads.plain)

    def document(self, path: str) -> bytes:
        """The bytes of a document; raises InputError where it can't be read."""
        reads = self._reads
        if path not in reads.contents:
            data, found = read_document(self.root, path)
            version = FileVersion(found, Digest.of(data))
            if reads.versions.setdefault(path, version) != version:
                raise sources.changed(path)
            reads.contents[path] = data
        self.documents.add(path)
        self.versions[path] = reads.versions[path]
        return reads.contents[path]

    def file(self, path: str) -> FileVersion:
        """The version of a source file; its bytes are in the sink, or else in memory."""
        reads = self._reads
        if path not in reads.versions:
            reads.versions[path] = self._read(path)
        self.versions[path] = reads.versions[path]
        return self.versions[path]

    def content(self, path: str, blobs: SourceBlobs) -> Iterator[Buffer]:
        """The bytes of a file that was read; those of sources come from ``blobs``."""
        if path in self._reads.contents:
            yield self._reads.contents[path]
        else:
            with blobs.mapped(self._reads.versions[path].digest) as data:
                yield data

    def put(self, path: str, sink: BlobSink) -> None:
        """Puts a file that was read before into ``sink``, if that lacks it."""
        digest = self._reads.versions[path].digest
        if sink.has(digest):
            return
        if path in self._reads.contents:
            sink.put([self._reads.contents[path]])
        else:
            with sources.reading(self.root, path) as (file, _):
                _copy(file, digest, path, sink)

    def _read(self, path: str) -> FileVersion:
        with sources.reading(self.root, path, self._reads.plain) as (file, found):
            small = found.size < sources.CHUNK
            data = [b"".join(sources.chunks(file, path))] if small else sources.chunks(file, path)
            digest = Digest.of_chunks(data)
            if self._sink is not None and not self._sink.has(digest):
                if small:
                    self._sink.put(data)
                else:
                    file.seek(0)
                    _copy(file, digest, path, self._sink)
        return FileVersion(found, digest)


def _copy(file: FileIO, digest: Digest, path: str, sink: BlobSink) -> None:
    """Copies an open file into ``sink``; raises InputError where the bytes have another digest."""
    if sink.put(sources.chunks(file, path)).digest != digest:
        raise sources.changed(path)
