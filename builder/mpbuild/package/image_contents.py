"""Reading leaves out of an image: spec, locks, sources, the runtime, weights.

Where a leaf lies says what it is. Layers of wheels and Debian packages are not read for leaves:
they hold none, and are compared as wholes.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from mpbuild.base import canonical
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
from mpbuild.base.digest import Buffer, Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.derive import image_layers, image_paths
from mpbuild.derive.layers.layer_plan import Leaf
from mpbuild.effects.store.store import Store
from mpbuild.formats.archive import gzip, tar, untar
from mpbuild.formats.archive.unsafe import UnsafeError
from mpbuild.formats.oci.annotations import LAYER
from mpbuild.package.carried_documents import read_document, read_lock_pair
from mpbuild.package.package import BlobSource, Image
from mpbuild.package.untrusted_layout import compared
from mpbuild.spec.model import Model
from mpbuild.spec.read import model_from_document
from mpbuild.verify.completeness import PackagePart

_PLACES = {"runtime": image_paths.RUNTIME, "source": image_paths.SOURCES, "lock": image_paths.LOCKS}
_ENTRY_POINT = Leaf("runtime", "mpbuild_runtime/mpbuild-run")
_MODEL_FOLDERS = tuple(f"{folder}/" for folder in (image_paths.MODEL, image_paths.RUNTIME))

# What nobody vouches for yet is read with bounds: documents, entries of an image's layers, and
# how far these inflate beyond their own size.
_LARGEST_SPEC = 256 << 10
_MOST_ENTRIES = 1 << 17
_INFLATION = 8
_MOST_INFLATED = 1 << 30
_SMALL = 1 << 20

_Member = tuple[tar.TarEntry, Iterator[memoryview]]


class ImageFile(msgspec.Struct, frozen=True):
    """A file of an image: its bytes are in the store."""

    digest: Digest
    executable: bool


class ImageContents(msgspec.Struct, frozen=True):
    """What an image says that it is made of; ``files`` are its leaves by their paths.

    ``findings`` tell of what is at no place of a leaf.
    """

    image: Image
    accelerator: Accelerator
    document: dict[str, object]
    model: Model
    locks: dict[str, image_layers.EnvironmentLocks]
    files: dict[str, ImageFile]
    findings: tuple[Finding, ...]

    @property
    def sources(self) -> tuple[image_layers.SourceFile, ...]:
        """The code, by its paths below the sources' place."""
        return tuple(
            image_layers.SourceFile(
                path.removeprefix(f"{image_paths.SOURCES}/"), "", found.executable
            )
            for path, found in self.files.items()
            if path.startswith(f"{image_paths.SOURCES}/")
        )

    @property
    def runtime(self) -> tuple[str, ...]:
        """The files of mpbuild_runtime, as the recipe names them."""
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
        """Every leaf, and every input that the image's locks name."""
        yield from self.leaves
        for lock in self.locks.values():
            for file in lock.files:
                yield PackagePart(file.kind, file.name, file.digest)


def read_contents(image: Image, place: BlobSource, store: Store) -> ImageContents:
    """Read every layer that may hold leaves; raise InputError where the image is none of ours."""
    if image.accelerator not in list(Accelerator):
        raise _mismatch(image, f"its accelerator is {image.accelerator!r:.80}")
    accelerator = Accelerator(image.accelerator)
    files = _all_files(image, place, store)
    if image_paths.SPEC not in files:
        raise _mismatch(image, f"it has no /{image_paths.SPEC}")
    document = canonical.decode(read_document(files[image_paths.SPEC].digest, _LARGEST_SPEC, store))
    model = model_from_document(document, where=f"/{image_paths.SPEC}", workspace=None)
    if accelerator not in model.accelerators:
        raise _mismatch(image, f"its spec has no accelerator {accelerator}")
    if model.environment.compile_bytecode:
        files[image_layers.BYTECODE_FILE] = _bytecode(image, place, store)
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
                Finding(Code.CONTENT_EXTRA, "nothing accounts for this file", f"/{path}")
                for path in files
                if path not in known
            ),
            *_other_weights(model, files),
        ),
    )


def disagreements(contents: Sequence[ImageContents]) -> Iterator[Finding]:
    """Where images of one package hold different leaves: all but locks are the same in each.

    Bytecode is that of an image's own environment.
    """
    for other in contents[1:]:
        first, second = contents[0].files, other.files
        for path in sorted((first.keys() | second.keys()) - {image_layers.BYTECODE_FILE}):
            lock = path.startswith(f"{image_paths.LOCKS}/")
            if lock and not (path in first and path in second):
                continue
            if first.get(path) != second.get(path):
                message = f"{contents[0].accelerator} and {other.accelerator} differ in it"
                yield Finding(Code.DERIVATION_MISMATCH, message, f"/{path}")


