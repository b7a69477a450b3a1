"""REF: a package or an image, wherever it lies, read and checked the same way."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from mpbuild.base import canonical, limits
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
from mpbuild.base.digest import Buffer, Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.effects.store.store import Store
from mpbuild.formats.evidence import bundle, statement
from mpbuild.formats.oci import oci
from mpbuild.formats.oci.annotations import ACCELERATOR, KIND, TITLE
from mpbuild.package import referrers

if TYPE_CHECKING:
    from mpbuild.package.derived_layers import LayerDeriver

KINDS = ("image", "pex", "model")
MOST_CHILDREN = 64
MOST_LAYERS = 127
"""What overlay filesystems stack, and container engines run."""


class BlobSource(Protocol):
    """Where a package's blobs are."""

    def document(self, digest: Digest) -> bytes:
        """A small blob, checked against its digest."""

    def layer(self, layer: oci.Descriptor) -> Iterator[Buffer]:
        """A layer's blob; whoever reads it to its end has it checked."""

    def has(self, digest: Digest) -> bool:
        """Whether a blob is there, or can be derived there."""

    def tree(self, layer: oci.Descriptor, diff_id: Digest) -> Path:
        """A layer, unpacked in the store and checked against both of its digests."""


class Image(msgspec.Struct, frozen=True):
    """One image of a package."""

    descriptor: oci.Descriptor
    manifest: oci.Manifest
    config: oci.ImageConfig

    @property
    def accelerator(self) -> str:
        """What it runs on."""
        return (self.descriptor.annotations or {}).get(ACCELERATOR, "")


class PackageArtifact(msgspec.Struct, frozen=True):
    """A child of a package that is no image: a PEX or the model artifact."""

    descriptor: oci.Descriptor
    manifest: oci.ArtifactManifest

    @property
    def accelerator(self) -> str:
        """What it runs on; empty where that doesn't matter."""
        return (self.descriptor.annotations or {}).get(ACCELERATOR, "")


class Package:
    """An index and its children, read from a place."""

    def __init__(self, place: BlobSource, digest: Digest) -> None:
        self.place = place
        self.digest = digest
        self.index_bytes = place.document(digest)
        self.index = oci.read_index(self.index_bytes)

    @property
    def descriptor(self) -> oci.Descriptor:
        """How others refer to the package."""
        return oci.descriptor(oci.INDEX, self.index_bytes)

    @property
    def name(self) -> str:
        """The name it was released under."""
        return self.index.annotations.get(TITLE, "")

    @property
    def version(self) -> str:
        """The version it was released as."""
        return self.index.annotations.get("org.opencontainers.image.version", "")

    def children(self, kind: str) -> Iterator[oci.Descriptor]:
        """The children of one of ``KINDS``; InputError (content-extra) where there are others."""
        manifests = self.index.manifests
        if len(manifests) > MOST_CHILDREN:
            raise InputError(f"the package has {len(manifests)} parts", code=Code.CONTENT_EXTRA)
        for descriptor in manifests:
            found = (descriptor.annotations or {}).get(KIND, "")
            if found not in KINDS:
                raise InputError(
                    f"{descriptor.digest} is of no kind that a package holds: {found!r:.80}",
                    code=Code.CONTENT_EXTRA,
                )
            if found == kind:
                yield descriptor

    def images(self) -> Iterator[Image]:
        """The images, cpu first."""
        for descriptor in self.children("image"):
            manifest = oci.read_manifest(self.sized(descriptor, oci.MANIFEST))
            config = oci.read_config(self.sized(manifest.config, oci.CONFIG))
            if len(manifest.layers) > MOST_LAYERS:
                raise InputError(
                    f"{descriptor.digest} has {len(manifest.layers)} layers",
                    code=Code.CONTENT_EXTRA,
                )
            for layer in manifest.layers:
                _check_media_type(layer, oci.LAYER_GZIP)
            if len(config.rootfs.diff_ids) != len(manifest.layers):
                raise InputError(
                    f"{descriptor.digest} has other layers than its configuration says",
                    code=Code.CONTENT_MISMATCH,
                )
            yield Image(descriptor, manifest, config)

    def artifacts(self, kind: str) -> Iterator[PackageArtifact]:
        """The children of a kind that are no images."""
        for descriptor in self.children(kind):
            data = self.sized(descriptor, oci.MANIFEST)
            yield PackageArtifact(descriptor, oci.read_artifact(data))

    def artifact(self, kind: str, accelerator: Accelerator | None = None) -> PackageArtifact:
        """The one for ``accelerator``, else the first."""
        found = list(self.artifacts(kind))
        wanted = [one for one in found if accelerator in (None, one.accelerator)]
        if not wanted:
            raise InputError(
                f"the package has no {kind}" + (f" for {accelerator}" if accelerator else ""),
                code=Code.CONTENT_MISSING,
            )
        return wanted[0]

    def image(self, accelerator: Accelerator | None) -> Image:
        """The image for ``accelerator``, else the first."""
        images = list(self.images())
        wanted = [i for i in images if accelerator in (None, i.accelerator)]
        if not wanted:
            raise InputError(
                f"the package has no image for {accelerator}",
                hint=f"it has {', '.join(image.accelerator for image in images)}",
            )
        return wanted[0]

    def trees(self, image: Image) -> tuple[Path, ...]:
        """The image's layers as folders, lowest first."""
        pairs = zip(image.manifest.layers, image.config.rootfs.diff_ids, strict=True)
        return tuple(self.place.tree(layer, diff_id) for layer, diff_id in pairs)

    def sized(self, descriptor: oci.Descriptor, media_type: str) -> bytes:
        """A small blob, checked against all that its descriptor says."""
        _check_media_type(descriptor, media_type)
        data = self.place.document(descriptor.digest)
        if len(data) != descriptor.size:
            raise InputError(
                f"{descriptor.digest} is {len(data)} bytes, not {descriptor.size}",
                code=Code.CONTENT_MISMATCH,
            )
        return data


