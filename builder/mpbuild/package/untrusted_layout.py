"""A layout from whoever: reading it without trust, and whether it is whole."""

import os
import posixpath
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from mpbuild.base import canonical, limits
from mpbuild.base.codes import Code
from mpbuild.base.conversion import typed
from mpbuild.base.digest import Buffer, Digest, Hasher
from mpbuild.base.errors import Finding, InputError
from mpbuild.effects.files.oci_layout import Layout
from mpbuild.effects.store.store import Store
from mpbuild.effects.store.unpacker import Unpacker
from mpbuild.formats.archive import gzip, tar, untar
from mpbuild.formats.archive.tree import check_tree
from mpbuild.formats.archive.unsafe import UnsafeError
from mpbuild.formats.oci import oci

_VERSION = {"imageLayoutVersion": "1.0.0"}


class UntrustedLayout(Layout):
    """A layout whose files may be anything: pipes, devices, links, documents without end."""

    def read(self, digest: Digest, size: int | None = None) -> bytes:
        """A document of the layout, checked; what is too large for one is refused unread."""
        _regular(self.blob(digest), limits.OCI_DOCUMENT_BYTES)
        return super().read(digest, size)

    def chunks(self, digest: Digest) -> Iterator[bytes]:
        """The bytes of a blob, as they are."""
        _regular(self.blob(digest))
        yield from super().chunks(digest)

    def size(self, digest: Digest) -> int:
        """Of a blob, in bytes."""
        return _regular(self.blob(digest)).st_size

    def entries(self) -> tuple[oci.Descriptor, ...]:
        """All that ``index.json`` points at."""
        _regular(self.path / "index.json", limits.OCI_DOCUMENT_BYTES)
        return super().entries()


def faults(layout: UntrustedLayout) -> Iterator[Finding]:
    """What keeps the layout from being whole.

    That is a blob with other bytes than its name says (content-mismatch), a file that is no blob
    (content-extra), and whatever is pointed at, from ``index.json`` on, without being there
    (content-missing) or with another size (content-mismatch).
    """
    try:
        sizes: dict[Digest, int] = {}
        yield from _version(layout)
        yield from _blobs(layout, sizes)
        yield from _pointers(layout, sizes)
    except InputError as error:
        yield from error.findings
    except OSError as error:
        yield Finding(Code.CONTENT_MISSING, f"can't be read: {error.strerror}", str(error.filename))


def _version(layout: UntrustedLayout) -> Iterator[Finding]:
    path = layout.path / "oci-layout"
    _regular(path, limits.OCI_DOCUMENT_BYTES)
    if canonical.decode(path.read_bytes()) != _VERSION:
        yield Finding(Code.CONTENT_MISMATCH, f"it is not {_VERSION}", "oci-layout")


def _blobs(layout: UntrustedLayout, sizes: dict[Digest, int]) -> Iterator[Finding]:
    """Every blob against its name; ``sizes`` takes those that are there."""
    for entry in sorted(os.scandir(layout.path / "blobs" / "sha256"), key=lambda e: e.name):
        try:
            digest = Digest.from_hex(entry.name)
        except InputError:
            yield Finding(
                Code.CONTENT_EXTRA, "its name is not that of a blob", f"layout {entry.name}"
            )
            continue
        sizes[digest] = entry.stat().st_size
        try:
            good = Digest.of_chunks(layout.chunks(digest)) == digest
        except InputError as error:
            yield from error.findings
        else:
            if not good:
                message = f"the blob {digest} has other bytes than its name says"
                yield Finding(Code.CONTENT_MISMATCH, message, "layout")


class _Pointer(msgspec.Struct, frozen=True, rename="camel"):
    """A descriptor, as far as it points: whose it is does not matter here."""

    media_type: str
    digest: Digest
    size: int


class _Pointing(msgspec.Struct, frozen=True):
    """Any index or manifest, as far as it points."""

    manifests: tuple[_Pointer, ...] = ()
    layers: tuple[_Pointer, ...] = ()
    config: _Pointer | None = None

    @property
    def pointers(self) -> Iterator[_Pointer]:
        yield from self.manifests
        yield from self.layers
        if self.config:
            yield self.config


