"""Looking after a store: what it holds, whether it is sound, and making it smaller."""

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

# What else there is can be made again; within a kind the longest unused goes first.
# What leads to another thing goes before it: a memo to results, a result to derivations.
_DISPENSABLE = ("partial", "trees", "facts", "last", "results", "derived")
_NAME = re.compile("[0-9a-f]{64}")


class StoreStats(msgspec.Struct, frozen=True):
    """Counts, and sizes in bytes; ``derived`` counts layers that need no blob."""

    blobs: int
    bytes: int
    derived: int
    trees: int
    tree_bytes: int


class RemovalReport(msgspec.Struct):
    """How many things were removed, by kind, and the bytes they took."""

    counts: dict[str, int] = {}
    bytes: int = 0

    def add(self, kind: str, size: int) -> None:
        """One more."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self.bytes += size


class _Thing(msgspec.Struct, frozen=True):
    kind: str
    path: Path
    size: int
    used: float


def stats(store: Store) -> StoreStats:
    """What the store holds."""
    with disk_errors(store.path):
        blobs = list(_things(store, "blobs/sha256"))
        trees = list(_things(store, "trees"))
        # One action stands under both digests of its layer.
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
    """Remove what killed processes left and, down to ``maximum`` bytes, what can be had again.

    First what is merely kept at hand, then blobs, the longest unused first. What is attached to
    packages stays: a signature can't be had again. Raises EnvironmentFailureError while another
    process uses the store.
    """
    try:
        fcntl.flock(store.presence, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        # A lock that can't be changed is lost (flock(2)).
        fcntl.flock(store.presence, fcntl.LOCK_SH)
        raise EnvironmentFailureError(
            "another process uses the store",
            where=str(store.path),
            hint="try again when no build runs",
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

    Inputs artifacts list files that can be fetched again.
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
            # Contents are dated 1980: when a thing was put here, its inode's own time says.
            yield _Thing(kind.partition("/")[0], path, size, max(seen.st_atime, seen.st_ctime))


def _tree_size(path: Path) -> int:
    return sum(
        os.lstat(f"{folder}/{name}").st_size for folder, _, files in os.walk(path) for name in files
    )


def _remove(store: Store, thing: _Thing, removed: RemovalReport) -> None:
    if thing.path.is_dir() and not thing.path.is_symlink():
        # Out of its place first, so that whoever is killed here leaves no half of a tree.
        with store.scratch() as scratch:
            thing.path.rename(scratch / thing.path.name)
    else:
        thing.path.unlink(missing_ok=True)
    removed.add(thing.kind, thing.size)
