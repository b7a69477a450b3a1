"""What is attached to a package: listing it, attaching more, never replacing any.

That is bundles, which say something about it, and its inputs artifact.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mpbuild.base import limits
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.derive import inputs_artifact
from mpbuild.effects.store.store import Store
from mpbuild.formats.evidence import bundle, dsse, statement
from mpbuild.formats.oci import oci, referrer

if TYPE_CHECKING:
    from mpbuild.effects.files.oci_layout import Layout

# One is right; where more than some are listed, somebody wants them all to be read.
_MOST_INPUTS = 8
_MOST_ENTRIES = 1000

Found = tuple[str, bytes | InputError]


class ReferrerSummary(NamedTuple):
    """A manifest that is attached: its type, and the size of it and its blobs in bytes."""

    digest: Digest
    artifact_type: str
    size: int


class Referrers(Protocol):
    """Where the referrers of a package are."""

    def bundles(self, subject: Digest) -> Iterator[Found]:
        """What is attached to ``subject``: where it was found, and the bytes of the bundle.

        In place of bytes that can't be had stands the reason. Nothing here raises.
        """

    def listed(self, subject: Digest) -> Iterator[ReferrerSummary]:
        """Everything that is attached to ``subject``, as far as it can be read."""

    def inputs(self, subject: Digest) -> Iterator[tuple[Digest, bytes]]:
        """The manifests of inputs artifacts about ``subject``; what can't be read is left out."""

    def attach(self, subject: oci.Descriptor, data: bytes, predicate_type: str) -> Digest:
        """Attach a bundle; the digest of the manifest that does it."""


class StoreReferrers:
    """Referrers in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def bundles(self, subject: Digest) -> Iterator[Found]:
        """In the order of the manifests' digests."""
        try:
            digests = self._store.referrers(subject)
        except InputError as error:
            yield "the store's referrers", error
            return
        yield from _bundles(digests, subject, self._read)

    def listed(self, subject: Digest) -> Iterator[ReferrerSummary]:
        """In the order of the manifests' digests."""
        with contextlib.suppress(InputError):
            yield from _listed(self._store.referrers(subject), subject, self._read)

    def inputs(self, subject: Digest) -> Iterator[tuple[Digest, bytes]]:
        """In the order of the manifests' digests."""
        with contextlib.suppress(InputError):
            yield from _inputs(self._store.referrers(subject), subject, self._read)

    def attach(self, subject: oci.Descriptor, data: bytes, predicate_type: str) -> Digest:
        """Blobs first, then the note that makes them referrers."""
        manifest = referrer.encode(referrer.attach(subject, data, predicate_type))
        for blob in (oci.EMPTY, data, manifest):
            self._store.put_bytes(blob)
        digest = Digest.of(manifest)
        self._store.refer(subject.digest, digest)
        return digest

    def _read(self, digest: Digest, most: int) -> bytes:
        _check_size(self._store.blob(digest), most)
        return self._store.read(digest)


class LayoutReferrers:
    """Referrers in a layout: listed under the fallback tag of the distribution specification.

    ORAS keeps no listing: it enters referrers into ``index.json`` itself, so these count too.
    """

    def __init__(self, layout: "Layout") -> None:
        self._layout = layout

    def bundles(self, subject: Digest) -> Iterator[Found]:
        """In the order of the listing."""
        try:
            digests = self._referrers(subject)
        except InputError as error:
            yield "the listing of referrers", error
            return
        yield from _bundles(digests, subject, self._read)

    def listed(self, subject: Digest) -> Iterator[ReferrerSummary]:
        """In the order of the listing."""
        with contextlib.suppress(InputError):
            yield from _listed(self._referrers(subject), subject, self._read)

    def inputs(self, subject: Digest) -> Iterator[tuple[Digest, bytes]]:
        """In the order of the listing."""
        with contextlib.suppress(InputError):
            yield from _inputs(self._referrers(subject), subject, self._read)

    def attach(self, subject: oci.Descriptor, data: bytes, predicate_type: str) -> Digest:
        """Blobs first, then the listing that makes them referrers."""
        attached = referrer.attach(subject, data, predicate_type)
        manifest = referrer.encode(attached)
        for blob in (oci.EMPTY, data, manifest):
            self._layout.add(Digest.of(blob), [blob])
        self.list(attached)
        return Digest.of(manifest)

    def list(self, attached: referrer.Referrer) -> None:
        """Others may list at the same time: the listing is read and written under a lock."""
        subject = attached.subject.digest
        tag = referrer.tag(subject)
        with self._layout.locked():
            before = self._layout.tagged(tag)
            listing = referrer.listing(attached, self._listing(subject))
            self._layout.add(Digest.of(listing), [listing])
            self._layout.point(tag, oci.descriptor(oci.INDEX, listing))
            if before and before.digest != Digest.of(listing):
                self._layout.remove(before.digest)

    def _referrers(self, subject: Digest) -> Sequence[Digest]:
        """Those listed, in their order, then those that are entries themselves."""
        listing = self._listing(subject)
        listed = referrer.read_listing(listing) if listing is not None else ()
        # Each is read to know what it is: of many, somebody wants them all to be.
        entries = {entry.digest: entry for entry in self._layout.entries()[:_MOST_ENTRIES]}
        entered = [digest for digest, entry in entries.items() if self._is(entry, subject)]
        return [*dict.fromkeys([*(entry.digest for entry in listed), *entered])]

    def _is(self, entry: oci.Descriptor, subject: Digest) -> bool:
        """Whether it speaks of ``subject``; other manifests stand there with the same right."""
        if entry.media_type != oci.MANIFEST:
            return False
        try:
            found = referrer.read(self._read(entry.digest, limits.REFERRER_BYTES))
        except InputError:
            return False
        return found.subject.digest == subject

    def _listing(self, subject: Digest) -> bytes | None:
        entry = self._layout.tagged(referrer.tag(subject))
        return self._read(entry.digest, limits.REFERRER_BYTES) if entry else None

    def _read(self, digest: Digest, most: int) -> bytes:
        _check_size(self._layout.blob(digest), most)
        return self._layout.read(digest)


