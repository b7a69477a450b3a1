"""Assembles a package from its layers, for building, verifying and reproducing alike."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from mpbuild.base import image_paths
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.derive import image_layers
from mpbuild.derive.dossier import dossier_files
from mpbuild.derive.environment_locks import EnvironmentLocks
from mpbuild.derive.image import DerivedImage, annotations, image
from mpbuild.derive.layers.layer import Layer
from mpbuild.derive.layers.layer_plan import FILES, STORED, LayerPlan
from mpbuild.derive.model_artifact import ModelArtifact, carried, model_artifact
from mpbuild.derive.package_index import PackageIndex, package
from mpbuild.derive.pex import DerivedPex, pex
from mpbuild.derive.pex_paths import pex_paths
from mpbuild.effects.store.store import Store
from mpbuild.formats.oci import oci
from mpbuild.formats.oci.modelpack import ModelArtifactFile
from mpbuild.spec.model import Model


class BoundLayer(NamedTuple):
    """A derived layer, its plan, and the digests of all inputs by the names in the plan."""

    plan: LayerPlan
    inputs: Mapping[str, Digest]
    layer: Layer


class PexStart(NamedTuple):
    """The bootstrap and ``__main__.py`` of a PEX: outputs of one sandboxed action."""

    bootstrap: Digest
    main: Digest


class PackageParts(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a package; their bytes are in the store.

    ``locks`` has every environment of the build, ``documents`` spec and locks by name, and
    ``layers`` the layers of each image, lowest first.
    """

    model: Model
    locks: Mapping[str, EnvironmentLocks]
    documents: Mapping[str, Digest]
    layers: Mapping[Accelerator, Sequence[BoundLayer]]
    starts: Mapping[Accelerator, PexStart]


class Assembly(msgspec.Struct, frozen=True, kw_only=True):
    """A package, its children and the small blobs that belong to them."""

    package: PackageIndex
    images: tuple[DerivedImage, ...]
    pexes: tuple[DerivedPex, ...]
    model: ModelArtifact
    blobs: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """The bytes that a registry transfers for it; a blob of several children counts once."""
        manifests: list[oci.Manifest | oci.ArtifactManifest] = [one.manifest for one in self.images]
        manifests += [one.manifest for one in self.pexes]
        manifests.append(self.model.manifest)
        blobs = {b.digest: b.size for m in manifests for b in (m.config, *m.layers)}
        children = sum(child.size for child in self.package.index.manifests)
        return len(self.package.index_bytes) + children + sum(blobs.values())


def assemble(parts: PackageParts, store: Store) -> Assembly:
    """Derives images, PEX files, model artifact and index from ``parts``."""
    about = annotations(parts.model)
    images = tuple(
        image(parts.model, accelerator, parts.locks[accelerator].python, _pairs(made))
        for accelerator, made in parts.layers.items()
    )
    pexes = tuple(_pex(parts, accelerator, store) for accelerator in parts.layers)
    files = list(_files(parts, store))
    documents = dossier_files(parts.model, parts.locks, files)
    files += [ModelArtifactFile.of(path, data) for path, data in documents.items()]
    model = model_artifact(parts.model, files, _code(parts), about)
    children = [*(i.descriptor for i in images), *(p.descriptor for p in pexes)]
    made = package(parts.model, [*children, model.descriptor])
    return Assembly(
        package=made,
        images=images,
        pexes=pexes,
        model=model,
        blobs=(
            oci.EMPTY,
            *documents.values(),
            *(data for one in images for data in (one.config_bytes, one.manifest_bytes)),
            *(data for one in pexes for data in (*one.made.values(), one.manifest_bytes)),
            *(model.config_bytes, model.manifest_bytes),
            made.index_bytes,
        ),
    )


def _pairs(layers: Iterable[BoundLayer]) -> list[tuple[LayerPlan, Layer]]:
    return [(one.plan, one.layer) for one in layers]


def _pex(parts: PackageParts, accelerator: Accelerator, store: Store) -> DerivedPex:
    """Derives the PEX from the leaves of the image."""
    placed = pex_paths(_leaves(parts.layers[accelerator]), accelerator)
    with contextlib.ExitStack() as stack:
        files = {path: stack.enter_context(store.mapped(digest)) for path, digest in placed.items()}
        bootstrap = stack.enter_context(store.mapped(parts.starts[accelerator].bootstrap))
        lock = parts.locks[accelerator].python
        main = store.read(parts.starts[accelerator].main)
        return pex(parts.model, accelerator, lock, files, bootstrap, main)


def _files(parts: PackageParts, store: Store) -> Iterator[ModelArtifactFile]:
    """The files of the model artifact except its dossier: leaves of the images, and all locks."""
    leaves = _leaves(next(iter(parts.layers.values())))
    for path in carried(parts.model):
        folder, _, name = path.rpartition("/")
        if path == "spec.json" or folder == "locks":
            digest = parts.documents[name]
        else:
            digest = leaves[f"{image_paths.MODEL}/{path}"]
        yield ModelArtifactFile(path, digest, store.size(digest))


def _leaves(layers: Iterable[BoundLayer]) -> dict[str, Digest]:
    """The digests of an image's leaves and fetched weights, by path."""
    found: dict[str, Digest] = {}
    for one in layers:
        if one.plan.rule in (FILES, STORED):
            found |= one.inputs
    return found


def _code(parts: PackageParts) -> Layer:
    """The layer of the code, which is the same in every image."""
    made = next(iter(parts.layers.values()))
    return next(one.layer for one in made if one.plan.title == image_layers.CODE)
