"""Locates a package in the store."""

import contextlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mpbuild.base import canonical, limits
from mpbuild.base.codes import Code
from mpbuild.base.digest import Buffer, Digest
from mpbuild.base.errors import InputError
from mpbuild.effects.store.store import Store
from mpbuild.formats.evidence import bundle, statement
from mpbuild.formats.oci import oci
from mpbuild.package.location import BlobSource, PackageLocation, index_containing
from mpbuild.package.referrers import Referrers, StoreReferrers, bundles

if TYPE_CHECKING:
    from mpbuild.package.derived_layers import LayerDeriver


def in_store(store: Store, digest: Digest) -> PackageLocation:
    """Locates a package, or the package that contains an image, by digest.

    Statements attached to an image name the package that contains it. Raises InputError
    (subject-mismatch) if there is none.
    """
    blobs, referrers = StoreBlobs(store), StoreReferrers(store)
    if not _is_index(blobs, digest):
        candidates = sorted({*_subjects(referrers, digest)} - {digest})
        digest = index_containing(blobs, candidates, digest, str(store.path))
    return PackageLocation(blobs, referrers, digest, list)


class StoreBlobs:
    """The blobs of a package that was built here; layers are derived again when they are read."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @cached_property
    def _derivation(self) -> "LayerDeriver":
        from mpbuild.package.derived_layers import LayerDeriver

        return LayerDeriver(self._store)

    def document(self, digest: Digest) -> bytes:
        """Reads a small blob of the store."""
        path = self._store.blob(digest)
        if not path.is_file():
            raise InputError(
                f"the store lacks the blob {digest}",
                where=str(self._store.path),
                hint="build the target again",
                code=Code.CONTENT_MISSING,
            )
        if path.stat().st_size > limits.OCI_DOCUMENT_BYTES:
            raise InputError(
                f"{digest} is larger than {limits.OCI_DOCUMENT_BYTES} bytes",
                code=Code.CONTENT_MISMATCH,
            )
        return self._store.read(digest)

    def layer(self, layer: oci.Descriptor) -> Iterator[Buffer]:
        """Derives a layer while streaming it."""
        return self._derivation.blob(layer.digest)

    def has(self, digest: Digest) -> bool:
        """Whether the store has the blob, or an action that derives it."""
        return self._store.has(digest) or self._store.derivation(digest) is not None

    def tree(self, layer: oci.Descriptor, diff_id: Digest) -> Path:
        """Derives a layer and unpacks it once."""
        del layer
        self._derivation.tree(diff_id)
        return self._store.tree(diff_id)


def _is_index(blobs: BlobSource, digest: Digest) -> bool:
    document = canonical.decode(blobs.document(digest))
    return isinstance(document, dict) and document.get("mediaType") == oci.INDEX


def _subjects(referrers: Referrers, image: Digest) -> Iterator[Digest]:
    """The subjects of unauthenticated statements about ``image``: candidates to search only."""
    for _, data in bundles(referrers, image):
        if not isinstance(data, InputError):
            with contextlib.suppress(InputError):
                payload = bundle.read(data).envelope.payload
                yield from (subject.digest for subject in statement.read(payload).subject)
