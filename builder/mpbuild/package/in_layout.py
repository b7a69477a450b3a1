"""Locates a package in an untrusted OCI layout."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mpbuild.base.codes import Code
from mpbuild.base.digest import Buffer, Digest, verified
from mpbuild.base.errors import InputError
from mpbuild.effects.store.store import Store
from mpbuild.formats.oci import oci
from mpbuild.package.layout_integrity import integrity_faults
from mpbuild.package.location import PackageLocation, index_containing
from mpbuild.package.referrers import LayoutReferrers
from mpbuild.package.untrusted_layout import UntrustedLayout


def in_layout(reference: str, store: Store) -> PackageLocation:
    """Locates a package by ``DIR`` or ``DIR@sha256:…``.

    Without a digest the layout must hold one package. The digest of an image selects the package
    that contains it. Raises InputError (subject-mismatch, content-missing) if there is none.
    """
    folder, at, digits = reference.rpartition("@sha256:")
    if not at:
        folder = reference
    layout = UntrustedLayout(Path(folder))
    blobs, referrers = LayoutBlobs(layout, store), LayoutReferrers(layout)
    indexes = [entry.digest for entry in layout.packages() if entry.media_type == oci.INDEX]
    if at:
        digest = index_containing(blobs, indexes, _digest(digits), folder)
    else:
        digest = _only(indexes, folder)
    return PackageLocation(blobs, referrers, digest, lambda: list(integrity_faults(layout)))


class LayoutBlobs:
    """The blobs of a package in an untrusted layout; every byte is checked while it is read."""

    def __init__(self, layout: UntrustedLayout, store: Store) -> None:
        self._layout = layout
        self._store = store

    def document(self, digest: Digest) -> bytes:
        """Reads a small blob of the layout."""
        return self._layout.read(digest)

    def layer(self, layer: oci.Descriptor) -> Iterator[Buffer]:
        """Streams a blob of the layout.

        Checks its size first, since callers derive bounds from it.
        """
        if self._layout.size(layer.digest) != layer.size:
            raise InputError(
                f"{layer.digest} does not have {layer.size} bytes", code=Code.CONTENT_MISMATCH
            )
        return verified(self._layout.chunks(layer.digest), layer.digest, layer.size)

    def has(self, digest: Digest) -> bool:
        """Whether the layout has the blob."""
        return self._layout.blob(digest).is_file()

    def tree(self, layer: oci.Descriptor, diff_id: Digest) -> Path:
        """Unpacks a layer once, after all of it has been read and checked."""
        from mpbuild.package.unpack_layer import unpack_layer

        final = self._store.tree(diff_id)
        if not final.is_dir():
            with self._store.lock(diff_id), self._store.scratch() as scratch:
                if not final.is_dir():
                    unpack_layer(lambda: self.layer(layer), diff_id, scratch / "tree")
                    (scratch / "tree").rename(final)
        return final


def _digest(digits: str) -> Digest:
    try:
        return Digest.from_hex(digits)
    except InputError as error:
        raise InputError(
            error.findings[0].message, hint=error.findings[0].hint, code=Code.USAGE
        ) from error


def _only(indexes: Sequence[Digest], folder: str) -> Digest:
    if not indexes:
        raise InputError("the layout holds no package", where=folder, code=Code.CONTENT_MISSING)
    if len(indexes) > 1:
        raise InputError(
            f"the layout holds {len(indexes)} packages, not one",
            where=folder,
            hint=f"name one as {folder}@sha256:…",
            code=Code.USAGE,
        )
    return indexes[0]
