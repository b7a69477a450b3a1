"""Reads the leaves of an untrusted image: spec, locks, sources, the runtime, weights.

The path of a leaf decides its kind. Layers of wheels and Debian packages hold no leaves and are
compared as a whole.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from mpbuild.base import canonical, image_paths, limits
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest, verified
from mpbuild.base.errors import Finding, InputError
from mpbuild.derive.environment_locks import EnvironmentLocks, lock_environments
from mpbuild.derive.image_leaves import SourceFile, bytecode_leaf, weight_source
from mpbuild.derive.layers.layer_plan import BYTECODE_FILE, Leaf
from mpbuild.effects.store.store import Store
from mpbuild.formats.archive import gzip, tar, untar
from mpbuild.formats.archive.unsafe import UnsafeError
from mpbuild.formats.oci.annotations import LAYER
from mpbuild.package.layer_bounds import DEFAULT_BOUNDS, LayerBounds
from mpbuild.package.location import BlobSource
from mpbuild.package.package import Image
from mpbuild.package.packaged_documents import read_document, read_lock_pair
from mpbuild.spec.model import Model
from mpbuild.spec.read import model_from_document
from mpbuild.verify.completeness import PackagePart

_PLACES = {"runtime": image_paths.RUNTIME, "source": image_paths.SOURCES, "lock": image_paths.LOCKS}
_ENTRY_POINT = Leaf("runtime", "mpbuild_runtime/mpbuild-run")
_MODEL_FOLDERS = tuple(f"{folder}/" for folder in (image_paths.MODEL, image_paths.RUNTIME))

_SMALL = 1 << 20

_Member = tuple[tar.TarEntry, Iterator[memoryview]]


class ImageFile(msgspec.Struct, frozen=True):
    """A file of an image; its bytes are in the store."""

    digest: Digest
    executable: bool


class ImageContents(msgspec.Struct, frozen=True):
    """The spec, locks and leaves of an image; ``files`` has its leaves by path.

    ``findings`` reports files at paths where no leaf belongs.
    """

    image: Image
    accelerator: Accelerator
    document: dict[str, object]
    model: Model
    locks: dict[str, EnvironmentLocks]
    files: dict[str, ImageFile]
    findings: tuple[Finding, ...]

    @property
    def sources(self) -> tuple[SourceFile, ...]:
        """The code, by paths relative to the folder of sources."""
        return tuple(
            SourceFile(path.removeprefix(f"{image_paths.SOURCES}/"), "", found.executable)
            for path, found in self.files.items()
            if path.startswith(f"{image_paths.SOURCES}/")
        )

    @property
    def runtime(self) -> tuple[str, ...]:
        """The files of mpbuild_runtime, by paths relative to the folder of the runtime."""
        return tuple(
            path.removeprefix(f"{image_paths.RUNTIME}/")
            for path in self.files
            if path.startswith(f"{image_paths.RUNTIME}/") and path != image_paths.ENTRY_POINT
        )

    @property
    def leaves(self) -> Iterator[PackagePart]:
        """Every leaf."""
        known = _named(self.model, self.accelerator)
        for path, found in self.files.items():
            leaf = _leaf(path, known)
            if leaf:
                yield PackagePart(leaf.kind, leaf.name, found.digest)

    @property
    def everything(self) -> Iterator[PackagePart]:
        """Every leaf, and every input in the image's locks."""
        yield from self.leaves
        for lock in self.locks.values():
            for file in lock.files:
                yield PackagePart(file.kind, file.name, file.digest)


def read_contents(
    image: Image, blobs: BlobSource, store: Store, bounds: LayerBounds = DEFAULT_BOUNDS
) -> ImageContents:
    """Reads every layer that may hold leaves; raises InputError for a foreign image."""
    if image.accelerator not in list(Accelerator):
        raise _mismatch(image, f"unknown accelerator {image.accelerator!r:.80}")
    accelerator = Accelerator(image.accelerator)
    files = _all_files(image, blobs, store, bounds)
    if image_paths.SPEC not in files:
        raise _mismatch(image, f"the image has no /{image_paths.SPEC}")
    document = canonical.decode(
        read_document(files[image_paths.SPEC].digest, limits.SPEC_DOCUMENT_BYTES, store)
    )
    model = model_from_document(document, where=f"/{image_paths.SPEC}", workspace=None)
    if accelerator not in model.accelerators:
        raise _mismatch(image, f"the spec has no accelerator {accelerator}")
    if model.environment.compile_bytecode:
        files[BYTECODE_FILE] = _bytecode(image, blobs, store, bounds)
    named = _named(model, accelerator)
    known = {path: found for path, found in files.items() if _leaf(path, named)}
    return ImageContents(
        image=image,
        accelerator=accelerator,
        document=document,
        model=model,
        locks=_locks(files, model, accelerator, store),
        files=known,
        findings=(
            *(
                Finding(Code.CONTENT_EXTRA, "unexpected file", f"/{path}")
                for path in files
                if path not in known
            ),
            *_other_weights(model, files),
        ),
    )


def disagreements(contents: Sequence[ImageContents]) -> Iterator[Finding]:
    """Yields each leaf that differs between images: only locks and bytecode may."""
    for other in contents[1:]:
        first, second = contents[0].files, other.files
        for path in sorted((first.keys() | second.keys()) - {BYTECODE_FILE}):
            lock = path.startswith(f"{image_paths.LOCKS}/")
            if lock and not (path in first and path in second):
                continue
            if first.get(path) != second.get(path):
                message = (
                    f"differs between the images {contents[0].accelerator} and {other.accelerator}"
                )
                yield Finding(Code.DERIVATION_MISMATCH, message, f"/{path}")


