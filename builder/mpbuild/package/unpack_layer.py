"""Unpacks an untrusted layer into a tree."""

import posixpath
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from mpbuild.base.digest import Buffer, Digest, verified
from mpbuild.effects.store.unpacker import Unpacker
from mpbuild.formats.archive import gzip, tar, untar
from mpbuild.formats.archive.tree import check_tree
from mpbuild.formats.archive.unsafe import UnsafeError


def unpack_layer(blob: Callable[[], Iterator[Buffer]], diff_id: Digest, root: Path) -> None:
    """Unpacks a compressed layer into ``root``; each call of ``blob`` streams it, checked.

    Reads the layer three times: its bytes are checked before a parser sees any of them, and all
    entries before one is written. Raises InputError (content-mismatch, layer-unsafe).
    """
    _exhaust(blob())
    _check([entry for entry, _ in untar.read(_plain(blob(), diff_id))])
    _unpack(_plain(blob(), diff_id), root)


def _plain(blob: Iterator[Buffer], diff_id: Digest) -> Iterator[Buffer]:
    yield from verified(gzip.decompress(blob), diff_id)


def _exhaust(chunks: Iterator[Buffer]) -> None:
    """Reads a stream to its end, where it is checked, before a parser sees any of it."""
    for _ in chunks:
        pass


def _check(entries: Sequence[tar.TarEntry]) -> None:
    check_tree(entries, absolute_links=True)
    folders = {""}
    for entry in entries:
        if posixpath.dirname(entry.path) not in folders:
            raise UnsafeError(f"{entry.path} precedes its folder")
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
