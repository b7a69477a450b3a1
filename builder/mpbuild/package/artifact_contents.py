"""Reading what the artifacts of a package hold beside its images: starts of PEX files, locks.

All else in them is derived, and compared as a whole.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.derive import image_layers, image_paths
from mpbuild.derive import pex as derive_pex
from mpbuild.derive.model_artifact import carried
from mpbuild.effects.store.store import Store
from mpbuild.formats.oci import modelpack, oci
from mpbuild.formats.python import pex as pex_format
from mpbuild.package.assemble import PexStart
from mpbuild.package.carried_documents import read_lock_pair
from mpbuild.package.image_contents import ImageContents
from mpbuild.package.package import BlobSource, Image, Package, PackageArtifact
from mpbuild.spec.model import Model
from mpbuild.verify.completeness import PackagePart

# What nobody vouches for yet is read with bounds, in bytes.
_LARGEST_BOOTSTRAP = 64 << 20
_LARGEST_MAIN = 1 << 20
_LARGEST_DOCUMENT = 4 << 20

_LOCKS = "locks/"


class ArtifactContents(msgspec.Struct, frozen=True, kw_only=True):
    """What PEX files begin with, by accelerator; spec and locks of the model artifact by name."""

    starts: Mapping[Accelerator, PexStart]
    documents: Mapping[str, Digest]
    locks: Mapping[str, image_layers.EnvironmentLocks]

    @property
    def leaves(self) -> Iterator[PackagePart]:
        """Every leaf that stands in an artifact."""
        for start in self.starts.values():
            yield PackagePart("pex", derive_pex.BOOTSTRAP_FILE, start.bootstrap)
            yield PackagePart("pex", derive_pex.MAIN_FILE, start.main)
        for name, digest in self.documents.items():
            yield PackagePart("spec" if name == "spec.json" else "lock", name, digest)


def read_artifacts(package: Package, model: Model, store: Store) -> ArtifactContents:
    """Read what the artifacts hold; raise InputError where they are none of ours.

    ``model`` is the spec of an image: an image or PEX for what it doesn't know is none of ours.
    """
    _check_accelerators(package, model)
    starts = {}
    for artifact in package.artifacts("pex"):
        starts[Accelerator(artifact.accelerator)] = _start(artifact, package.place, store)
    documents = _documents(package, model, store)
    names = image_layers.built_environments(model, model.accelerators)
    locks = {name: read_lock_pair(documents, name, store) for name in names}
    return ArtifactContents(starts=starts, documents=documents, locks=locks)


def model_files(package: Package) -> modelpack.ModelContents:
    """What the model artifact holds, by its manifest."""
    artifact = package.artifact("model")
    config = package.sized(artifact.manifest.config, modelpack.CONFIG)
    return modelpack.read(artifact.manifest, modelpack.read_config(config))


def listed(package: Package) -> Iterator[Finding]:
    """Whether there is one PEX for each image, and one model artifact."""
    images = [image.accelerator for image in package.images()]
    pexes = [artifact.accelerator for artifact in package.artifacts("pex")]
    models = len(list(package.artifacts("model")))
    where = str(package.digest)
    for accelerator in sorted({*images, *pexes}):
        if pexes.count(accelerator) != images.count(accelerator):
            message = (
                f"for {accelerator!r:.80} the package has {images.count(accelerator)} images"
                f" and {pexes.count(accelerator)} PEX files"
            )
            yield Finding(Code.DERIVATION_MISMATCH, message, where)
    if models != 1:
        yield Finding(Code.DERIVATION_MISMATCH, f"the package has {models} model artifacts", where)


def differing(contents: Sequence[ImageContents], artifacts: ArtifactContents) -> Iterator[Finding]:
    """Where an image has another spec or lock than the model artifact, by which PEX are made."""
    for content in contents:
        for path, found in content.files.items():
            folder, _, name = path.rpartition("/")
            known = artifacts.documents.get(name, "none")
            if (path == image_paths.SPEC or folder == image_paths.LOCKS) and known != found.digest:
                message = (
                    f"image {content.accelerator} has {found.digest}, the model artifact {known}"
                )
                yield Finding(Code.DERIVATION_MISMATCH, message, f"/{path}")


def _check_accelerators(package: Package, model: Model) -> None:
    children: list[Image | PackageArtifact] = [*package.images(), *package.artifacts("pex")]
    for one in children:
        if one.accelerator not in model.accelerators:
            raise InputError(
                f"its accelerator is {one.accelerator!r:.80}, which the spec doesn't have",
                where=str(one.descriptor.digest),
                code=Code.DERIVATION_MISMATCH,
            )


def _start(artifact: PackageArtifact, place: BlobSource, store: Store) -> PexStart:
    files = derive_pex.read_files(artifact.manifest)
    bootstrap = files[pex_format.BOOTSTRAP]
    main = _read(place, files[pex_format.MAIN], _LARGEST_MAIN)
    if bootstrap.size > _LARGEST_BOOTSTRAP:
        raise _too_large(bootstrap.digest, bootstrap.size)
    return PexStart(
        store.put(place.layer(_descriptor(bootstrap))).digest,
        store.put_bytes(pex_format.without_hash(main)),
    )


def _documents(package: Package, model: Model, store: Store) -> dict[str, Digest]:
    """Those that the spec gives the artifact, and no others: who knows how many it names."""
    files = {file.path: file for file in model_files(package).files}
    found = {}
    for path in carried(model):
        if path != "spec.json" and not path.startswith(_LOCKS):
            continue
        if path not in files:
            raise InputError(
                "the file is not in it",
                where=f"the model artifact, {path}",
                code=Code.CONTENT_MISSING,
            )
        data = _read(package.place, files[path], _LARGEST_DOCUMENT)
        found[path.removeprefix(_LOCKS)] = store.put_bytes(data)
    return found


def _read(
    place: BlobSource, file: derive_pex.PexFile | modelpack.ModelArtifactFile, most: int
) -> bytes:
    if file.size > most:
        raise _too_large(file.digest, file.size)
    return b"".join(place.layer(_descriptor(file)))


def _descriptor(file: derive_pex.PexFile | modelpack.ModelArtifactFile) -> oci.Descriptor:
    return oci.Descriptor(media_type=derive_pex.FILE, digest=file.digest, size=file.size)


def _too_large(digest: Digest, size: int) -> InputError:
    return InputError(f"{digest} has {size} bytes, which is too large", code=Code.CONTENT_MISMATCH)
