"""Where a package is: its blobs, its referrers, and how to check the place itself."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from mpbuild.base.codes import Code
from mpbuild.base.digest import Buffer, Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.formats.oci import oci
from mpbuild.package.referrers import Referrers


class BlobSource(Protocol):
    """Reads the blobs of a package; untrusted bytes are checked before they are used."""

    def document(self, digest: Digest) -> bytes:
        """Reads a small blob, checked against its digest."""

    def layer(self, layer: oci.Descriptor) -> Iterator[Buffer]:
        """Streams a blob; checks its digest and size at the end."""

    def has(self, digest: Digest) -> bool:
        """Whether the blob exists or can be derived."""

    def tree(self, layer: oci.Descriptor, diff_id: Digest) -> Path:
        """Unpacks a layer in the store, checked against both of its digests."""


class PackageLocation(msgspec.Struct, frozen=True):
    """A place that holds a package, of which nothing has been read yet.

    ``integrity`` checks the place itself, such as blobs that do not match their names.
    """

    blobs: BlobSource
    referrers: Referrers
    digest: Digest
    integrity: Callable[[], list[Finding]]


def index_containing(
    blobs: BlobSource, indexes: Sequence[Digest], wanted: Digest, where: str
) -> Digest:
    """Returns ``wanted`` if it is one of ``indexes``, else the first that contains it.

    Raises InputError (subject-mismatch) if none does.
    """
    if wanted in indexes:
        return wanted
    for digest in indexes:
        try:
            children = oci.read_index(blobs.document(digest)).manifests
        except InputError:
            continue  # A broken document must not hide a good one.
        if wanted in [child.digest for child in children]:
            return digest
    raise InputError(
        f"{wanted} is neither a package nor part of one", where=where, code=Code.SUBJECT_MISMATCH
    )
