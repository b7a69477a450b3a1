"""Bundles beside a package: listing what is attached, attaching more, never replacing any."""

from collections.abc import Iterator
from typing import Protocol

from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.effects.layout import Layout
from mpbuild.effects.store import Store
from mpbuild.formats import bundle, oci, referrer


class Attachments(Protocol):
    """Where the referrers of a package are."""

    def bundles(self, subject: Digest) -> Iterator[tuple[str, bytes | InputError]]:
        """What is attached to ``subject`` as a bundle: where it was found, and its bytes.

        In place of bytes that can't be had stands the reason.
        """

    def attach(self, subject: oci.Descriptor, data: bytes, predicate_type: str) -> Digest:
        """Attach a bundle; the digest of the manifest that does it."""


class InStore:
    """Referrers in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def bundles(self, subject: Digest) -> Iterator[tuple[str, bytes | InputError]]:
        """In the order of the manifests' digests."""
        for digest in self._store.referrers(subject):
            yield from _bundle(digest, subject, self._store.read)

    def attach(self, subject: oci.Descriptor, data: bytes, predicate_type: str) -> Digest:
        """Blobs first, then the note that makes them referrers."""
        manifest = referrer.encode(referrer.attach(subject, data, predicate_type))
        for blob in (referrer.EMPTY, data, manifest):
            self._store.put_bytes(blob)
        digest = Digest.of(manifest)
        self._store.refer(subject.digest, digest)
        return digest


class InLayout:
    """Referrers in a layout, listed under the fallback tag of the distribution specification."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def bundles(self, subject: Digest) -> Iterator[tuple[str, bytes | InputError]]:
        """In the order of the listing."""
        try:
            listed = self._listed(subject)
        except InputError as error:
            yield "the listing of referrers", error
            return
        for digest in listed:
            yield from _bundle(digest, subject, self._layout.read)

    def attach(self, subject: oci.Descriptor, data: bytes, predicate_type: str) -> Digest:
        """Others may attach at the same time: the listing is read and written under a lock."""
        manifest = referrer.encode(referrer.attach(subject, data, predicate_type))
        for blob in (referrer.EMPTY, data, manifest):
            self._layout.add(Digest.of(blob), [blob])
        digest = Digest.of(manifest)
        with self._layout.locked():
            listed = {*self._listed(subject.digest), digest}
            documents = {one: self._layout.read(one) for one in listed}
            listing = referrer.listing(
                {one: referrer.read(document) for one, document in documents.items()},
                {one: len(document) for one, document in documents.items()},
            )
            self._layout.add(Digest.of(listing), [listing])
            self._layout.point(referrer.tag(subject.digest), oci.descriptor(oci.INDEX, listing))
        return digest

    def _listed(self, subject: Digest) -> list[Digest]:
        entry = self._layout.tagged(referrer.tag(subject))
        return referrer.read_listing(self._layout.read(entry.digest)) if entry else []


def copy(source: Attachments, target: Attachments, subject: oci.Descriptor) -> None:
    """Bring the bundles of ``subject`` along."""
    from mpbuild.formats import dsse, statement

    for _, data in source.bundles(subject.digest):
        if isinstance(data, InputError):
            raise data
        envelope = bundle.read(data).envelope
        kind = ""
        if envelope.payload_type == dsse.IN_TOTO:
            kind = statement.read(envelope.payload).predicate_type
        target.attach(subject, data, kind)


def _bundle(
    digest: Digest, subject: Digest, read: "Reader"
) -> Iterator[tuple[str, bytes | InputError]]:
    where = f"referrer {digest}"
    try:
        manifest = referrer.read(read(digest))
        if manifest.artifact_type != bundle.MEDIA_TYPE or manifest.subject.digest != subject:
            return
        for layer in manifest.layers:
            yield where, read(layer.digest)
    except InputError as error:
        yield where, error


class Reader(Protocol):
    """Reads a blob by digest, checked."""

    def __call__(self, digest: Digest, /) -> bytes:
        """The bytes."""
