"""A store that is opened when it is first written to; imports little, as the memo asks it."""

from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mpbuild.base.digest import Buffer, Digest

if TYPE_CHECKING:
    from mpbuild.effects.store.store import Store
    from mpbuild.engine.action import Output


class LazyStore:
    """The blobs of a store whose path is not yet known: ``find_path`` gives it when needed."""

    def __init__(self, find_path: Callable[[], Path]) -> None:
        self._find_path = find_path

    @cached_property
    def path(self) -> Path:
        """Where the store is."""
        return self._find_path()

    @cached_property
    def store(self) -> "Store":
        """The store, opened."""
        from mpbuild.effects.store.store import Store

        return Store(self.path)

    def has(self, digest: Digest) -> bool:
        """Whether the blob itself is here."""
        return (self.path / "blobs/sha256" / digest.hex).is_file()

    def put(self, chunks: Iterable[Buffer]) -> "Output":
        """Keeps a stream of bytes."""
        return self.store.put(chunks)
