"""Checks the integrity of an untrusted OCI layout: every blob, and every descriptor."""

import os
from collections.abc import Iterator
from typing import Any

import msgspec

from mpbuild.base import canonical, limits
from mpbuild.base.codes import Code
from mpbuild.base.conversion import typed
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.formats.oci import oci
from mpbuild.package.untrusted_layout import UntrustedLayout, regular_file

_VERSION = {"imageLayoutVersion": "1.0.0"}


def integrity_faults(layout: UntrustedLayout) -> Iterator[Finding]:
    """Yields every integrity fault of a layout.

    Those are blobs that do not match their names (content-mismatch), files that are not blobs
    (content-extra), and descriptors, from ``index.json`` on, whose blob is missing
    (content-missing) or has another size (content-mismatch).
    """
    try:
        sizes: dict[Digest, int] = {}
        yield from _version(layout)
        yield from _blobs(layout, sizes)
        yield from _descriptors(layout, sizes)
    except InputError as error:
        yield from error.findings
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        yield Finding(Code.CONTENT_MISSING, message, str(error.filename))


def _version(layout: UntrustedLayout) -> Iterator[Finding]:
    path = layout.path / "oci-layout"
    regular_file(path, limits.OCI_DOCUMENT_BYTES)
    if canonical.decode(path.read_bytes()) != _VERSION:
        yield Finding(Code.CONTENT_MISMATCH, f"expected {_VERSION}", "oci-layout")


def _blobs(layout: UntrustedLayout, sizes: dict[Digest, int]) -> Iterator[Finding]:
    """Checks every blob against its name; fills ``sizes`` with those that exist."""
    for entry in sorted(os.scandir(layout.path / "blobs" / "sha256"), key=lambda e: e.name):
        try:
            digest = Digest.from_hex(entry.name)
        except InputError:
            message = "not the name of a blob"
            yield Finding(Code.CONTENT_EXTRA, message, f"layout {entry.name}")
            continue
        sizes[digest] = entry.stat().st_size
        try:
            matches = Digest.of_chunks(layout.chunks(digest)) == digest
        except InputError as error:
            yield from error.findings
        else:
            if not matches:
                message = f"the blob {digest} does not match its digest"
                yield Finding(Code.CONTENT_MISMATCH, message, "layout")


class _Pointer(msgspec.Struct, frozen=True, rename="camel"):
    """The fields of a descriptor that identify its blob."""

    media_type: str
    digest: Digest
    size: int


class _Pointing(msgspec.Struct, frozen=True):
    """The descriptors of any index or manifest."""

    manifests: tuple[_Pointer, ...] = ()
    layers: tuple[_Pointer, ...] = ()
    config: _Pointer | None = None

    @property
    def pointers(self) -> Iterator[_Pointer]:
        yield from self.manifests
        yield from self.layers
        if self.config:
            yield self.config


def _descriptors(layout: UntrustedLayout, sizes: dict[Digest, int]) -> Iterator[Finding]:
    data = (layout.path / "index.json").read_bytes() if layout.entries() else b""
    waiting = [("index.json", one) for one in _pointers(data)]
    seen: set[_Pointer] = set()
    while waiting:
        where, pointer = waiting.pop()
        if pointer in seen:
            continue
        seen.add(pointer)
        size = sizes.get(pointer.digest)
        if size is None:
            message = f"the layout lacks the blob {pointer.digest}"
            yield Finding(Code.CONTENT_MISSING, message, where)
        elif size != pointer.size:
            message = f"{pointer.digest} has {size} bytes, not {pointer.size}"
            yield Finding(Code.CONTENT_MISMATCH, message, where)
        elif pointer.media_type in (oci.INDEX, oci.MANIFEST):
            inner = _pointers(layout.read(pointer.digest))
            waiting += [(str(pointer.digest), one) for one in inner]


def _pointers(data: bytes) -> list[_Pointer]:
    """The descriptors in a document; none in a malformed one, which its own reader reports."""
    try:
        document: Any = canonical.decode(data)
        return list(typed(document, _Pointing).pointers)
    except InputError:
        return []
