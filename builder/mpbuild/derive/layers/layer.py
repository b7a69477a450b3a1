"""A layer is a row of nodes; its blob and its plain tar are two pure streams over them.

Member format 1. The plain stream is an ordinary tar: header, content, padding, and two zero
blocks at the end. The blob is a gzip file of several members (RFC 1952, section 2.2) with the
same content, cut as follows. A *reused* content (a DEFLATEd zip entry) is a member of its own
and keeps the bytes it has in the wheel. A *plain* content (a stored zip entry, weights) is a
member of stored blocks. Everything between these (headers, padding, loose contents, the end)
is *loose*: a member for every 4 MiB begun, compressed by the pinned compressor. But a member of
at most 2 KiB of ASCII, mostly the header between two contents, is coded as ``formats.fixed``
says: to set up a compressor for so little would take longer than all else.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec

from mpbuild.base.digest import Buffer, Digest, Hasher
from mpbuild.formats.archive import gzip, tar
from mpbuild.formats.archive.stream import gathered

MEMBER = 4 << 20
SHORT = 2 << 10


class Content(Protocol):
    """The bytes of one file, and the form they take in a blob."""

    @property
    def size(self) -> int:
        """In bytes, inflated."""

    def inflated(self) -> Iterator[Buffer]:
        """The bytes as they are in the file, checked while they pass."""


class CompressibleContent(msgspec.Struct, frozen=True, gc=False):
    """Bytes that the layer's own codec compresses along with their surroundings."""

    data: Buffer

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.data)

    def inflated(self) -> Iterator[Buffer]:
        """The bytes themselves."""
        yield self.data


class StoredContent(msgspec.Struct, frozen=True, gc=False):
    """Bytes that go into stored blocks: compressing them was not worth it once already."""

    data: Buffer

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.data)

    def inflated(self) -> Iterator[Buffer]:
        """The bytes in slices."""
        view = memoryview(self.data)
        for start in range(0, len(view), MEMBER):
            yield view[start : start + MEMBER]

    def member(self) -> Iterable[Buffer]:
        """Its member of a blob."""
        return gzip.stored(self.data)


class DeflateContent(msgspec.Struct, frozen=True, gc=False):
    """A raw DEFLATE stream as it stands in a wheel."""

    raw: Buffer
    size: int
    crc: int

    def inflated(self) -> Iterator[Buffer]:
        """Inflate and check length, CRC and that the stream ends with its last byte."""
        return gzip.inflate(self.raw, self.size, self.crc)

    def member(self) -> Iterable[Buffer]:
        """Its member of a blob; nothing is checked."""
        return gzip.reuse(self.raw, self.crc, self.size)


class LayerNode(msgspec.Struct, frozen=True, gc=False):
    """One tar entry and, of a file, its content."""

    entry: tar.TarEntry
    content: CompressibleContent | StoredContent | DeflateContent | None = None


class Visitor(Protocol):
    """Sees a layer's files while they pass: to unpack them, or to look into them."""

    def begin(self, node: LayerNode) -> None:
        """The next node; what was begun before is complete."""

    def write(self, data: Buffer, /) -> None:
        """Content of the file begun last."""


class Layer(msgspec.Struct, frozen=True):
    """What deriving a layer establishes."""

    digest: Digest
    size: int
    diff_id: Digest


def blob(nodes: Iterable[LayerNode]) -> Iterator[Buffer]:
    """The compressed stream. It copies a wheel's bytes unread: only ``plain`` checks them."""
    return gathered(_blob(_steps(nodes)))


def plain(nodes: Iterable[LayerNode], visitor: Visitor) -> Iterator[Buffer]:
    """The plain tar, with every content checked; ``visitor`` sees the files as they pass."""
    return gathered(_plain(_steps(nodes), visitor))


def establish(nodes: Iterable[LayerNode], visitor: Visitor) -> Layer:
    """Hash both streams; ``visitor`` sees the files."""
    steps = list(_steps(nodes))
    tar_hasher, blob_hasher = Hasher(), Hasher()
    for chunk in gathered(_plain(steps, visitor)):
        tar_hasher.write(chunk)
    for chunk in gathered(_blob(steps)):
        blob_hasher.write(chunk)
    return Layer(blob_hasher.digest, blob_hasher.size, tar_hasher.digest)


_Step = tuple[bytes, LayerNode | None]


def _steps(nodes: Iterable[LayerNode]) -> Iterator[_Step]:
    """Each node after what stands before its content: padding and its header; then the end."""
    padding = b""
    for node in nodes:
        yield padding + tar.header(node.entry), node
        padding = tar.padding(node.entry.size)
    yield padding + tar.END, None


def _blob(steps: Iterable[_Step]) -> Iterator[Buffer]:
    loose = bytearray()
    for before, node in steps:
        loose += before
        content = node.content if node else None
        if isinstance(content, CompressibleContent):
            loose += content.data
        while len(loose) >= MEMBER:
            yield gzip.compress(loose[:MEMBER])
            del loose[:MEMBER]
        if isinstance(content, StoredContent | DeflateContent):
            if loose:
                yield _loose_member(bytes(loose))
                loose.clear()
            yield from content.member()
    if loose:
        yield _loose_member(bytes(loose))


def _loose_member(data: bytes) -> bytes:
    if len(data) <= SHORT and data.isascii():
        return gzip.compress_header(data)
    return gzip.compress(data)


def _plain(steps: Iterable[_Step], visitor: Visitor) -> Iterator[Buffer]:
    for before, node in steps:
        yield before
        if node is None:
            return
        visitor.begin(node)
        if node.content is not None:
            for chunk in node.content.inflated():
                visitor.write(chunk)
                yield chunk