def _named(model: Model, accelerator: Accelerator) -> dict[str, Leaf]:
    """The leaves whose paths in an image the spec decides; fetched weights count as leaves."""
    found = {image_paths.SPEC: Leaf("spec", "spec.json"), image_paths.ENTRY_POINT: _ENTRY_POINT}
    for weight in model.core.weights:
        source = image_layers.weight_source(weight)
        leaf = source if isinstance(source, Leaf) else Leaf("weights", weight.name)
        found[f"{image_paths.WEIGHTS}/{weight.name}"] = leaf
    for file in model.core.files:
        found[f"{image_paths.FILES}/{file.name}"] = Leaf("source", file.path)
    if model.environment.compile_bytecode:
        found[image_layers.BYTECODE_FILE] = image_layers.bytecode_leaf(accelerator)
    return found


def _leaf(path: str, named: dict[str, Leaf]) -> Leaf | None:
    """The leaf at a path of an image, by the name that the recipe has for it."""
    if path in named:
        return named[path]
    for kind, folder in _PLACES.items():
        if path.startswith(f"{folder}/"):
            return Leaf(kind, path.removeprefix(f"{folder}/"))
    return None


def _other_weights(model: Model, files: dict[str, ImageFile]) -> Iterator[Finding]:
    """Fetched weights whose bytes are not those that the spec names."""
    for weight in model.core.weights:
        path = f"{image_paths.WEIGHTS}/{weight.name}"
        if weight.url and path in files and files[path].digest != weight.sha256:
            message = f"the spec says {weight.sha256}, the image has {files[path].digest}"
            yield Finding(Code.CONTENT_MISMATCH, message, f"/{path}")


def _bytecode(image: Image, place: BlobSource, store: Store) -> ImageFile:
    """The plain tar of the layer before the runtime's, which is the leaf itself."""
    titles = [(layer.annotations or {}).get(LAYER) for layer in image.manifest.layers]
    if titles.count("bytecode") != 1:
        raise _mismatch(image, f"it has {titles.count('bytecode')} layers of bytecode")
    position = titles.index("bytecode")
    layer, diff_id = image.manifest.layers[position], image.config.rootfs.diff_ids[position]
    store.put(_bounded(compared(gzip.decompress(place.layer(layer)), diff_id), layer.size))
    return ImageFile(diff_id, executable=False)


def _locks(
    files: dict[str, ImageFile], model: Model, accelerator: Accelerator, store: Store
) -> dict[str, image_layers.EnvironmentLocks]:
    folder = f"{image_paths.LOCKS}/"
    found = {
        path.removeprefix(folder): one.digest
        for path, one in files.items()
        if path.startswith(folder)
    }
    names = image_layers.lock_environments(model, accelerator)
    return {name: read_lock_pair(found, name, store) for name in names}


def _all_files(image: Image, place: BlobSource, store: Store) -> dict[str, ImageFile]:
    files: dict[str, ImageFile] = {}
    layers = image.manifest.layers
    bounds = _Bounds()
    for layer, diff_id in zip(layers, image.config.rootfs.diff_ids, strict=True):
        plain = _bounded(compared(gzip.decompress(place.layer(layer)), diff_id), layer.size)
        for entry, content in _leaf_entries(bounds.entries(untar.read(plain))):
            if entry.path in files:
                raise _extra(entry, "it stands there twice")
            digest = _keep(entry, content, store)
            files[entry.path] = ImageFile(digest, bool(entry.mode & 0o100))
    return files


def _leaf_entries(entries: Iterable[_Member]) -> Iterator[_Member]:
    """The files of a layer if it holds leaves: then its first file lies in a model's folder."""
    first = True
    for entry, content in entries:
        if entry.kind == "directory":
            continue
        if first and not entry.path.startswith(_MODEL_FOLDERS):
            return
        first = False
        if entry.kind != "file" or not entry.path.startswith(_MODEL_FOLDERS):
            raise _extra(entry, f"a {entry.kind} here is no leaf")
        yield entry, content


def _bounded(chunks: Iterator[Buffer], size: int) -> Iterator[Buffer]:
    """``chunks``, unless a layer of ``size`` inflates further than any wheel does.

    A place that has another size for it says so before it gives any bytes.
    """
    left = _INFLATION * size + _MOST_INFLATED
    for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            raise UnsafeError("the layers inflate far beyond their size")
        yield chunk


class _Bounds:
    """Counts what the layers of an image hold, so that reading them ends."""

    def __init__(self) -> None:
        self._entries = _MOST_ENTRIES

    def entries(self, members: Iterator[_Member]) -> Iterator[_Member]:
        """``members``, unless they are too many."""
        for member in members:
            self._entries -= 1
            if self._entries < 0:
                raise UnsafeError(f"the image holds more than {_MOST_ENTRIES} leaves and folders")
            yield member


def _extra(entry: tar.TarEntry, message: str) -> InputError:
    return InputError(message, where=f"/{entry.path}", code=Code.CONTENT_EXTRA)


def _keep(entry: tar.TarEntry, content: Iterator[memoryview], store: Store) -> Digest:
    """Most leaves are small, and in the store already."""
    if entry.size <= _SMALL:
        return store.put_bytes(b"".join(content))
    return store.put(content).digest


def _mismatch(image: Image, message: str) -> InputError:
    return InputError(
        message,
        where=f"image {image.descriptor.digest}",
        hint="it was not made by this mpbuild, or somebody changed it",
        code=Code.DERIVATION_MISMATCH,
    )
