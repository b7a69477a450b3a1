"""Documents of a workspace: specs and locks, which are small and read whole.

Imports little: finding the store and the targets of a command starts here.
"""

import os
import stat
from pathlib import Path
from typing import Protocol

from mpbuild.base.errors import InputError
from mpbuild.base.limits import WORKSPACE_DOCUMENT_BYTES
from mpbuild.effects.workspace.sources import (
    FileStat,
    chunks,
    open_unblocked,
    refuse_change,
)


class DocumentReader(Protocol):
    """Reads the documents of one folder."""

    def document(self, path: str) -> bytes:
        """The bytes of the file at ``path``, relative to the folder.

        Raises InputError; its cause is a FileNotFoundError where there is no such file.
        """


class FreshDocuments:
    """Reads a document again each time, for commands that also write documents."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def document(self, path: str) -> bytes:
        """The bytes of the file at ``path`` now."""
        return read_document(self._root, path)[0]


def read_document(
    root: Path, path: str, *, most: int = WORKSPACE_DOCUMENT_BYTES
) -> tuple[bytes, FileStat]:
    """Reads a document of at most ``most`` bytes, and stats it by the same descriptor."""
    with open_unblocked(root / path, path) as file:
        found = os.fstat(file.fileno())
        if stat.S_ISFIFO(found.st_mode):
            raise InputError("can't be read: it is a pipe", where=path)
        before = FileStat.of(found)
        data = bytearray()
        for chunk in chunks(file, path):
            data += chunk
            if len(data) > most:
                raise InputError(f"can't be read: it is larger than {most} bytes", where=path)
        refuse_change(file, before, path)
    return bytes(data), before
