"""OCI documents as data: indexes, manifests, configurations, layouts (image specification 1.1).

mpbuild writes them as canonical JSON, so equal documents have equal digests.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from mpbuild.base import canonical, limits
from mpbuild.base.codes import Code
from mpbuild.base.conversion import plain, typed
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
EMPTY = b"{}"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
REF_NAME = "org.opencontainers.image.ref.name"
LAYOUT_FILE = canonical.encode({"imageLayoutVersion": "1.0.0"})


class Platform(msgspec.Struct, frozen=True):
    """The platform of an image; mpbuild builds for linux/amd64 only."""

    architecture: str = "amd64"
    os: str = "linux"


NO_PLATFORM = Platform("unknown", "unknown")
"""The platform of artifacts, which keeps engines from running them."""


class Descriptor(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    omit_defaults=True,
    forbid_unknown_fields=True,
):
    """A typed reference to a blob ("Content Descriptors").

    Refuses other properties, such as ``urls`` and ``data``: blobs have a single source.
    """

    media_type: str
    digest: Digest
    size: Annotated[int, msgspec.Meta(le=limits.JSON_INTEGER)]
    platform: Platform | None = None
    annotations: dict[str, str] | None = None


class Manifest(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """An image manifest ("Image Manifest")."""

    schema_version: int = 2
    media_type: str = MANIFEST
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: dict[str, str]


class ArtifactManifest(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """The manifest of an artifact ("Guidelines for Artifact Usage")."""

    schema_version: int = 2
    media_type: str = MANIFEST
    artifact_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: dict[str, str]


class ImageIndex(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """An image index ("Image Index")."""

    schema_version: int = 2
    media_type: str = INDEX
    manifests: tuple[Descriptor, ...]
    annotations: dict[str, str]


class History(msgspec.Struct, frozen=True):
    """The origin of one layer."""

    created: str
    created_by: str


class RootFs(msgspec.Struct, frozen=True):
    """The digests of the uncompressed layers, lowest first."""

    diff_ids: tuple[Digest, ...]
    type: str = "layers"


class ExecutionConfig(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """The defaults for running the image ("config" of the image configuration)."""

    user: str
    env: tuple[str, ...]
    entrypoint: tuple[str, ...]
    working_dir: str
    labels: dict[str, str]


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True):
    """An image configuration ("Image Configuration")."""

    created: str
    architecture: str = "amd64"
    os: str = "linux"
    config: ExecutionConfig
    rootfs: RootFs
    history: tuple[History, ...]


Document = Manifest | ArtifactManifest | ImageIndex | ImageConfig


def encode(document: Document) -> bytes:
    """The canonical bytes of a document."""
    return canonical.encode(plain(document))


def descriptor(media_type: str, data: bytes, **more: Any) -> Descriptor:
    """The descriptor of the blob ``data``."""
    return Descriptor(media_type=media_type, digest=Digest.of(data), size=len(data), **more)


def read_index(data: bytes) -> ImageIndex:
    """Reads an index; raises InputError (content-mismatch)."""
    index = typed(canonical.decode(data), ImageIndex)
    _refuse_other(index.schema_version, index.media_type, INDEX)
    return index


def read_manifest(data: bytes) -> Manifest:
    """Reads an image manifest; raises InputError (content-mismatch)."""
    manifest = typed(canonical.decode(data), Manifest)
    _refuse_other(manifest.schema_version, manifest.media_type, MANIFEST)
    return manifest


def read_artifact(data: bytes) -> ArtifactManifest:
    """Reads the manifest of an artifact; raises InputError (content-mismatch)."""
    manifest = typed(canonical.decode(data), ArtifactManifest)
    _refuse_other(manifest.schema_version, manifest.media_type, MANIFEST)
    return manifest


def read_config(data: bytes) -> ImageConfig:
    """Reads an image configuration; raises InputError (content-mismatch)."""
    return typed(canonical.decode(data), ImageConfig)


class _BlobReferences(msgspec.Struct, frozen=True):
    """The part of any manifest that references blobs."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


def pointers(manifest: bytes) -> tuple[Descriptor, ...]:
    """The blobs that a manifest of any kind references: its configuration, then its layers."""
    found = typed(canonical.decode(manifest), _BlobReferences)
    return (found.config, *found.layers)


def retagged(entry: Descriptor, tag: str) -> Descriptor:
    """``entry`` under the name ``tag`` ("Image Layout", ``org.opencontainers.image.ref.name``)."""
    annotations = {**(entry.annotations or {}), REF_NAME: tag}
    return msgspec.structs.replace(entry, annotations=annotations)


def layout_index(entries: Iterable[Descriptor]) -> bytes:
    """The ``index.json`` of a layout with these entries ("Image Layout")."""
    return canonical.encode(
        {"schemaVersion": 2, "mediaType": INDEX, "manifests": [plain(entry) for entry in entries]}
    )


def read_layout_index(data: bytes) -> tuple[Descriptor, ...]:
    """Reads the descriptors of a layout's ``index.json``; raises InputError (content-mismatch).

    Ignores ``artifactType``, which tools such as ORAS copy there from the manifest.
    """
    document = canonical.decode(data)
    if not isinstance(document, Mapping) or not isinstance(document.get("manifests"), Sequence):
        raise InputError("index.json has no list of manifests", code=Code.CONTENT_MISMATCH)
    return tuple(typed(_without_type(entry), Descriptor) for entry in document["manifests"])


def _without_type(entry: Any) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    return {key: value for key, value in entry.items() if key != "artifactType"}


def _refuse_other(version: int, media_type: str, wanted: str) -> None:
    """Refuses a document whose own media type differs, such as a manifest offered as an index."""
    if version != 2 or media_type != wanted:
        raise InputError(f"not a {wanted}", code=Code.CONTENT_MISMATCH)
