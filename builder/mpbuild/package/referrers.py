"""Lists, reads and attaches the referrers of a package: bundles and inputs artifacts.

OCI distribution specification 1.1, "Listing Referrers". Attaching adds and never replaces.
"""

import contextlib
from collections.abc import Iterator, Sequence
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
from mpbuild.verify.choose import AttachedBundle

if TYPE_CHECKING:
    from mpbuild.effects.files.oci_layout import Layout


class ReferrerSummary(NamedTuple):
    """A referrer: its digest, its artifact type, and the size of it and its blobs in bytes."""

    digest: Digest
    artifact_type: str
    size: int


class Referrers(Protocol):
    """The referrers at one place: a store, a layout, later a registry."""

    listing: str
    """How findings name the listing."""

    def digests(self, subject: Digest) -> Sequence[Digest]:
        """Lists the manifests that refer to ``subject``; raises InputError if it can't."""

    def read(self, digest: Digest, limit: int, /) -> bytes:
        """Reads a blob; raises InputError (bundle-malformed) beyond ``limit`` bytes."""

    def attach(self, subject: oci.Descriptor, data: bytes, predicate_type: str) -> Digest:
        """Attaches a bundle and returns the digest of the referrer's manifest."""


class StoreReferrers:
    """Referrers in the store, listed in the order of their digests."""

    listing = "the store's referrers"

    def __init__(self, store: Store) -> None:
        self._store = store

    def digests(self, subject: Digest) -> Sequence[Digest]:
        """Lists the manifests that refer to ``subject``."""
        return self._store.referrers(subject)

    def read(self, digest: Digest, limit: int) -> bytes:
        """Reads a blob of the store."""
        _check_size(self._store.blob(digest), limit)
        return self._store.read(digest)

    def attach(self, subject: oci.Descriptor, data: bytes, predicate_type: str) -> Digest:
        """Writes the blobs first, then the note that makes the manifest a referrer."""
        manifest = referrer.encode(referrer.attach(subject, data, predicate_type))
        for blob in (oci.EMPTY, data, manifest):
            self._store.put_bytes(blob)
        digest = Digest.of(manifest)
        self._store.refer(subject.digest, digest)
        return digest


class LayoutReferrers:
    """Referrers in a layout, listed under the fallback tag ("Referrers Tag Schema").

    ORAS writes no listing but enters referrers into ``index.json``; these count as well.
    """

    listing = "the listing of referrers"

    def __init__(self, layout: "Layout") -> None:
        self._layout = layout

    def digests(self, subject: Digest) -> Sequence[Digest]:
        """Lists the entries of the listing, then referrers that are entries of ``index.json``."""
        listing = self._listing(subject)
        listed = referrer.read_listing(listing) if listing is not None else ()
        # Each entry must be read to learn its subject, so their number is bounded.
        entries = self._layout.entries()[: limits.LAYOUT_REFERRERS]
        entered = [
            digest
            for digest, entry in {entry.digest: entry for entry in entries}.items()
            if self._refers(entry, subject)
        ]
        return [*dict.fromkeys([*(entry.digest for entry in listed), *entered])]

    def read(self, digest: Digest, limit: int) -> bytes:
        """Reads a blob of the layout."""
        _check_size(self._layout.blob(digest), limit)
        return self._layout.read(digest)

    def attach(self, subject: oci.Descriptor, data: bytes, predicate_type: str) -> Digest:
        """Writes the blobs first, then the listing that makes the manifest a referrer."""
        attached = referrer.attach(subject, data, predicate_type)
        manifest = referrer.encode(attached)
        for blob in (oci.EMPTY, data, manifest):
            self._layout.add(Digest.of(blob), [blob])
        self.list(attached)
        return Digest.of(manifest)

    def list(self, attached: referrer.Referrer) -> None:
        """Adds a referrer to the listing, under a lock that other processes honour."""
        subject = attached.subject.digest
        tag = referrer.tag(subject)
        with self._layout.locked():
            before = self._layout.tagged(tag)
            listing = referrer.listing(attached, self._listing(subject))
            self._layout.add(Digest.of(listing), [listing])
            self._layout.point(tag, oci.descriptor(oci.INDEX, listing))
            if before and before.digest != Digest.of(listing):
                self._layout.remove(before.digest)

    def _refers(self, entry: oci.Descriptor, subject: Digest) -> bool:
        """Whether an entry of ``index.json`` is a referrer of ``subject``."""
        if entry.media_type != oci.MANIFEST:
            return False
        try:
            manifest = referrer.read(self.read(entry.digest, limits.REFERRER_BYTES))
        except InputError:
            return False
        return manifest.subject.digest == subject

    def _listing(self, subject: Digest) -> bytes | None:
        entry = self._layout.tagged(referrer.tag(subject))
        return self.read(entry.digest, limits.REFERRER_BYTES) if entry else None


