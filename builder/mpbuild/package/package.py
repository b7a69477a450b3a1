"""A package and its images, read and checked the same way wherever they are."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from mpbuild.base import limits
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
from mpbuild.base.errors import InputError
from mpbuild.formats.oci import oci
from mpbuild.formats.oci.annotations import ACCELERATOR, KIND, TITLE
from mpbuild.package.location import PackageLocation

KINDS = ("image", "pex", "model")
_VERSION = "org.opencontainers.image.version"


class Image(msgspec.Struct, frozen=True):
    """An image of a package."""

    descriptor: oci.Descriptor
    manifest: oci.Manifest
    config: oci.ImageConfig

    @property
    def accelerator(self) -> str:
        """The accelerator that the image is for."""
        return (self.descriptor.annotations or {}).get(ACCELERATOR, "")


class PackageArtifact(msgspec.Struct, frozen=True):
    """A child of a package that is not an image: a PEX or the model artifact."""

    descriptor: oci.Descriptor
    manifest: oci.ArtifactManifest

    @property
    def accelerator(self) -> str:
        """The accelerator of a PEX; empty for the model artifact."""
        return (self.descriptor.annotations or {}).get(ACCELERATOR, "")


class Package:
    """An index with its children, its blobs and its referrers."""

    def __init__(self, location: PackageLocation) -> None:
        """Reads the index; raises InputError if it is missing or malformed."""
        self.blobs = location.blobs
        self.referrers = location.referrers
        self.digest = location.digest
        self.index_bytes = self.blobs.document(self.digest)
        self.index = oci.read_index(self.index_bytes)

    @property
    def descriptor(self) -> oci.Descriptor:
        """The descriptor of the index."""
        return oci.descriptor(oci.INDEX, self.index_bytes)

    @property
    def name(self) -> str:
        """The name of the package; empty if the index has none."""
        return self.index.annotations.get(TITLE, "")

    @property
    def version(self) -> str:
        """The semantic version of the package; empty if the index has none."""
        return self.index.annotations.get(_VERSION, "")

    def children(self, kind: str) -> Iterator[oci.Descriptor]:
        """Yields the children of one of ``KINDS``.

        Raises InputError (content-extra) for too many children, or one of an unknown kind.
        """
        manifests = self.index.manifests
        if len(manifests) > limits.PACKAGE_CHILDREN:
            raise InputError(
                f"the package has {len(manifests)} children; at most {limits.PACKAGE_CHILDREN}"
                " are allowed",
                code=Code.CONTENT_EXTRA,
            )
        for descriptor in manifests:
            found = (descriptor.annotations or {}).get(KIND, "")
            if found not in KINDS:
                raise InputError(
                    f"{descriptor.digest} has the unknown kind {found!r:.80}",
                    code=Code.CONTENT_EXTRA,
                )
            if found == kind:
                yield descriptor

    def images(self) -> Iterator[Image]:
        """Yields the images, cpu first."""
        for descriptor in self.children("image"):
            manifest = oci.read_manifest(self.sized(descriptor, oci.MANIFEST))
            config = oci.read_config(self.sized(manifest.config, oci.CONFIG))
            if len(manifest.layers) > limits.IMAGE_LAYERS:
                raise InputError(
                    f"{descriptor.digest} has {len(manifest.layers)} layers; at most"
                    f" {limits.IMAGE_LAYERS} are allowed",
                    code=Code.CONTENT_EXTRA,
                )
            for layer in manifest.layers:
                _check_media_type(layer, oci.LAYER_GZIP)
            if len(config.rootfs.diff_ids) != len(manifest.layers):
                raise InputError(
                    f"{descriptor.digest} has {len(manifest.layers)} layers, its configuration"
                    f" {len(config.rootfs.diff_ids)}",
                    code=Code.CONTENT_MISMATCH,
                )
            yield Image(descriptor, manifest, config)

    def artifacts(self, kind: str) -> Iterator[PackageArtifact]:
        """Yields the children of a kind other than image."""
        for descriptor in self.children(kind):
            data = self.sized(descriptor, oci.MANIFEST)
            yield PackageArtifact(descriptor, oci.read_artifact(data))

    def artifact(self, kind: str, accelerator: Accelerator | None = None) -> PackageArtifact:
        """Returns the artifact for ``accelerator``, by default the first."""
        for artifact in self.artifacts(kind):
            if accelerator in (None, artifact.accelerator):
                return artifact
        raise InputError(
            f"the package has no {kind}" + (f" for {accelerator}" if accelerator else ""),
            code=Code.CONTENT_MISSING,
        )

    def image(self, accelerator: Accelerator | None) -> Image:
        """Returns the image for ``accelerator``, by default the first."""
        images = list(self.images())
        for image in images:
            if accelerator in (None, image.accelerator):
                return image
        raise InputError(
            f"the package has no image for {accelerator}",
            hint=f"it has {', '.join(image.accelerator for image in images)}",
        )

    def trees(self, image: Image) -> tuple[Path, ...]:
        """Returns the image's layers as folders, lowest first."""
        pairs = zip(image.manifest.layers, image.config.rootfs.diff_ids, strict=True)
        return tuple(self.blobs.tree(layer, diff_id) for layer, diff_id in pairs)

    def sized(self, descriptor: oci.Descriptor, media_type: str) -> bytes:
        """Reads a small blob, checked against digest, size and media type of its descriptor."""
        _check_media_type(descriptor, media_type)
        data = self.blobs.document(descriptor.digest)
        if len(data) != descriptor.size:
            raise InputError(
                f"{descriptor.digest} has {len(data)} bytes, not {descriptor.size}",
                code=Code.CONTENT_MISMATCH,
            )
        return data


def _check_media_type(descriptor: oci.Descriptor, media_type: str) -> None:
    """Clients interpret a blob by its media type, so it must be the one that was verified."""
    if descriptor.media_type != media_type:
        raise InputError(
            f"{descriptor.digest} has the media type {descriptor.media_type[:80]}, not"
            f" {media_type}",
            code=Code.CONTENT_MISMATCH,
        )
