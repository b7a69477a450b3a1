"""REF: a package or an image, wherever it lies, read and checked the same way."""

import posixpath
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from mpbuild.app import attachments
from mpbuild.app.derivation import Derivation
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Buffer, Digest, Hasher
from mpbuild.base.errors import Finding, InputError
from mpbuild.derive.image import ACCELERATOR
from mpbuild.effects.layout import Layout
from mpbuild.effects.store import Store
from mpbuild.effects.trees import Unpacker
from mpbuild.formats import gzip, oci, tar, untar
from mpbuild.formats.unsafe import UnsafeError


class Place(Protocol):
    """Where a package's blobs are."""

    def document(self, digest: Digest) -> bytes:
        """A small blob, checked against its digest."""

    def layer(self, layer: oci.Descriptor) -> Iterator[Buffer]:
        """A layer's blob; whoever reads it to its end has it checked."""

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


class Package:
    """An index and its images, read from a place."""

    def __init__(self, place: Place, digest: Digest) -> None:
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
        return self.index.annotations.get("org.opencontainers.image.title", "")

    def images(self) -> Iterator[Image]:
        """The images, cpu first."""
        for descriptor in self.index.manifests:
            manifest = oci.read_manifest(self._sized(descriptor, oci.MANIFEST))
            config = oci.read_config(self._sized(manifest.config, oci.CONFIG))
            for layer in manifest.layers:
                _check_media_type(layer, oci.LAYER_GZIP)
            if len(config.rootfs.diff_ids) != len(manifest.layers):
                raise InputError(
                    f"{descriptor.digest} has other layers than its configuration says",
                    code="content-mismatch",
                )
            yield Image(descriptor, manifest, config)

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

    def _sized(self, descriptor: oci.Descriptor, media_type: str) -> bytes:
        _check_media_type(descriptor, media_type)
        data = self.place.document(descriptor.digest)
        if len(data) != descriptor.size:
            raise InputError(
                f"{descriptor.digest} is {len(data)} bytes, not {descriptor.size}",
                code="content-mismatch",
            )
        return data


def _check_media_type(descriptor: oci.Descriptor, media_type: str) -> None:
    """Whoever believes a descriptor must see what we see."""
    if descriptor.media_type != media_type:
        raise InputError(
            f"{descriptor.digest} is called {descriptor.media_type[:80]}, not {media_type}",
            code="content-mismatch",
        )


