"""Reads an untrusted OCI layout: every file is checked before it is opened or believed."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from mpbuild.base import limits
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.effects.files.oci_layout import Layout
from mpbuild.formats.oci import oci


class UntrustedLayout(Layout):
    """A layout whose files may be anything: pipes, devices, links, endless documents."""

    def read(self, digest: Digest, size: int | None = None) -> bytes:
        """Reads a document, checked; refuses one that is too large without reading it."""
        regular_file(self.blob(digest), limits.OCI_DOCUMENT_BYTES)
        return super().read(digest, size)

    def chunks(self, digest: Digest) -> Iterator[bytes]:
        """Streams a blob, unchecked."""
        regular_file(self.blob(digest))
        yield from super().chunks(digest)

    def size(self, digest: Digest) -> int:
        """Returns the size of a blob in bytes."""
        return regular_file(self.blob(digest)).st_size

    def entries(self) -> tuple[oci.Descriptor, ...]:
        """Returns all entries of ``index.json``."""
        regular_file(self.path / "index.json", limits.OCI_DOCUMENT_BYTES)
        return super().entries()


def regular_file(path: Path, limit: int | None = None) -> os.stat_result:
    """Refuses a file that is not regular, or has more than ``limit`` bytes, before it is opened."""
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(
            f"the layout lacks {path.name}", where=str(path), code=Code.CONTENT_MISSING
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise InputError("not a regular file", where=str(path), code=Code.CONTENT_MISMATCH)
    if limit is not None and status.st_size > limit:
        raise InputError(
            f"the document has {status.st_size} bytes; at most {limit} are allowed",
            where=str(path),
            code=Code.CONTENT_MISMATCH,
        )
    return status