def _pointers(layout: UntrustedLayout, sizes: dict[Digest, int]) -> Iterator[Finding]:
    data = (layout.path / "index.json").read_bytes() if layout.entries() else b""
    waiting = [("index.json", one) for one in _pointing(data)]
    seen: set[_Pointer] = set()
    while waiting:
        where, pointer = waiting.pop()
        if pointer in seen:
            continue
        seen.add(pointer)
        size = sizes.get(pointer.digest)
        if size is None:
            yield Finding(
                Code.CONTENT_MISSING, f"the layout lacks the blob {pointer.digest}", where
            )
        elif size != pointer.size:
            message = f"{pointer.digest} is {size} bytes, and not {pointer.size}"
            yield Finding(Code.CONTENT_MISMATCH, message, where)
        elif pointer.media_type in (oci.INDEX, oci.MANIFEST):
            inner = _pointing(layout.read(pointer.digest))
            waiting += [(str(pointer.digest), one) for one in inner]


def _pointing(data: bytes) -> list[_Pointer]:
    """What a document points at; nothing where it is none, which its own reader will tell."""
    try:
        document: Any = canonical.decode(data)
        return list(typed(document, _Pointing).pointers)
    except InputError:
        return []


def _regular(path: Path, largest: int | None = None) -> os.stat_result:
    """Refuse to open what might never end, or never begin."""
    try:
        found = path.stat()
    except OSError as error:
        raise InputError(
            f"the layout lacks {path.name}", where=str(path), code=Code.CONTENT_MISSING
        ) from error
    if not stat.S_ISREG(found.st_mode):
        raise InputError("not a regular file", where=str(path), code=Code.CONTENT_MISMATCH)
    if largest is not None and found.st_size > largest:
        raise InputError(
            f"{found.st_size} bytes are too many for a document",
            where=str(path),
            code=Code.CONTENT_MISMATCH,
        )
    return found


class LayoutBlobs:
    """A package in an OCI layout, from whoever: every byte is checked on its way."""

    def __init__(self, layout: UntrustedLayout, store: Store) -> None:
        self._layout = layout
        self._store = store

    def document(self, digest: Digest) -> bytes:
        """From the layout."""
        return self._layout.read(digest)

    def layer(self, layer: oci.Descriptor) -> Iterator[Buffer]:
        """From the layout; its size is checked before anything is believed that it bounds."""
        if self._layout.size(layer.digest) != layer.size:
            raise InputError(
                f"{layer.digest} is not {layer.size} bytes", code=Code.CONTENT_MISMATCH
            )
        return compared(self._layout.chunks(layer.digest), layer.digest, layer.size)

    def has(self, digest: Digest) -> bool:
        """Whether the layout has the blob."""
        return self._layout.blob(digest).is_file()

    def tree(self, layer: oci.Descriptor, diff_id: Digest) -> Path:
        """Unpacked once, after the whole layer has been read and found good."""
        final = self._store.tree(diff_id)
        if not final.is_dir():
            with self._store.lock(diff_id), self._store.scratch() as scratch:
                if not final.is_dir():
                    _exhaust(self.layer(layer))
                    _check([entry for entry, _ in untar.read(self._plain(layer, diff_id))])
                    _unpack(self._plain(layer, diff_id), scratch / "tree")
                    (scratch / "tree").rename(final)
        return final

    def _plain(self, layer: oci.Descriptor, diff_id: Digest) -> Iterator[Buffer]:
        yield from compared(gzip.decompress(self.layer(layer)), diff_id)


def compared(chunks: Iterator[Buffer], digest: Digest, size: int | None = None) -> Iterator[Buffer]:
    """``chunks`` again, with an InputError (content-mismatch) at their end if they are others."""
    hasher = Hasher()
    for chunk in chunks:
        hasher.write(chunk)
        yield chunk
    if hasher.digest != digest or size not in (None, hasher.size):
        raise InputError(f"{digest} has other bytes than its name says", code=Code.CONTENT_MISMATCH)


def _exhaust(chunks: Iterator[Buffer]) -> None:
    """Nothing is read into what is not what it should be."""
    for _ in chunks:
        pass


def _check(entries: Sequence[tar.TarEntry]) -> None:
    check_tree(entries, absolute_links=True)
    folders = {""}
    for entry in entries:
        if posixpath.dirname(entry.path) not in folders:
            raise UnsafeError(f"{entry.path} has no folder before it")
        if entry.kind == "directory":
            folders.add(entry.path)


def _unpack(chunks: Iterator[Buffer], root: Path) -> None:
    with Unpacker(root) as unpacker:
        for entry, content in untar.read(chunks):
            unpacker.begin(_Entry(entry))
            for chunk in content:
                unpacker.write(chunk)


class _Entry(msgspec.Struct, frozen=True):
    entry: tar.TarEntry