class InStore:
    """A package that was built here: its layers are derived again when they are wanted."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._derivation = Derivation(store)

    def document(self, digest: Digest) -> bytes:
        """From the store."""
        return self._store.read(digest)

    def layer(self, layer: oci.Descriptor) -> Iterator[Buffer]:
        """Derived while streaming."""
        return self._derivation.blob(layer.digest)

    def tree(self, layer: oci.Descriptor, diff_id: Digest) -> Path:
        """Derived and unpacked once."""
        del layer
        self._derivation.tree(diff_id)
        return self._store.tree(diff_id)


class InLayout:
    """A package in an OCI layout, from whoever: every byte is checked on its way."""

    def __init__(self, layout: Layout, store: Store) -> None:
        self._layout = layout
        self._store = store

    def document(self, digest: Digest) -> bytes:
        """From the layout."""
        return self._layout.read(digest)

    def layer(self, layer: oci.Descriptor) -> Iterator[Buffer]:
        """From the layout."""
        return compared(self._layout.chunks(layer.digest), layer.digest, layer.size)

    def tree(self, layer: oci.Descriptor, diff_id: Digest) -> Path:
        """Unpacked once, after the whole layer has been read and found good."""
        final = self._store.tree(diff_id)
        if not final.is_dir():
            with self._store.lock(diff_id), self._store.scratch() as scratch:
                if not final.is_dir():
                    _exhaust(self.layer(layer))
                    _check([entry for entry, _ in untar.read(self._plain(layer, diff_id))])
                    _unpack(self._plain(layer, diff_id), scratch / "tree")
                    (scratch / "tree").rename(final)
        return final

    def _plain(self, layer: oci.Descriptor, diff_id: Digest) -> Iterator[Buffer]:
        yield from compared(gzip.decompress(self.layer(layer)), diff_id)


def compared(chunks: Iterator[bytes], digest: Digest, size: int | None = None) -> Iterator[bytes]:
    """``chunks`` again, with an InputError (content-mismatch) at their end if they are others."""
    hasher = Hasher()
    for chunk in chunks:
        hasher.write(chunk)
        yield chunk
    if hasher.digest != digest or size not in (None, hasher.size):
        raise InputError(f"{digest} has other bytes than its name says", code="content-mismatch")


def _exhaust(chunks: Iterator[Buffer]) -> None:
    """Nothing is read into what is not what it should be."""
    for _ in chunks:
        pass


def _check(entries: Sequence[tar.Entry]) -> None:
    tar.check_tree(entries, absolute_links=True)
    folders = {""}
    for entry in entries:
        if posixpath.dirname(entry.path) not in folders:
            raise UnsafeError(f"{entry.path} has no folder before it")
        if entry.kind == "directory":
            folders.add(entry.path)


def _unpack(chunks: Iterator[Buffer], root: Path) -> None:
    with Unpacker(root) as unpacker:
        for entry, content in untar.read(chunks):
            unpacker.begin(_Entry(entry))
            for chunk in content:
                unpacker.write(chunk)


class _Entry(msgspec.Struct, frozen=True):
    entry: tar.Entry


class Located(msgspec.Struct, frozen=True):
    """Where a package lies, before anything of it has been believed.

    ``sound`` says what is wrong with the place itself: blobs with other bytes than their names.
    """

    place: Place
    attachments: attachments.Attachments
    digest: Digest
    sound: Callable[[], list[Finding]]

    def open(self) -> Package:
        """The package, read; raise InputError where its index can't be."""
        return Package(self.place, self.digest)


def in_store(store: Store, digest: Digest) -> Located:
    """A package of the store; blobs there are checked as they are read."""
    return Located(InStore(store), attachments.InStore(store), digest, list)


def in_layout(text: str, store: Store) -> Located:
    """``DIR`` or ``DIR@sha256:…``; without a digest the layout must hold one package.

    The digest of an image stands for the index that contains it; raise InputError
    (subject-mismatch) where none does.
    """
    folder, at, digits = text.rpartition("@sha256:")
    folder, wanted = (folder, f"sha256:{digits}") if at else (text, "")
    layout = Layout(Path(folder))
    place, beside = InLayout(layout, store), attachments.InLayout(layout)
    found = [entry for entry in layout.packages() if entry.media_type == oci.INDEX]
    if not wanted and len(found) != 1:
        raise InputError(
            f"the layout holds {len(found)} packages, not one",
            where=folder,
            hint=f"name one as {folder}@sha256:…",
        )
    entry = _containing(place, found, Digest(wanted), folder) if wanted else found[0]
    return Located(place, beside, entry.digest, lambda: list(_unsound(layout, entry)))


def _containing(
    place: Place, indexes: Sequence[oci.Descriptor], wanted: Digest, folder: str
) -> oci.Descriptor:
    for entry in indexes:
        if entry.digest == wanted:
            return entry
        children = oci.read_index(place.document(entry.digest)).manifests
        if wanted in [child.digest for child in children]:
            return entry
    raise InputError(
        f"no package of the layout is or contains {wanted}", where=folder, code="subject-mismatch"
    )


def _unsound(layout: Layout, entry: oci.Descriptor) -> Iterator[Finding]:
    for digest in layout.damaged():
        yield Finding(
            "content-mismatch", f"the blob {digest} has other bytes than its name says", "layout"
        )
    if layout.blob(entry.digest).is_file():
        size = layout.blob(entry.digest).stat().st_size
        if size != entry.size:
            message = f"the package is {size} bytes, and index.json says {entry.size}"
            yield Finding("content-mismatch", message, "index.json")
