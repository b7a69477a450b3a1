"""A layer is a row of nodes; its blob and its plain tar are two pure streams over them.

Member format 1. The plain stream is an ordinary tar: header, content, padding, and two zero
blocks at the end. The blob is a gzip file of several members (RFC 1952, section 2.2) with the
same content, cut as follows. A *reused* content (a DEFLATEd zip entry) is a member of its own
and keeps the bytes it has in the wheel. A *plain* content (a stored zip entry, weights) is a
member of stored blocks. Everything between these (headers, padding, loose contents, the end)
is compressed by the pinned codec, a member for every 4 MiB begun.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec

from mpbuild.base.digest import Buffer, Digest, Hasher
from mpbuild.formats import gzip, tar

MEMBER = 4 << 20


class Content(Protocol):
    """The bytes of one file, and the form they take in a blob."""

    @property
    def size(self) -> int:
        """In bytes, inflated."""

    def inflated(self) -> Iterator[Buffer]:
        """The bytes as they are in the file, checked while they pass."""


class Loose(msgspec.Struct, frozen=True):
    """Bytes that the layer's own codec compresses along with their surroundings."""

    data: Buffer

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.data)

    def inflated(self) -> Iterator[Buffer]:
        """The bytes themselves."""
        yield self.data


class Plain(msgspec.Struct, frozen=True):
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


class Reused(msgspec.Struct, frozen=True):
    """A raw DEFLATE stream as it stands in a wheel."""

    raw: Buffer
    size: int
    crc: int

    def inflated(self) -> Iterator[Buffer]:
        """Inflate and check length, CRC and that the stream ends with its last byte."""
        return gzip.inflate(self.raw, self.size, self.crc)


class Node(msgspec.Struct, frozen=True):
    """One tar entry and, of a file, its content."""

    entry: tar.Entry
    content: Loose | Plain | Reused | None = None


class Visitor(Protocol):
    """Sees a layer's files while they pass: to unpack them, or to look into them."""

    def begin(self, node: Node) -> None:
        """The next node; what was begun before is complete."""

    def write(self, data: Buffer, /) -> None:
        """Content of the file begun last."""


class Layer(msgspec.Struct, frozen=True):
    """What deriving a layer establishes."""

    digest: Digest
    size: int
    diff_id: Digest


def blob(nodes: Iterable[Node]) -> Iterator[Buffer]:
    """The compressed stream. It copies a wheel's bytes unread: only ``plain`` checks them."""
    return _blob(map(_headed, nodes))


def plain(nodes: Iterable[Node], visitor: Visitor) -> Iterator[Buffer]:
    """The plain tar, with every content checked; ``visitor`` sees the files as they pass."""
    return _plain(map(_headed, nodes), visitor)


def establish(nodes: Iterable[Node], visitor: Visitor) -> Layer:
    """Hash both streams; ``visitor`` sees the files."""
    headed = list(map(_headed, nodes))
    tar_hasher, blob_hasher = Hasher(), Hasher()
    for chunk in _plain(headed, visitor):
        tar_hasher.write(chunk)
    for chunk in _blob(headed):
        blob_hasher.write(chunk)
    return Layer(blob_hasher.digest, blob_hasher.size, tar_hasher.digest)


_Headed = tuple[Node, bytes]


def _headed(node: Node) -> _Headed:
    """A node with its tar header, which both streams need and which is slow to make."""
    return node, tar.header(node.entry)


def _blob(nodes: Iterable[_Headed]) -> Iterator[Buffer]:
    loose = _Loose()
    for node, header in nodes:
        content = node.content
        yield from loose.add(header)
        if isinstance(content, Loose):
            yield from loose.add(content.data)
        elif isinstance(content, Reused):
            yield from loose.flush()
            yield from gzip.reuse(content.raw, content.crc, content.size)
        elif content is not None:
            yield from loose.flush()
            yield from gzip.stored(content.data)
        if content is not None:
            yield from loose.add(tar.padding(node.entry.size))
    yield from loose.add(tar.END)
    yield from loose.flush()


def _plain(nodes: Iterable[_Headed], visitor: Visitor) -> Iterator[Buffer]:
    for node, header in nodes:
        yield header
        visitor.begin(node)
        if node.content is not None:
            for chunk in node.content.inflated():
                visitor.write(chunk)
                yield chunk
            if node.entry.size % tar.BLOCK:
                yield tar.padding(node.entry.size)
    yield tar.END


class _Loose:
    """Gathers loose bytes and gives them back as members of 4 MiB."""

    def __init__(self) -> None:
        self._held = bytearray()

    def add(self, data: Buffer) -> Iterator[bytes]:
        self._held += data
        while len(self._held) >= MEMBER:
            yield gzip.compress(bytes(self._held[:MEMBER]))
            del self._held[:MEMBER]

    def flush(self) -> Iterator[bytes]:
        if self._held:
            yield gzip.compress(bytes(self._held))
            self._held.clear()