class BlobReader(Protocol):
    """Reads a blob by digest, checked."""

    def __call__(self, digest: Digest, most: int, /) -> bytes:
        """The bytes; raise InputError (bundle-malformed) where they are more than ``most``."""


def copy(source: Referrers, target: Referrers, subject: oci.Descriptor) -> None:
    """Bring the bundles of ``subject`` along; what is no bundle stays where it is."""
    for _, data in source.bundles(subject.digest):
        if not isinstance(data, InputError):
            target.attach(subject, data, _predicate_type(data))


def _predicate_type(data: bytes) -> str:
    """What an annotation may say of a bundle; nobody relies on it."""
    try:
        envelope = bundle.read(data).envelope
        if envelope.payload_type == dsse.IN_TOTO:
            return statement.read(envelope.payload).predicate_type
    except InputError:
        pass
    return ""


def _bundles(digests: Iterable[Digest], subject: Digest, read: BlobReader) -> Iterator[Found]:
    passed_over = 0
    for digest in digests:
        where = f"referrer {digest}"
        try:
            manifest = referrer.read(read(digest, limits.REFERRER_BYTES))
            if manifest.artifact_type == inputs_artifact.ARTIFACT and passed_over < _MOST_INPUTS:
                passed_over += 1
            else:
                yield where, _bundle(manifest, subject, read)
        except InputError as error:
            yield where, error


def _listed(
    digests: Iterable[Digest], subject: Digest, read: BlobReader
) -> Iterator[ReferrerSummary]:
    for digest in digests:
        with contextlib.suppress(InputError):
            data = read(digest, limits.REFERRER_BYTES)
            manifest = referrer.read(data)
            if manifest.subject.digest == subject:
                size = sum(layer.size for layer in manifest.layers)
                yield ReferrerSummary(digest, manifest.artifact_type, len(data) + size)


def _inputs(
    digests: Iterable[Digest], subject: Digest, read: BlobReader
) -> Iterator[tuple[Digest, bytes]]:
    for digest in digests:
        with contextlib.suppress(InputError):
            data = read(digest, limits.REFERRER_BYTES)
            manifest = referrer.read(data)
            if (manifest.artifact_type, manifest.subject.digest) == (
                inputs_artifact.ARTIFACT,
                subject,
            ):
                yield digest, data


def _bundle(manifest: referrer.Referrer, subject: Digest, read: BlobReader) -> bytes:
    if manifest.artifact_type != bundle.MEDIA_TYPE:
        raise InputError(f"it is a {manifest.artifact_type!r:.80}", code=Code.REFERRER_FOREIGN)
    if manifest.subject.digest != subject:
        raise InputError(f"it is about {manifest.subject.digest}", code=Code.REFERRER_FOREIGN)
    data = read(manifest.bundle.digest, limits.BUNDLE_BYTES)
    if len(data) != manifest.bundle.size:
        raise InputError(
            f"its bundle has {len(data)} bytes, not {manifest.bundle.size}",
            code=Code.CONTENT_MISMATCH,
        )
    return data


def _check_size(path: Path, most: int) -> None:
    """What isn't there is for the reader to tell."""
    if path.is_file() and path.stat().st_size > most:
        raise InputError(
            f"{path.name} is larger than {most} bytes, which nothing attached is",
            code=Code.BUNDLE_MALFORMED,
        )
