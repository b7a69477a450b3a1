"""Maintains a store: counts its content, removes corrupt blobs, collects garbage."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, InputError
from mpbuild.effects.files.disk import disk_errors
from mpbuild.effects.store.corruption import is_intact
from mpbuild.effects.store.store import Store
from mpbuild.formats.evidence import bundle
from mpbuild.formats.oci import referrer

# Everything here can be made again. A kind that refers to another is removed before it: memos
# refer to results, results to derivations. Within a kind, the longest unused is removed first.
_DISPENSABLE = ("partial", "trees", "facts", "last", "results", "derived")
_NAME = re.compile("[0-9a-f]{64}")


class StoreStats(msgspec.Struct, frozen=True):
    """Counts and sizes in bytes; ``derived`` counts the layers that can be derived."""

    blobs: int
    bytes: int
    derived: int
    trees: int
    tree_bytes: int


class RemovalReport(msgspec.Struct):
    """The number of removed things by kind, and their size in bytes."""

    counts: dict[str, int] = {}
    bytes: int = 0

    def add(self, kind: str, size: int) -> None:
        """Counts one more."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.bytes += size


class _Thing(msgspec.Struct, frozen=True):
    kind: str
    path: Path
    size: int
    used: float


def stats(store: Store) -> StoreStats:
    """Counts the content of the store."""
    with disk_errors(store.path):
        blobs = list(_things(store, "blobs/sha256"))
        trees = list(_things(store, "trees"))
        # Each action is stored under both digests of its layer.
        actions = {Digest.of(thing.path.read_bytes()) for thing in _things(store, "derived")}
    return StoreStats(
        blobs=len(blobs),
        bytes=sum(thing.size for thing in blobs),
        derived=len(actions),
        trees=len(trees),
        tree_bytes=sum(thing.size for thing in trees),
    )


def verify(store: Store) -> list[Digest]:
    """Hashes every blob; removes corrupt ones and returns their digests."""
    removed = []
    with disk_errors(store.path):
        for thing in _things(store, "blobs/sha256"):
            if _NAME.fullmatch(thing.path.name):
                digest = Digest.from_hex(thing.path.name)
                with suppress(FileNotFoundError):
                    if not is_intact(thing.path, digest):
                        thing.path.unlink(missing_ok=True)
                        removed.append(digest)
    return removed


def collect(store: Store, maximum: int | None) -> RemovalReport:
    """Removes leftovers of killed processes and, down to ``maximum`` bytes, replaceable content.

    Removes caches first, then blobs, the longest unused first. Keeps everything that is attached to
    packages, because a signature cannot be made again. Raises EnvironmentFailureError
    (store-in-use) while another process uses the store.
    """
    try:
        fcntl.flock(store.presence, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        # A failed conversion loses the lock (flock(2)).
        fcntl.flock(store.presence, fcntl.LOCK_SH)
        raise EnvironmentFailureError(
            "another process uses the store",
            where=str(store.path),
            hint="try again when no other mpbuild runs",
            code=Code.STORE_IN_USE,
        ) from error
    try:
        with disk_errors(store.path):
            return _collect(store, maximum)
    finally:
        fcntl.flock(store.presence, fcntl.LOCK_SH)


def _collect(store: Store, maximum: int | None) -> RemovalReport:
    removed = RemovalReport()
    for thing in _things(store, "scratch"):
        _remove(store, thing, removed)
    if maximum is None:
        return removed
    attached = _attached(store)
    blobs = [thing for thing in _things(store, "blobs/sha256") if thing.path.name not in attached]
    kinds = [*(list(_things(store, kind)) for kind in _DISPENSABLE), blobs]
    total = sum(thing.size for things in kinds for thing in things)
    for things in kinds:
        for thing in sorted(things, key=lambda thing: thing.used):
            if total <= maximum:
                return removed
            _remove(store, thing, removed)
            total -= thing.size
    return removed


def _attached(store: Store) -> set[str]:
    """The hexadecimal digests of referrers and of the statements that they attach.

    Leaves out the files of inputs artifacts, which can be fetched again.
    """
    found: set[str] = set()
    for folder in (store.path / "referrers").iterdir():
        for digest in store.referrers(Digest.from_hex(folder.name)):
            with suppress(InputError):
                manifest = referrer.read(store.read(digest))
                found |= {digest.hex, manifest.config.digest.hex}
                if manifest.artifact_type == bundle.MEDIA_TYPE:
                    found |= {layer.digest.hex for layer in manifest.layers}
    return found


def _things(store: Store, kind: str) -> Iterator[_Thing]:
    with os.scandir(store.path / kind) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            path = Path(entry.path)
            try:
                seen = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            size = _tree_size(path) if entry.is_dir(follow_symlinks=False) else seen.st_size
            # Contents are dated 1980; the inode's own time is when the thing was stored.
            yield _Thing(kind.partition("/")[0], path, size, max(seen.st_atime, seen.st_ctime))


def _tree_size(path: Path) -> int:
    return sum(
        os.lstat(f"{folder}/{name}").st_size for folder, _, files in os.walk(path) for name in files
    )


def _remove(store: Store, thing: _Thing, removed: RemovalReport) -> None:
    if thing.path.is_dir() and not thing.path.is_symlink():
        # Moved away first, so that a killed process leaves no partial tree.
        with store.scratch() as scratch:
            thing.path.rename(scratch / thing.path.name)
    else:
        thing.path.unlink(missing_ok=True)
    removed.add(thing.kind, thing.size)
