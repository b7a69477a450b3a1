"""A layer as a sequence of nodes, from which its blob and its plain tar are streamed.

Member format 1. The plain stream is an ordinary tar: header, content, padding, and two zero blocks
at the end. The blob is a gzip file of several members (RFC 1952, section 2.2) with the same
content. A DEFLATEd zip entry is a member of its own, with the bytes that it has in the wheel.
Stored content (a stored zip entry, weights) is a member of stored blocks. Everything else (headers,
padding, compressible contents, the end) is *loose*: the pinned compressor makes a member of every
4 MiB. A loose member of at most 2 KiB of ASCII, usually the header between two contents, is coded
by ``formats.archive.fixed_deflate`` instead, because setting up a compressor would take longer.
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
    """The bytes of a file, and their form in a blob."""

    @property
    def size(self) -> int:
        """In bytes, inflated."""

    def inflated(self) -> Iterator[Buffer]:
        """Yields the bytes of the file, and checks them."""


class CompressibleContent(msgspec.Struct, frozen=True, gc=False):
    """Bytes that the layer's codec compresses together with their surroundings."""

    data: Buffer

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.data)

    def inflated(self) -> Iterator[Buffer]:
        """The bytes themselves."""
        yield self.data


class StoredContent(msgspec.Struct, frozen=True, gc=False):
    """Bytes that go into stored blocks, because they are known to compress badly."""

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
        """Yields its member of a blob."""
        return gzip.stored(self.data)


class DeflateContent(msgspec.Struct, frozen=True, gc=False):
    """A raw DEFLATE stream, as in a wheel."""

    raw: Buffer
    size: int
    crc: int

    def inflated(self) -> Iterator[Buffer]:
        """Yields the inflated bytes; checks length, CRC and the end of the stream."""
        return gzip.inflate(self.raw, self.size, self.crc)

    def member(self) -> Iterable[Buffer]:
        """Yields its member of a blob, without checks."""
        return gzip.reuse(self.raw, self.crc, self.size)


class LayerNode(msgspec.Struct, frozen=True, gc=False):
    """A tar entry, and the content of a file."""

    entry: tar.TarEntry
    content: CompressibleContent | StoredContent | DeflateContent | None = None


class Visitor(Protocol):
    """Receives the files of a layer while they pass, to unpack or to scan them."""

    def begin(self, node: LayerNode) -> None:
        """Starts the next node; the previous one is complete."""

    def write(self, data: Buffer, /) -> None:
        """Takes content of the current file."""


class Layer(msgspec.Struct, frozen=True):
    """A derived layer: digest and size of its blob, digest of its plain tar."""

    digest: Digest
    size: int
    diff_id: Digest


def blob(nodes: Iterable[LayerNode]) -> Iterator[Buffer]:
    """Yields the compressed stream; copies a wheel's bytes unchecked, unlike ``plain``."""
    return gathered(_blob(_steps(nodes)))


def plain(nodes: Iterable[LayerNode], visitor: Visitor) -> Iterator[Buffer]:
    """Yields the plain tar and checks every content; ``visitor`` receives the files."""
    return gathered(_plain(_steps(nodes), visitor))


def establish(nodes: Iterable[LayerNode], visitor: Visitor) -> Layer:
    """Hashes both streams; ``visitor`` receives the files."""
    steps = list(_steps(nodes))
    tar_hasher, blob_hasher = Hasher(), Hasher()
    for chunk in gathered(_plain(steps, visitor)):
        tar_hasher.write(chunk)
    for chunk in gathered(_blob(steps)):
        blob_hasher.write(chunk)
    return Layer(blob_hasher.digest, blob_hasher.size, tar_hasher.digest)


_Step = tuple[bytes, LayerNode | None]


def _steps(nodes: Iterable[LayerNode]) -> Iterator[_Step]:
    """Yields each node with the bytes before its content, padding and header; then the end."""
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
