"""Reads the leaves in a package's artifacts: bootstraps of PEX files, spec and locks.

Everything else in them is derived and compared as a whole.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from mpbuild.base import image_paths, limits
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.derive import pex as derive_pex
from mpbuild.derive.environment_locks import EnvironmentLocks, built_environments
from mpbuild.derive.model_artifact import carried
from mpbuild.effects.store.store import Store
from mpbuild.formats.oci import modelpack, oci
from mpbuild.formats.python import pex as pex_format
from mpbuild.package.assemble import PexStart
from mpbuild.package.image_contents import ImageContents
from mpbuild.package.location import BlobSource
from mpbuild.package.package import Image, Package, PackageArtifact
from mpbuild.package.packaged_documents import read_lock_pair
from mpbuild.spec.model import Model
from mpbuild.verify.completeness import PackagePart

_LOCKS = "locks/"


class ArtifactContents(msgspec.Struct, frozen=True, kw_only=True):
    """The starts of PEX files by accelerator; spec and locks of the model artifact by name."""

    starts: Mapping[Accelerator, PexStart]
    documents: Mapping[str, Digest]
    locks: Mapping[str, EnvironmentLocks]

    @property
    def leaves(self) -> Iterator[PackagePart]:
        """Every leaf in the artifacts."""
        for start in self.starts.values():
            yield PackagePart("pex", derive_pex.BOOTSTRAP_FILE, start.bootstrap)
            yield PackagePart("pex", derive_pex.MAIN_FILE, start.main)
        for name, digest in self.documents.items():
            yield PackagePart("spec" if name == "spec.json" else "lock", name, digest)


def read_artifacts(package: Package, model: Model, store: Store) -> ArtifactContents:
    """Reads the leaves of the artifacts; raises InputError if they do not fit ``model``.

    ``model`` is the spec of an image; no image or PEX may be for an accelerator it lacks.
    """
    _check_accelerators(package, model)
    starts = {}
    for artifact in package.artifacts("pex"):
        starts[Accelerator(artifact.accelerator)] = _start(artifact, package.blobs, store)
    documents = _documents(package, model, store)
    names = built_environments(model, model.accelerators)
    locks = {name: read_lock_pair(documents, name, store) for name in names}
    return ArtifactContents(starts=starts, documents=documents, locks=locks)


def model_files(package: Package) -> modelpack.ModelContents:
    """Returns the files of the model artifact."""
    artifact = package.artifact("model")
    config = package.sized(artifact.manifest.config, modelpack.CONFIG)
    return modelpack.read(artifact.manifest, modelpack.read_config(config))


def unpaired_children(package: Package) -> Iterator[Finding]:
    """Yields a finding unless there is one PEX for each image, and one model artifact."""
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


def differing_documents(
    contents: Sequence[ImageContents], artifacts: ArtifactContents
) -> Iterator[Finding]:
    """Yields each spec or lock that differs between an image and the model artifact.

    PEX files are derived from those of the model artifact.
    """
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
                f"the spec has no accelerator {one.accelerator!r:.80}",
                where=str(one.descriptor.digest),
                code=Code.DERIVATION_MISMATCH,
            )


def _start(artifact: PackageArtifact, blobs: BlobSource, store: Store) -> PexStart:
    files = derive_pex.read_files(artifact.manifest)
    bootstrap = files[pex_format.BOOTSTRAP]
    main = _read(blobs, files[pex_format.MAIN], limits.PEX_MAIN_BYTES)
    if bootstrap.size > limits.PEX_BOOTSTRAP_BYTES:
        raise _too_large(bootstrap.digest, bootstrap.size)
    return PexStart(
        store.put(blobs.layer(_descriptor(bootstrap))).digest,
        store.put_bytes(pex_format.without_hash(main)),
    )


def _documents(package: Package, model: Model, store: Store) -> dict[str, Digest]:
    """Spec and locks that the spec puts into the artifact; the artifact may list any number."""
    files = {file.path: file for file in model_files(package).files}
    found = {}
    for path in carried(model):
        if path != "spec.json" and not path.startswith(_LOCKS):
            continue
        if path not in files:
            raise InputError(
                "the file is missing",
                where=f"the model artifact, {path}",
                code=Code.CONTENT_MISSING,
            )
        data = _read(package.blobs, files[path], limits.PACKAGED_DOCUMENT_BYTES)
        found[path.removeprefix(_LOCKS)] = store.put_bytes(data)
    return found


def _read(
    blobs: BlobSource, file: derive_pex.PexFile | modelpack.ModelArtifactFile, limit: int
) -> bytes:
    if file.size > limit:
        raise _too_large(file.digest, file.size)
    return b"".join(blobs.layer(_descriptor(file)))


def _descriptor(file: derive_pex.PexFile | modelpack.ModelArtifactFile) -> oci.Descriptor:
    return oci.Descriptor(media_type=derive_pex.FILE, digest=file.digest, size=file.size)


def _too_large(digest: Digest, size: int) -> InputError:
    return InputError(f"{digest} has {size} bytes, which is too many", code=Code.CONTENT_MISMATCH)
