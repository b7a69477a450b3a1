"""ModelPack: a model as an OCI artifact (CNCF model-spec 0.0.7).

Follows ``docs/spec.md`` (manifest and layers), ``docs/config.md`` (the configuration, closed to
other keys) and ``docs/annotations.md`` (annotations of layers). Each file is a raw layer, so the
blob is the file; only the code is a folder in an archive.
"""

from enum import StrEnum
from typing import NamedTuple, Self

import msgspec

from mpbuild.base import canonical, epoch
from mpbuild.base.codes import Code
from mpbuild.base.conversion import plain, typed
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.formats.archive import tar
from mpbuild.formats.archive.tree import check_tree, safe_path
from mpbuild.formats.oci import oci
from mpbuild.formats.oci.annotations import TITLE

ARTIFACT = "application/vnd.cncf.model.manifest.v1+json"
CONFIG = "application/vnd.cncf.model.config.v1+json"
FILEPATH = "org.cncf.model.filepath"
METADATA = "org.cncf.model.file.metadata+json"
ARCHIVE = "code.tar.gz"
"""The file name of the code's archive for tools that save blobs unchanged."""

_REGULAR, _DIRECTORY = 0, 5


class Role(StrEnum):
    """The media type of a layer ("layers"); artifacts have their layers in this order."""

    WEIGHTS = "application/vnd.cncf.model.weight.v1.raw"
    FILES = "application/vnd.cncf.model.weight.config.v1.raw"
    CODE = "application/vnd.cncf.model.code.v1.tar+gzip"
    DOCUMENTS = "application/vnd.cncf.model.doc.v1.raw"


class ModelArtifactFile(msgspec.Struct, frozen=True, order=True):
    """A file, with its path in the artifact; ``size`` in bytes."""

    path: str
    digest: Digest
    size: int

    @classmethod
    def of(cls, path: str, data: bytes) -> Self:
        """The file at ``path`` with the bytes ``data``."""
        return cls(path, Digest.of(data), len(data))

    @property
    def role(self) -> Role:
        """The role by folder: ``weights/`` and ``files/``; other paths are documents."""
        folder, slash, _ = self.path.partition("/")
        named = {"weights/": Role.WEIGHTS, "files/": Role.FILES}
        return named.get(folder + slash, Role.DOCUMENTS)


class CodeArchive(msgspec.Struct, frozen=True):
    """The archive of the code, ``tar+gzip``; ``folder`` is the code's folder in it."""

    folder: str
    digest: Digest
    size: int
    diff_id: Digest


class ModelDescriptor(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """Authors and identity of the model ("descriptor")."""

    created_at: str = epoch.RFC3339
    authors: tuple[str, ...]
    name: str
    version: str
    description: str
    licenses: tuple[str, ...]


class ModelFormat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The format of the weights ("config")."""

    format: str


class ModelFs(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """The digests of the layers' uncompressed contents, in order ("modelfs")."""

    type: str = "layers"
    diff_ids: tuple[Digest, ...]


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The configuration ("Model Artifact Configuration")."""

    descriptor: ModelDescriptor
    config: ModelFormat
    modelfs: ModelFs


class ModelContents(NamedTuple):
    """The content of an artifact; ``files`` in the order of its layers."""

    files: tuple[ModelArtifactFile, ...]
    code: CodeArchive


def encode_config(config: ModelConfig) -> bytes:
    """The canonical bytes of a configuration."""
    return canonical.encode(plain(config))


def read_config(data: bytes) -> ModelConfig:
    """Reads a configuration; raises InputError (content-mismatch)."""
    return typed(canonical.decode(data), ModelConfig)


def layers(contents: ModelContents) -> tuple[tuple[oci.Descriptor, Digest], ...]:
    """Each layer and the digest of its content: weights, files, code, documents, each by path."""
    order = list(Role)
    made = [(_file_layer(file), file.digest) for file in contents.files]
    made.append((_code_layer(contents.code), contents.code.diff_id))
    return tuple(sorted(made, key=lambda m: (order.index(Role(m[0].media_type)), _path(m[0]))))


def read(manifest: oci.ArtifactManifest, config: ModelConfig) -> ModelContents:
    """Reads the content of an artifact: the inverse of ``layers``.

    Raises InputError: content-mismatch unless mpbuild would write each layer exactly so,
    layer-unsafe if the files don't unpack to one safe tree.
    """
    if (manifest.artifact_type, manifest.config.media_type) != (ARTIFACT, CONFIG):
        raise _mismatch(f"not a {ARTIFACT}")
    diff_ids = config.modelfs.diff_ids
    if config.modelfs.type != "layers" or len(diff_ids) != len(manifest.layers):
        raise _mismatch("the layers of the artifact differ from its configuration")
    found = tuple(zip(manifest.layers, diff_ids, strict=True))
    contents = ModelContents(
        tuple(
            ModelArtifactFile(_path(one), one.digest, one.size)
            for one, _ in found
            if not _is_code(one)
        ),
        _only([CodeArchive(_path(o), o.digest, o.size, diff) for o, diff in found if _is_code(o)]),
    )
    _check_paths(contents)
    for wanted, layer in zip(layers(contents), found, strict=True):
        if layer != wanted:
            raise _mismatch(
                f"layer {layer[0].digest} differs from the layer that mpbuild writes for"
                f" {_path(wanted[0])}"
            )
    return contents


def _file_layer(file: ModelArtifactFile) -> oci.Descriptor:
    name = file.path.rpartition("/")[2]
    about = _metadata(name, mode=0o644, size=file.size, kind=_REGULAR)
    return oci.Descriptor(
        media_type=file.role,
        digest=file.digest,
        size=file.size,
        annotations={FILEPATH: file.path, METADATA: about, TITLE: file.path},
    )


def _code_layer(code: CodeArchive) -> oci.Descriptor:
    name = code.folder.rpartition("/")[2]
    about = _metadata(name, mode=0o755, size=0, kind=_DIRECTORY)
    return oci.Descriptor(
        media_type=Role.CODE,
        digest=code.digest,
        size=code.size,
        annotations={FILEPATH: code.folder, METADATA: about, TITLE: ARCHIVE},
    )


def _metadata(name: str, *, mode: int, size: int, kind: int) -> str:
    """The attributes of a file, constants except for name and size ("Reproducibility")."""
    attributes = {"name": name, "mode": mode, "uid": 0, "gid": 0, "size": size}
    return canonical.encode(attributes | {"mtime": epoch.RFC3339, "typeflag": kind}).decode()


def _path(layer: oci.Descriptor) -> str:
    path = (layer.annotations or {}).get(FILEPATH)
    if path is None:
        raise _mismatch(f"layer {layer.digest} has no {FILEPATH}")
    return path


def _is_code(layer: oci.Descriptor) -> bool:
    return layer.media_type == Role.CODE


def _only(codes: list[CodeArchive]) -> CodeArchive:
    if len(codes) != 1:
        raise _mismatch(f"the artifact has {len(codes)} code layers, not one")
    return codes[0]


def _check_paths(contents: ModelContents) -> None:
    """Checks that the files unpack to one safe tree."""
    paths = [*(file.path for file in contents.files), ARCHIVE]
    for path in (*paths, contents.code.folder):
        if safe_path(path) != path:
            raise _mismatch(f"the path {path[:200]!r} begins with ./")
    check_tree(tar.TarEntry(path=path, kind="file", mode=0o644) for path in paths)


def _mismatch(message: str) -> InputError:
    return InputError(message, code=Code.CONTENT_MISMATCH)
