"""OCI image documents as data (OCI image specification 1.1).

Everything is written as canonical JSON, so a document has one digest whoever writes it.
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
    """What an image runs on; mpbuild makes linux/amd64 only."""

    architecture: str = "amd64"
    os: str = "linux"


NO_PLATFORM = Platform("unknown", "unknown")
"""Of what is no image, so that no engine picks it to run."""


class Descriptor(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    omit_defaults=True,
    forbid_unknown_fields=True,
):
    """A typed reference to a blob ("Content Descriptors").

    Unknown properties are refused, ``urls`` and ``data`` among them: bytes come from one place.
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
    """An image manifest that packages something else ("Guidelines for Artifact Usage")."""

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
    """How one layer came to be."""

    created: str
    created_by: str


class RootFs(msgspec.Struct, frozen=True):
    """The plain-tar digests of the layers, lowest first."""

    diff_ids: tuple[Digest, ...]
    type: str = "layers"


class ExecutionConfig(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """What an engine runs by default ("config" of the image configuration)."""

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
    """The descriptor of a blob that is at hand."""
    return Descriptor(media_type=media_type, digest=Digest.of(data), size=len(data), **more)


def read_index(data: bytes) -> ImageIndex:
    """An index, strictly; InputError (content-mismatch) names what is wrong inside."""
    index = typed(canonical.decode(data), ImageIndex)
    _refuse_other(index.schema_version, index.media_type, INDEX)
    return index


def read_manifest(data: bytes) -> Manifest:
    """An image manifest, strictly."""
    manifest = typed(canonical.decode(data), Manifest)
    _refuse_other(manifest.schema_version, manifest.media_type, MANIFEST)
    return manifest


def read_artifact(data: bytes) -> ArtifactManifest:
    """The manifest of an artifact, strictly."""
    manifest = typed(canonical.decode(data), ArtifactManifest)
    _refuse_other(manifest.schema_version, manifest.media_type, MANIFEST)
    return manifest


def read_config(data: bytes) -> ImageConfig:
    """An image configuration."""
    return typed(canonical.decode(data), ImageConfig)


class _Pointing(msgspec.Struct, frozen=True):
    """Any manifest, as far as it points at blobs."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


def pointers(manifest: bytes) -> tuple[Descriptor, ...]:
    """What a manifest of whatever kind consists of: its configuration, then its layers."""
    found = typed(canonical.decode(manifest), _Pointing)
    return (found.config, *found.layers)


def retagged(entry: Descriptor, tag: str) -> Descriptor:
    """``entry`` under the name ``tag`` ("Image Layout", ``org.opencontainers.image.ref.name``)."""
    annotations = {**(entry.annotations or {}), REF_NAME: tag}
    return msgspec.structs.replace(entry, annotations=annotations)


def layout_index(entries: Iterable[Descriptor]) -> bytes:
    """The ``index.json`` of a layout with these entry points ("Image Layout")."""
    return canonical.encode(
        {"schemaVersion": 2, "mediaType": INDEX, "manifests": [plain(entry) for entry in entries]}
    )


def read_layout_index(data: bytes) -> tuple[Descriptor, ...]:
    """The descriptors of a layout's ``index.json``.

    It is whoever copied the layout last that wrote it; ``artifactType``, which ORAS repeats there,
    says nothing that the manifest doesn't.
    """
    document = canonical.decode(data)
    if not isinstance(document, Mapping) or not isinstance(document.get("manifests"), Sequence):
        raise InputError("index.json lists no manifests", code=Code.CONTENT_MISMATCH)
    return tuple(typed(_without_type(entry), Descriptor) for entry in document["manifests"])


def _without_type(entry: Any) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    return {key: value for key, value in entry.items() if key != "artifactType"}


def _refuse_other(version: int, media_type: str, wanted: str) -> None:
    """The body's own media type counts: a manifest offered as an index is refused."""
    if version != 2 or media_type != wanted:
        raise InputError(f"not a {wanted}", code=Code.CONTENT_MISMATCH)