def _check_media_type(descriptor: oci.Descriptor, media_type: str) -> None:
    """Whoever believes a descriptor must see what we see."""
    if descriptor.media_type != media_type:
        raise InputError(
            f"{descriptor.digest} is called {descriptor.media_type[:80]}, not {media_type}",
            code=Code.CONTENT_MISMATCH,
        )


class StoreBlobs:
    """A package that was built here: its layers are derived again when they are wanted."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @cached_property
    def _derivation(self) -> "LayerDeriver":
        from mpbuild.package.derived_layers import LayerDeriver

        return LayerDeriver(self._store)

    def document(self, digest: Digest) -> bytes:
        """From the store."""
        path = self._store.blob(digest)
        if not path.is_file():
            raise InputError(
                f"the store lacks the blob {digest}",
                where=str(self._store.path),
                hint="build the target again",
                code=Code.CONTENT_MISSING,
            )
        if path.stat().st_size > limits.OCI_DOCUMENT_BYTES:
            raise InputError(f"{digest} is too large for a document", code=Code.CONTENT_MISMATCH)
        return self._store.read(digest)

    def layer(self, layer: oci.Descriptor) -> Iterator[Buffer]:
        """Derived while streaming."""
        return self._derivation.blob(layer.digest)

    def has(self, digest: Digest) -> bool:
        """Inputs and leaves are here, layers are derived."""
        return self._store.has(digest) or self._store.derivation(digest) is not None

    def tree(self, layer: oci.Descriptor, diff_id: Digest) -> Path:
        """Derived and unpacked once."""
        del layer
        self._derivation.tree(diff_id)
        return self._store.tree(diff_id)


class PackageLocation(msgspec.Struct, frozen=True):
    """Where a package lies, before anything of it has been believed.

    ``sound`` says what is wrong with the place itself: blobs with other bytes than their names.
    """

    place: BlobSource
    attachments: referrers.Referrers
    digest: Digest
    sound: Callable[[], list[Finding]]

    def open(self) -> Package:
        """The package, read; raise InputError where its index can't be."""
        return Package(self.place, self.digest)


def in_store(store: Store, digest: Digest) -> PackageLocation:
    """A package of the store; blobs there are checked as they are read.

    The digest of an image stands for an index that contains it, which what is attached to the
    image tells; raise InputError (subject-mismatch) where none does.
    """
    place, beside = StoreBlobs(store), referrers.StoreReferrers(store)
    if not _is_index(place, digest):
        known = sorted({*_mentioned(beside, digest)} - {digest})
        digest = _containing(place, known, digest, str(store.path))
    return PackageLocation(place, beside, digest, list)


def in_layout(text: str, store: Store) -> PackageLocation:
    """``DIR`` or ``DIR@sha256:…``; without a digest the layout must hold one package.

    The digest of an image stands for the index that contains it; raise InputError
    (subject-mismatch) where none does.
    """
    from mpbuild.package.untrusted_layout import LayoutBlobs, UntrustedLayout, faults

    folder, at, digits = text.rpartition("@sha256:")
    folder, wanted = (folder, f"sha256:{digits}") if at else (text, "")
    layout = UntrustedLayout(Path(folder))
    place, beside = LayoutBlobs(layout, store), referrers.LayoutReferrers(layout)
    found = [entry.digest for entry in layout.packages() if entry.media_type == oci.INDEX]
    digest = _containing(place, found, _named(wanted), folder) if wanted else _only(found, folder)
    return PackageLocation(place, beside, digest, lambda: list(faults(layout)))


def _named(text: str) -> Digest:
    try:
        return Digest(text)
    except InputError as error:
        raise InputError(
            error.findings[0].message, hint=error.findings[0].hint, code=Code.USAGE
        ) from error


def _only(found: Sequence[Digest], folder: str) -> Digest:
    if not found:
        raise InputError("the layout holds no package", where=folder, code=Code.CONTENT_MISSING)
    if len(found) > 1:
        raise InputError(
            f"the layout holds {len(found)} packages, not one",
            where=folder,
            hint=f"name one as {folder}@sha256:…",
            code=Code.USAGE,
        )
    return found[0]


def _is_index(place: BlobSource, digest: Digest) -> bool:
    document = canonical.decode(place.document(digest))
    return isinstance(document, dict) and document.get("mediaType") == oci.INDEX


def _mentioned(beside: referrers.Referrers, image: Digest) -> Iterator[Digest]:
    """What is said to have ``image`` as a part: where to look, and nothing to rely on."""
    for _, data in beside.bundles(image):
        if not isinstance(data, InputError):
            with contextlib.suppress(InputError):
                payload = bundle.read(data).envelope.payload
                yield from (subject.digest for subject in statement.read(payload).subject)


def _containing(place: BlobSource, indexes: Sequence[Digest], wanted: Digest, where: str) -> Digest:
    """The one of ``indexes`` that is ``wanted``, else the first that contains it."""
    if wanted in indexes:
        return wanted
    for digest in indexes:
        # One that is broken, or no index at all, doesn't stand in the way of others.
        with contextlib.suppress(InputError):
            children = oci.read_index(place.document(digest)).manifests
            if wanted in [child.digest for child in children]:
                return digest
    raise InputError(f"no package is or contains {wanted}", where=where, code=Code.SUBJECT_MISMATCH)
