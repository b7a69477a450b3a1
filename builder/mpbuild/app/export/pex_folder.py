"""A PEX as a folder: written out of a package, and verified without the rest of it.

What is needed for that (the index, the manifest of the PEX, signed provenance) lies in a small
OCI layout, ``.mpbuild``, inside the folder; pex takes no notice of it.
"""

import contextlib
import mmap
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import msgspec

from mpbuild.app.verify.verify import KEY_MODE
from mpbuild.base import canonical
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
from mpbuild.base.digest import Buffer, Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.derive import image_layers
from mpbuild.derive import pex as derive_pex
from mpbuild.derive.layers.layer_plan import Leaf
from mpbuild.derive.pex import EVIDENCE, DerivedPex, PexFile, pex
from mpbuild.effects.files import folders
from mpbuild.effects.files.oci_layout import Layout
from mpbuild.effects.store.store import Store
from mpbuild.formats.oci import oci
from mpbuild.formats.python import pex as pex_format
from mpbuild.formats.python import pylock
from mpbuild.package import referrers
from mpbuild.package.package import Package, PackageArtifact, PackageLocation, in_layout
from mpbuild.package.write_layout import COSIGN_ENTRY
from mpbuild.spec.model import Model
from mpbuild.spec.read import model_from_document
from mpbuild.verify.choose import accept, examine_all
from mpbuild.verify.completeness import PackagePart
from mpbuild.verify.public_keys import PublicKey
from mpbuild.verify.verdict import LeafEvidence, Verdict, told

# What nobody vouches for yet is read with bounds, in bytes; from a size on it is mapped.
_LARGEST_DOCUMENT = 4 << 20
_LARGEST_BOOTSTRAP = 64 << 20
_MAPPED = 1 << 20
_OTHERS = "the images, the other PEX files and the model artifact of the package: only this PEX was"


class ExportedPex(msgspec.Struct, frozen=True):
    """The PEX in a folder: its accelerator, its digest in the package, its size in bytes."""

    accelerator: str
    digest: Digest
    size: int


def export_pex(
    located: PackageLocation, accelerator: Accelerator | None, target: Path
) -> ExportedPex:
    """Write the PEX for ``accelerator``, else the package's first, to the new folder ``target``.

    It appears when all of it is written. Raise InputError where something is there already.
    """
    package = located.open()
    artifact = package.artifact("pex", accelerator)
    files = derive_pex.read_files(artifact.manifest)
    with folders.new_folder(target) as folder:
        for path, file in files.items():
            descriptor = oci.Descriptor(
                media_type=derive_pex.FILE, digest=file.digest, size=file.size
            )
            chunks = package.place.layer(descriptor) if file.size else ()
            folder.write(path, chunks, executable=file.executable)
        for path, destination in derive_pex.LINKS.items():
            folder.link(path, destination)
        _write_evidence(located, package, artifact, Layout(folder.path / EVIDENCE))
    size = sum(file.size for file in files.values())
    return ExportedPex(artifact.accelerator, artifact.descriptor.digest, size)


def _write_evidence(
    located: PackageLocation, package: Package, artifact: PackageArtifact, layout: Layout
) -> None:
    layout.begin()
    manifest = package.sized(artifact.descriptor, oci.MANIFEST)
    for blob in (oci.EMPTY, manifest, package.index_bytes):
        layout.add(Digest.of(blob), [blob])
    annotations = {**COSIGN_ENTRY, oci.REF_NAME: package.version or "latest"}
    layout.finish(msgspec.structs.replace(package.descriptor, annotations=annotations))
    referrers.copy(located.attachments, referrers.LayoutReferrers(layout), package.descriptor)