def bundles(referrers: Referrers, subject: Digest) -> Iterator[AttachedBundle]:
    """Yields the bundles attached to ``subject``, and an error for each that can't be read.

    Passes over the inputs artifact. Does not raise.
    """
    try:
        digests = referrers.digests(subject)
    except InputError as error:
        yield AttachedBundle(referrers.listing, error)
        return
    passed_over = 0
    for digest in digests:
        where = f"referrer {digest}"
        try:
            manifest = referrer.read(referrers.read(digest, limits.REFERRER_BYTES))
            if (
                manifest.artifact_type == inputs_artifact.ARTIFACT
                and passed_over < limits.INPUTS_ARTIFACTS
            ):
                passed_over += 1
            else:
                yield AttachedBundle(where, _bundle(referrers, manifest, subject))
        except InputError as error:
            yield AttachedBundle(where, error)


def summaries(referrers: Referrers, subject: Digest) -> Iterator[ReferrerSummary]:
    """Yields a summary of each referrer of ``subject`` that can be read."""
    for digest, data, manifest in _manifests(referrers, subject):
        size = sum(layer.size for layer in manifest.layers)
        yield ReferrerSummary(digest, manifest.artifact_type, len(data) + size)


def inputs_artifacts(referrers: Referrers, subject: Digest) -> Iterator[tuple[Digest, bytes]]:
    """Yields the manifests of inputs artifacts of ``subject`` that can be read."""
    for digest, data, manifest in _manifests(referrers, subject):
        if manifest.artifact_type == inputs_artifact.ARTIFACT:
            yield digest, data


def copy_bundles(source: Referrers, target: Referrers, subject: oci.Descriptor) -> None:
    """Copies the bundles attached to ``subject``; other referrers stay behind."""
    for _, data in bundles(source, subject.digest):
        if not isinstance(data, InputError):
            target.attach(subject, data, _predicate_type(data))


def _manifests(
    referrers: Referrers, subject: Digest
) -> Iterator[tuple[Digest, bytes, referrer.Referrer]]:
    """The readable manifests that refer to ``subject``, as bytes and as data."""
    with contextlib.suppress(InputError):
        for digest in referrers.digests(subject):
            with contextlib.suppress(InputError):
                data = referrers.read(digest, limits.REFERRER_BYTES)
                manifest = referrer.read(data)
                if manifest.subject.digest == subject:
                    yield digest, data, manifest


def _bundle(referrers: Referrers, manifest: referrer.Referrer, subject: Digest) -> bytes:
    if manifest.artifact_type != bundle.MEDIA_TYPE:
        raise InputError(
            f"its artifact type is {manifest.artifact_type!r:.80}, not that of a bundle",
            code=Code.REFERRER_FOREIGN,
        )
    if manifest.subject.digest != subject:
        raise InputError(f"its subject is {manifest.subject.digest}", code=Code.REFERRER_FOREIGN)
    data = referrers.read(manifest.bundle.digest, limits.BUNDLE_BYTES)
    if len(data) != manifest.bundle.size:
        raise InputError(
            f"its bundle has {len(data)} bytes, not {manifest.bundle.size}",
            code=Code.CONTENT_MISMATCH,
        )
    return data


def _predicate_type(data: bytes) -> str:
    """The predicate type for the informative annotation of a referrer."""
    try:
        envelope = bundle.read(data).envelope
        if envelope.payload_type == dsse.IN_TOTO:
            return statement.read(envelope.payload).predicate_type
    except InputError:
        pass
    return ""


def _check_size(path: Path, limit: int) -> None:
    """Refuses a large blob unread; a missing one is left to the reader."""
    if path.is_file() and path.stat().st_size > limit:
        raise InputError(f"{path.name} is larger than {limit} bytes", code=Code.BUNDLE_MALFORMED)
