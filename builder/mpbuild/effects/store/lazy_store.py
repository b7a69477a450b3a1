"""A store that is opened on the first write; imports little, because the memo uses it."""

from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mpbuild.base.digest import Buffer, Digest

if TYPE_CHECKING:
    from mpbuild.effects.store.store import Store
    from mpbuild.engine.action import Output


class LazyStore:
    """The blobs of a store whose path ``find_path`` finds on first use."""

    def __init__(self, find_path: Callable[[], Path]) -> None:
        self._find_path = find_path

    @cached_property
    def path(self) -> Path:
        """The path of the store."""
        return self._find_path()

    @cached_property
    def store(self) -> "Store":
        """The store, opened."""
        from mpbuild.effects.store.store import Store

        return Store(self.path)

    def has(self, digest: Digest) -> bool:
        """Whether the store has the blob itself."""
        return (self.path / "blobs/sha256" / digest.hex).is_file()

    def put(self, chunks: Iterable[Buffer]) -> "Output":
        """Stores a stream of bytes."""
        return self.store.put(chunks)