def _named(model: Model, accelerator: Accelerator) -> dict[str, Leaf]:
    """Leaves by the paths that the spec gives them; fetched weights count as leaves."""
    found = {image_paths.SPEC: Leaf("spec", "spec.json"), image_paths.ENTRY_POINT: _ENTRY_POINT}
    for weight in model.core.weights:
        source = weight_source(weight)
        leaf = source if isinstance(source, Leaf) else Leaf("weights", weight.name)
        found[f"{image_paths.WEIGHTS}/{weight.name}"] = leaf
    for file in model.core.files:
        found[f"{image_paths.FILES}/{file.name}"] = Leaf("source", file.path)
    if model.environment.compile_bytecode:
        found[BYTECODE_FILE] = bytecode_leaf(accelerator)
    return found


def _leaf(path: str, named: dict[str, Leaf]) -> Leaf | None:
    """The leaf that belongs at a path of an image."""
    if path in named:
        return named[path]
    for kind, folder in _PLACES.items():
        if path.startswith(f"{folder}/"):
            return Leaf(kind, path.removeprefix(f"{folder}/"))
    return None


def _other_weights(model: Model, files: dict[str, ImageFile]) -> Iterator[Finding]:
    """Reports fetched weights that do not match the digest in the spec."""
    for weight in model.core.weights:
        path = f"{image_paths.WEIGHTS}/{weight.name}"
        if weight.url and path in files and files[path].digest != weight.sha256:
            message = f"the spec has {weight.sha256}, the image {files[path].digest}"
            yield Finding(Code.CONTENT_MISMATCH, message, f"/{path}")


def _bytecode(image: Image, blobs: BlobSource, store: Store, bounds: LayerBounds) -> ImageFile:
    """The uncompressed tar of the layer of bytecode, which is itself the leaf."""
    titles = [(layer.annotations or {}).get(LAYER) for layer in image.manifest.layers]
    if titles.count("bytecode") != 1:
        raise _mismatch(image, f"the image has {titles.count('bytecode')} layers of bytecode")
    position = titles.index("bytecode")
    layer, diff_id = image.manifest.layers[position], image.config.rootfs.diff_ids[position]
    plain = verified(gzip.decompress(blobs.layer(layer)), diff_id)
    store.put(bounds.bounded(plain, layer.size))
    return ImageFile(diff_id, executable=False)


def _locks(
    files: dict[str, ImageFile], model: Model, accelerator: Accelerator, store: Store
) -> dict[str, EnvironmentLocks]:
    folder = f"{image_paths.LOCKS}/"
    found = {
        path.removeprefix(folder): one.digest
        for path, one in files.items()
        if path.startswith(folder)
    }
    names = lock_environments(model, accelerator)
    return {name: read_lock_pair(found, name, store) for name in names}


def _all_files(
    image: Image, blobs: BlobSource, store: Store, bounds: LayerBounds
) -> dict[str, ImageFile]:
    files: dict[str, ImageFile] = {}
    layers = image.manifest.layers
    counter = _EntryCounter(bounds.entries)
    for layer, diff_id in zip(layers, image.config.rootfs.diff_ids, strict=True):
        unbounded = verified(gzip.decompress(blobs.layer(layer)), diff_id)
        plain = bounds.bounded(unbounded, layer.size)
        for entry, content in _leaf_entries(counter.counted(untar.read(plain))):
            if entry.path in files:
                raise _extra(entry, "duplicate path")
            digest = _keep(entry, content, store)
            files[entry.path] = ImageFile(digest, bool(entry.mode & 0o100))
    return files


def _leaf_entries(entries: Iterable[_Member]) -> Iterator[_Member]:
    """The files of a layer that holds leaves, which its first file shows."""
    first = True
    for entry, content in entries:
        if entry.kind == "directory":
            continue
        if first and not entry.path.startswith(_MODEL_FOLDERS):
            return
        first = False
        if entry.kind != "file" or not entry.path.startswith(_MODEL_FOLDERS):
            raise _extra(entry, f"unexpected {entry.kind}")
        yield entry, content


class _EntryCounter:
    """Bounds the number of entries in all layers of an image."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0

    def counted(self, members: Iterator[_Member]) -> Iterator[_Member]:
        """Passes ``members`` through, up to the limit."""
        for member in members:
            self._count += 1
            if self._count > self._limit:
                raise UnsafeError(f"the image has more than {self._limit} leaves and folders")
            yield member


def _extra(entry: tar.TarEntry, message: str) -> InputError:
    return InputError(message, where=f"/{entry.path}", code=Code.CONTENT_EXTRA)


def _keep(entry: tar.TarEntry, content: Iterator[memoryview], store: Store) -> Digest:
    """Stores a leaf; a small one, which the store usually has, without a temporary file."""
    if entry.size <= _SMALL:
        return store.put_bytes(b"".join(content))
    return store.put(content).digest


def _mismatch(image: Image, message: str) -> InputError:
    return InputError(
        message,
        where=f"image {image.descriptor.digest}",
        hint="it was changed, or made by another version of mpbuild",
        code=Code.DERIVATION_MISMATCH,
    )
