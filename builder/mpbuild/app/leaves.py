"""Reading leaves out of an image: spec, locks, sources, the runtime, weights.

Where a leaf lies says what it is. Layers of wheels and Debian packages are not read for leaves:
they hold none, and are compared as wholes.
"""

from collections.abc import Iterator

import msgspec

from mpbuild.app.reference import Image, Place, compared
from mpbuild.base import canonical
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.derive import places, recipe
from mpbuild.derive.plan import Leaf
from mpbuild.effects.store import Store
from mpbuild.formats import deblock, gzip, oci, pylock, tar, untar
from mpbuild.spec.model import Model
from mpbuild.spec.read import model_from_document

_PLACES = {
    "runtime": places.RUNTIME,
    "source": places.SOURCES,
    "weights": places.WEIGHTS,
    "lock": places.LOCKS,
}
_LARGEST_LOCK = 64 << 20
_MODEL_FOLDERS = (places.MODEL, places.RUNTIME)


class Found(msgspec.Struct, frozen=True):
    """A file of an image: its bytes are in the store."""

    digest: Digest
    executable: bool


class Contents(msgspec.Struct, frozen=True):
    """What an image says that it is made of; ``extra`` are files at no known place."""

    image: Image
    accelerator: Accelerator
    document: dict[str, object]
    model: Model
    locks: dict[str, recipe.Locks]
    sources: tuple[recipe.SourceFile, ...]
    runtime: tuple[str, ...]
    leaves: dict[Leaf, Digest]
    extra: tuple[str, ...]

    def everything(self) -> Iterator[tuple[str, str, Digest]]:
        """Every leaf, and every input that the image's locks name: kind, name, digest."""
        for leaf, digest in self.leaves.items():
            yield leaf.kind, leaf.name, digest
        for lock in self.locks.values():
            for package in lock.python.packages:
                yield "wheel", package.wheel.filename, package.wheel.sha256
            for deb in lock.debian.packages:
                yield "debian", deb.path.rsplit("/", 1)[-1], deb.sha256


def read_contents(image: Image, place: Place, store: Store) -> Contents:
    """Read every layer that may hold leaves; raise InputError where the image is none of ours."""
    files: dict[str, Found] = {}
    pairs = zip(image.manifest.layers, image.config.rootfs.diff_ids, strict=True)
    for layer, diff_id in pairs:
        files.update(_files(layer, diff_id, place, store))
    if places.SPEC not in files:
        raise InputError(
            f"the image has no /{places.SPEC}",
            where=str(image.descriptor.digest),
            code="derivation-mismatch",
        )
    return _contents(image, files, store)


def _contents(image: Image, files: dict[str, Found], store: Store) -> Contents:
    document = canonical.decode(_small(files[places.SPEC], store))
    model = model_from_document(document, where=f"/{places.SPEC}", workspace=None)
    if image.accelerator not in list(Accelerator):
        raise InputError(f"no accelerator {image.accelerator!r}", code="derivation-mismatch")
    accelerator = Accelerator(image.accelerator)
    sources = [
        recipe.SourceFile(path.removeprefix(f"{places.SOURCES}/"), "", found.executable)
        for path, found in files.items()
        if path.startswith(f"{places.SOURCES}/")
    ]
    runtime = [
        path.removeprefix(f"{places.RUNTIME}/")
        for path in files
        if path.startswith(f"{places.RUNTIME}/") and path != places.ENTRY_POINT
    ]
    leaves, extra = _named(files, model)
    return Contents(
        image=image,
        accelerator=accelerator,
        document=document,
        model=model,
        locks=_locks(files, model, accelerator, store),
        sources=tuple(sources),
        runtime=tuple(runtime),
        leaves=leaves,
        extra=tuple(extra),
    )


def _named(files: dict[str, Found], model: Model) -> tuple[dict[Leaf, Digest], list[str]]:
    """Leaves by the names that the recipe has for them, and files that it has none for."""
    leaves: dict[Leaf, Digest] = {}
    extra: list[str] = []
    weights = {weight.name: weight for weight in model.core.weights}
    for path, found in files.items():
        kind = next((k for k, place in _PLACES.items() if path.startswith(f"{place}/")), "")
        name = path.removeprefix(f"{_PLACES[kind]}/") if kind else path
        if path == places.SPEC:
            leaves[Leaf("spec", "spec.json")] = found.digest
        elif path == places.ENTRY_POINT:
            leaves[Leaf("runtime", "mpbuild_runtime/mpbuild-run")] = found.digest
        elif kind == "weights" and name in weights:
            leaves[recipe.weight_leaf(weights[name])] = found.digest
        elif kind and kind != "weights":
            leaves[Leaf(kind, name)] = found.digest
        else:
            extra.append(path)
    return leaves, extra


def _locks(
    files: dict[str, Found], model: Model, accelerator: Accelerator, store: Store
) -> dict[str, recipe.Locks]:
    locks = {}
    for environment in recipe.lock_environments(model, accelerator):
        python_file, debian_file = f"pylock.{environment}.toml", f"debian.{environment}.toml"
        locks[environment] = recipe.Locks(
            pylock.read(_lock(files, python_file, store), file=python_file),
            deblock.read(_lock(files, debian_file, store), file=debian_file),
        )
    return locks


def _lock(files: dict[str, Found], name: str, store: Store) -> str:
    found = files.get(f"{places.LOCKS}/{name}")
    if found is None:
        raise InputError(f"the image has no lock {name}", code="content-missing")
    try:
        return _small(found, store).decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not UTF-8", code="lock-malformed") from error


def _small(found: Found, store: Store) -> bytes:
    if store.blob(found.digest).stat().st_size > _LARGEST_LOCK:
        raise InputError(f"{found.digest} is too large for a document", code="content-mismatch")
    return store.read(found.digest)


def _files(
    layer: oci.Descriptor, diff_id: Digest, place: Place, store: Store
) -> Iterator[tuple[str, Found]]:
    """The files of a layer if it holds leaves: then its first file lies in a model's folder."""
    entries: list[tar.Entry] = []
    for entry, content in untar.read(compared(gzip.decompress(place.layer(layer)), diff_id)):
        if entry.kind == "directory":
            continue
        if not entry.path.startswith(tuple(f"{folder}/" for folder in _MODEL_FOLDERS)):
            return
        entries.append(entry)
        if entry.kind != "file":
            raise InputError(
                f"/{entry.path} is a {entry.kind}, and leaves are files", code="content-extra"
            )
        yield entry.path, Found(store.put(content).digest, bool(entry.mode & 0o100))


def extra_findings(contents: Contents) -> Iterator[Finding]:
    """Files that nothing in spec or locks accounts for."""
    for path in contents.extra:
        yield Finding("content-extra", "nothing accounts for this file", f"/{path}")