def verify_pex(folder: Path, keys: tuple[PublicKey, ...], store: Store) -> Verdict:
    """The verdict on an exported PEX: signed provenance of its package, and the PEX made again.

    Every file of the folder is compared with what its own lock, spec and leaves give, and that
    with what the signed index says. Nothing of the folder is run.
    """
    findings: list[Finding] = []
    leaves: set[PackagePart] = set()
    needed: set[PackagePart] = set()
    digest = ""
    examined = examine_all((), keys, Digest.of(b""))
    try:
        located = in_layout(str(folder / EVIDENCE), store)
        digest = located.digest
        examined = examine_all(located.attachments.bundles(digest), keys, Digest(digest))
        content = _Folder(folder)
        leaves = set(content.leaves())
        needed = leaves | set(content.inputs())
        findings += content.compare(located.open())
    except InputError as error:
        findings += error.findings
    accepted = accept(examined, sorted(needed))
    vouched = accepted.provenance.resolved if accepted.provenance else frozenset()
    return Verdict(
        digest=digest,
        findings=told([*findings, *accepted.findings]),
        evidence=accepted.evidence,
        leaves=tuple(
            LeafEvidence(
                kind=leaf.kind,
                name=leaf.name,
                digest=leaf.digest,
                vouched_by=(accepted.signer,) if (leaf.kind, leaf.digest) in vouched else (),
            )
            for leaf in sorted(leaves)
        ),
        unchecked=(*KEY_MODE, _OTHERS),
    )


