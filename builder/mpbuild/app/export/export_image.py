"""Exports an image of a package as a file that container engines load.

It is a tar of an OCI image layout (OCI image specification, "Image Layout Specification") with the
``manifest.json`` of ``docker save`` beside it. Layers stay compressed: an engine that reads the
layout keeps the image's digest, and one that reads only ``manifest.json`` keeps its ID.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from mpbuild.base import canonical
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
from mpbuild.base.digest import Buffer, Digest
from mpbuild.base.errors import InputError
from mpbuild.effects.files.atomic import stream_new
from mpbuild.effects.files.disk import disk_error
from mpbuild.formats.archive import tar
from mpbuild.formats.oci import oci
from mpbuild.package.package import Image, Package

# podman and containerd read the full name of an image from this annotation; the OCI specification
# only has one for the tag.
IMAGE_NAME = "io.containerd.image.name"
# Engines resolve a name without a host in their default registry.
_HOST = "localhost"
# One component of a repository's name, and a tag (OCI distribution specification, "Pulling
# manifests").
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class ExportedImage(msgspec.Struct, frozen=True):
    """An exported image: its name, accelerator and digest, and the size of the file in bytes."""

    name: str
    accelerator: str
    digest: Digest
    size: int


def export_image(package: Package, accelerator: Accelerator | None, target: Path) -> ExportedImage:
    """Writes the image for ``accelerator``, by default the first, to ``target``.

    The same image gives the same bytes. Derived layers are streamed, and ``target`` appears once it
    is complete. Raises InputError if ``target`` is not a file, EnvironmentFailureError if the disk
    fails.
    """
    image = package.image(accelerator)
    repository, tag = _name(package, image)
    if target.exists() and not target.is_file():
        raise InputError("exists and is not a file", where=str(target), code=Code.USAGE)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        stream_new(target.parent, target, _archive(package, image, repository, tag), mode=0o644)
        size = target.stat().st_size
    except OSError as error:
        raise disk_error(error, target) from error
    return ExportedImage(f"{repository}:{tag}", image.accelerator, image.descriptor.digest, size)


def _name(package: Package, image: Image) -> tuple[str, str]:
    """Repository and tag; the tag holds the accelerator, so that names are unique."""
    # A spec's names may end in hyphens; a tag has no plus sign, which build metadata begins with.
    name = package.name.rstrip("-")
    tag = f"{package.version.replace('+', '_')}-{image.accelerator}"
    if not _REPOSITORY.fullmatch(name) or not _TAG.fullmatch(tag):
        raise InputError(
            f"{name[:80]!r} and {tag[:140]!r} are not a valid repository and tag",
            where=str(package.digest),
            code=Code.CONTENT_MISMATCH,
        )
    return f"{_HOST}/{name}", tag


def _archive(package: Package, image: Image, repository: str, tag: str) -> Iterator[Buffer]:
    blobs, manifest = package.blobs, image.manifest
    for path, data in _documents(image, repository, tag).items():
        yield from _file(path, len(data), [data])
    for folder in ("blobs", "blobs/sha256"):
        yield tar.header(tar.TarEntry(folder, "directory", 0o755))
    for descriptor in (image.descriptor, manifest.config):
        data = blobs.document(descriptor.digest)
        yield from _file(_blob(descriptor), descriptor.size, [data])
    # An image may list a layer twice; a layout holds it once.
    for layer in {layer.digest: layer for layer in manifest.layers}.values():
        yield from _file(_blob(layer), layer.size, blobs.layer(layer))
    yield tar.END


def _documents(image: Image, repository: str, tag: str) -> dict[str, bytes]:
    annotations = image.descriptor.annotations or {}
    entry = msgspec.structs.replace(
        image.descriptor, annotations={**annotations, IMAGE_NAME: f"{repository}:{tag}"}
    )
    saved = {
        "Config": _blob(image.manifest.config),
        "Layers": [_blob(layer) for layer in image.manifest.layers],
        "RepoTags": [f"{repository}:{tag}"],
    }
    return {
        "oci-layout": oci.LAYOUT_FILE,
        "index.json": oci.layout_index([oci.retagged(entry, tag)]),
        "manifest.json": canonical.encode([saved]),
    }


def _blob(descriptor: oci.Descriptor) -> str:
    return f"blobs/sha256/{descriptor.digest.hex}"


def _file(path: str, size: int, chunks: Iterable[Buffer]) -> Iterator[Buffer]:
    """A member of the tar; its header states ``size``, which the content must have."""
    yield tar.header(tar.TarEntry(path, "file", 0o644, size))
    written = 0
    for chunk in chunks:
        written += len(chunk)
        yield chunk
    if written != size:
        raise InputError(f"has {written} bytes, not {size}", where=path, code=Code.CONTENT_MISMATCH)
    yield tar.padding(size)
