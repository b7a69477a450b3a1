"""One image of a package as a file that container engines load.

It is a tar of an OCI image layout (OCI image specification, "Image Layout Specification") with the
``manifest.json`` of ``docker save`` beside it. Layers stay compressed, so whoever reads the layout
keeps the image's digest, and whoever knows ``manifest.json`` alone keeps its ID.
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

# By this annotation podman and containerd know the whole name of an image; the tag alone is
# what the OCI specification has a place for.
IMAGE_NAME = "io.containerd.image.name"
# Without a host in front, engines take the name for one of their default registry's.
_HOST = "localhost"
# One component of a repository's name, and a tag (OCI distribution specification, "Pulling
# manifests").
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class ExportedImage(msgspec.Struct, frozen=True):
    """The image in a file: the name that engines give it, its digest, the file's size in bytes."""

    name: str
    accelerator: str
    digest: Digest
    size: int


def export_image(package: Package, accelerator: Accelerator | None, target: Path) -> ExportedImage:
    """Write the image for ``accelerator``, else the package's first, to ``target``.

    The same image makes the same bytes. Derived layers are streamed, and ``target`` appears when
    all of it is written. Raise InputError where it can't take the file, EnvironmentFailureError
    where the disk can't.
    """
    image = package.image(accelerator)
    repository, tag = _name(package, image)
    if target.exists() and not target.is_file():
        raise InputError("is there, and is no file", where=str(target), code=Code.USAGE)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        stream_new(target.parent, target, _archive(package, image, repository, tag), mode=0o644)
        size = target.stat().st_size
    except OSError as error:
        raise disk_error(error, target) from error
    return ExportedImage(f"{repository}:{tag}", image.accelerator, image.descriptor.digest, size)


def _name(package: Package, image: Image) -> tuple[str, str]:
    """Repository and tag; images of one version for several accelerators don't share a name."""
    # A spec's names may end in hyphens; a tag has no plus sign, which build metadata begins with.
    name = package.name.rstrip("-")
    tag = f"{package.version.replace('+', '_')}-{image.accelerator}"
    if not _REPOSITORY.fullmatch(name) or not _TAG.fullmatch(tag):
        raise InputError(
            f"{name[:80]!r} and {tag[:140]!r} are no name and tag of an image",
            where=str(package.digest),
            code=Code.CONTENT_MISMATCH,
        )
    return f"{_HOST}/{name}", tag


def _archive(package: Package, image: Image, repository: str, tag: str) -> Iterator[Buffer]:
    place, manifest = package.place, image.manifest
    for path, data in _documents(image, repository, tag).items():
        yield from _file(path, len(data), [data])
    for folder in ("blobs", "blobs/sha256"):
        yield tar.header(tar.TarEntry(folder, "directory", 0o755))
    for descriptor in (image.descriptor, manifest.config):
        data = place.document(descriptor.digest)
        yield from _file(_blob(descriptor), descriptor.size, [data])
    # A layer may stand twice in an image, and once in a layout.
    for layer in {layer.digest: layer for layer in manifest.layers}.values():
        yield from _file(_blob(layer), layer.size, place.layer(layer))
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
    """A member; ``size`` stands in front of it, so the content must keep to it."""
    yield tar.header(tar.TarEntry(path, "file", 0o644, size))
    written = 0
    for chunk in chunks:
        written += len(chunk)
        yield chunk
    if written != size:
        raise InputError(f"is {written} bytes, not {size}", where=path, code=Code.CONTENT_MISMATCH)
    yield tar.padding(size)