class _Folder:
    """A folder that says it is a PEX: its files, its spec and its lock."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found = folders.listing(path, skip=EVIDENCE)
        self.files = {
            name: PexFile(one.digest, one.size, one.executable)
            for name, one in self._found.items()
            if one.digest
        }
        document = canonical.decode(self._read("spec.json"))
        self.model = model_from_document(document, where="spec.json", workspace=None)
        self.accelerator = self._accelerator()
        name = f"pylock.{self.accelerator}.toml"
        self.lock = pylock.read(_text(self._read(name), name), file=name)

    def _accelerator(self) -> Accelerator:
        locks = [a for a in Accelerator if f"pylock.{a}.toml" in self.files]
        if len(locks) != 1 or locks[0] not in self.model.accelerators:
            raise InputError(
                f"it holds {len(locks)} locks of accelerators, not one of its spec's",
                where=str(self._path),
                code=Code.LOCK_MALFORMED,
            )
        return locks[0]

    def leaves(self) -> Iterator[PackagePart]:
        """Every leaf in the folder."""
        named = _named(self.model)
        for path in self._own():
            leaf = named.get(path) or _by_folder(path)
            yield PackagePart(leaf.kind, leaf.name, self.files[path].digest)
        yield PackagePart("pex", derive_pex.BOOTSTRAP_FILE, self._file(pex_format.BOOTSTRAP).digest)
        yield PackagePart("pex", derive_pex.MAIN_FILE, Digest.of(self._main()))

    def inputs(self) -> Iterator[PackagePart]:
        """The wheels that its lock names."""
        for package in self.lock.packages:
            yield PackagePart("wheel", package.wheel.filename, package.wheel.sha256)

    def compare(self, package: Package) -> Iterator[Finding]:
        """Where the folder differs from what it gives when it is made again, and from the index."""
        made = self._again()
        expected = derive_pex.read_files(made.manifest)
        for path in sorted(expected.keys() | self._found.keys() | derive_pex.LINKS.keys()):
            yield from self._difference(path, expected.get(path))
        yield from self._strange_folders(expected)
        children = {child.digest for child in package.children("pex")}
        if made.descriptor.digest not in children:
            yield Finding(
                Code.DERIVATION_MISMATCH,
                f"spec, lock and files give the PEX {made.descriptor.digest}, which the package"
                f" {package.digest} does not hold",
                str(self._path),
            )

    def _strange_folders(self, expected: Mapping[str, PexFile]) -> Iterator[Finding]:
        """Folders without files: each can be imported, as a package that isn't there."""
        known = {str(parent) for path in expected for parent in PurePosixPath(path).parents}
        for root, names, _ in os.walk(self._path):
            place = Path(root).relative_to(self._path)
            names[:] = [name for name in names if not Path(root, name).is_symlink()]
            if str(place) == ".":
                names[:] = [name for name in names if name != EVIDENCE]
            if str(place) not in known:
                names.clear()
                yield Finding(Code.CONTENT_EXTRA, "nothing accounts for this folder", str(place))

    def _difference(self, path: str, expected: PexFile | None) -> Iterator[Finding]:
        found = self._found.get(path)
        if path in derive_pex.LINKS:
            if not found or found.target != derive_pex.LINKS[path]:
                wanted = derive_pex.LINKS[path]
                yield Finding(Code.CONTENT_MISMATCH, f"it is no link to {wanted}", path)
        elif expected is None:
            hint = "pex may have written it: export the PEX again, and verify before it runs"
            yield Finding(Code.CONTENT_EXTRA, "nothing accounts for this file", path, hint)
        elif found is None:
            yield Finding(Code.CONTENT_MISSING, "the file is not in the folder", path)
        elif self.files.get(path) != expected:
            message = f"it is {found.digest or 'no file'}, and spec and lock give {expected.digest}"
            yield Finding(Code.CONTENT_MISMATCH, message, path)

    def _again(self) -> DerivedPex:
        bootstrap = self._read(pex_format.BOOTSTRAP, _LARGEST_BOOTSTRAP)
        with contextlib.ExitStack() as stack:
            own = {path: stack.enter_context(self._mapped(path)) for path in self._own()}
            return pex(self.model, self.accelerator, self.lock, own, bootstrap, self._main())

    def _own(self) -> list[str]:
        return [path for path in self.files if derive_pex.is_own(path)]

    def _main(self) -> bytes:
        return pex_format.without_hash(self._read(pex_format.MAIN))

    def _file(self, path: str) -> PexFile:
        if path not in self.files:
            raise InputError("the file is not in the folder", where=path, code=Code.CONTENT_MISSING)
        return self.files[path]

    def _read(self, path: str, most: int = _LARGEST_DOCUMENT) -> bytes:
        size = self._file(path).size
        if size > most:
            raise InputError(
                f"it has {size} bytes; {most} are allowed", where=path, code=Code.CONTENT_MISMATCH
            )
        with self._mapped(path) as data:
            return bytes(data)

    @contextlib.contextmanager
    def _mapped(self, path: str) -> Iterator[Buffer]:
        """The bytes of a file, which may be larger than memory."""
        known = self._file(path)
        handle = os.open(self._path / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            same_size = os.fstat(handle).st_size == known.size
            if known.size < _MAPPED or not same_size:
                data: Buffer = file.read(_MAPPED)
            else:
                data = memoryview(mmap.mmap(handle, 0, access=mmap.ACCESS_READ))
        if not same_size or Digest.of(data) != known.digest:
            raise InputError("changed while it was read", where=path, code=Code.CONTENT_MISMATCH)
        yield data


def _named(model: Model) -> Mapping[str, Leaf]:
    """The leaves whose paths in a PEX the spec decides."""
    found = {"spec.json": Leaf("spec", "spec.json")}
    for weight in model.core.weights:
        source = image_layers.weight_source(weight)
        leaf = source if isinstance(source, Leaf) else Leaf("weights", weight.name)
        found[f"weights/{weight.name}"] = leaf
    for file in model.core.files:
        found[f"files/{file.name}"] = Leaf("source", file.path)
    return found


def _by_folder(path: str) -> Leaf:
    if path.startswith("pylock."):
        return Leaf("lock", path)
    if path.startswith("mpbuild_runtime/"):
        return Leaf("runtime", path)
    return Leaf("source", path)


def _text(data: bytes, where: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError("it is not UTF-8", where=where, code=Code.LOCK_MALFORMED) from error
