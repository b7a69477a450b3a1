"""Exports a PEX of a package as a folder, and verifies such a folder without the package.

The folder contains the evidence for that (the index, the manifest of the PEX, signed provenance) in
a small OCI layout, ``.mpbuild``, which pex ignores.
"""

import contextlib
import mmap
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import msgspec

from mpbuild.app.verify.verify import UNCHECKED_WITH_KEY, leaf_evidence
from mpbuild.base import canonical, limits
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
from mpbuild.base.digest import Buffer, Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.derive import pex as derive_pex
from mpbuild.derive.image_leaves import weight_source
from mpbuild.derive.layers.layer_plan import Leaf
from mpbuild.derive.pex import EVIDENCE, DerivedPex, PexFile, pex
from mpbuild.effects.files import folders
from mpbuild.effects.files.oci_layout import Layout
from mpbuild.effects.store.store import Store
from mpbuild.formats.oci import oci
from mpbuild.formats.python import pex as pex_format
from mpbuild.formats.python import pylock
from mpbuild.package import referrers
from mpbuild.package.in_layout import in_layout
from mpbuild.package.package import Package, PackageArtifact
from mpbuild.package.write_layout import COSIGN_ENTRY
from mpbuild.spec.model import Model
from mpbuild.spec.read import model_from_document
from mpbuild.verify.authenticate import SignatureVerifier
from mpbuild.verify.choose import Examination, choose, examine
from mpbuild.verify.completeness import PackagePart
from mpbuild.verify.verdict import Verdict, presentable

# Larger files are mapped into memory instead of read.
_MAPPED = 1 << 20
_UNCHECKED_CHILDREN = (
    "the images, the other PEX files and the model artifact of the package: only this PEX was"
    " verified"
)


class ExportedPex(msgspec.Struct, frozen=True):
    """An exported PEX: its accelerator, its digest in the package, and its size in bytes."""

    accelerator: str
    digest: Digest
    size: int


def export_pex(package: Package, accelerator: Accelerator | None, target: Path) -> ExportedPex:
    """Writes the PEX for ``accelerator``, by default the first, to the new folder ``target``.

    The folder appears once it is complete. Raises InputError if ``target`` exists.
    """
    artifact = package.artifact("pex", accelerator)
    files = derive_pex.read_files(artifact.manifest)
    with folders.new_folder(target) as folder:
        for path, file in files.items():
            descriptor = oci.Descriptor(
                media_type=derive_pex.FILE, digest=file.digest, size=file.size
            )
            chunks = package.blobs.layer(descriptor) if file.size else ()
            folder.write(path, chunks, executable=file.executable)
        for path, destination in derive_pex.LINKS.items():
            folder.link(path, destination)
        _write_evidence(package, artifact, Layout(folder.path / EVIDENCE))
    size = sum(file.size for file in files.values())
    return ExportedPex(artifact.accelerator, artifact.descriptor.digest, size)


def _write_evidence(package: Package, artifact: PackageArtifact, layout: Layout) -> None:
    layout.begin()
    manifest = package.sized(artifact.descriptor, oci.MANIFEST)
    for blob in (oci.EMPTY, manifest, package.index_bytes):
        layout.add(Digest.of(blob), [blob])
    annotations = {**COSIGN_ENTRY, oci.REF_NAME: package.version or "latest"}
    layout.finish(msgspec.structs.replace(package.descriptor, annotations=annotations))
    target = referrers.LayoutReferrers(layout)
    referrers.copy_bundles(package.referrers, target, package.descriptor)


def verify_pex(folder: Path, verifier: SignatureVerifier, store: Store) -> Verdict:
    """Verifies an exported PEX: the provenance of its package, and the PEX itself.

    Derives the PEX again from the lock, the spec and the leaves in the folder, and compares it with
    every file of the folder and with the signed index. Runs nothing of the folder.
    """
    findings: list[Finding] = []
    leaves: set[PackagePart] = set()
    required: set[PackagePart] = set()
    digest = ""
    examination: Examination | None = None
    try:
        location = in_layout(str(folder / EVIDENCE), store)
        digest = location.digest
        attached = referrers.bundles(location.referrers, location.digest)
        examination = examine(attached, verifier, location.digest)
        content = _PexFolder(folder)
        leaves = set(content.leaves())
        required = leaves | set(content.inputs())
        findings += content.compare(Package(location))
    except InputError as error:
        findings += error.findings
    choice = choose(examination or examine((), verifier, Digest.of(b"")), sorted(required))
    return Verdict(
        digest=digest,
        findings=presentable([*findings, *choice.findings]),
        evidence=choice.evidence,
        leaves=leaf_evidence(choice, leaves),
        unchecked=(*UNCHECKED_WITH_KEY, _UNCHECKED_CHILDREN),
    )


class _PexFolder:
    """An untrusted PEX folder: its files, its spec and its lock."""

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
                f"expected one lock of an accelerator in the spec; found {len(locks)} locks",
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
        """The wheels in its lock."""
        for package in self.lock.packages:
            yield PackagePart("wheel", package.wheel.filename, package.wheel.sha256)

    def compare(self, package: Package) -> Iterator[Finding]:
        """Derives the PEX again; yields differences from the folder and the index."""
        made = self._again()
        expected = derive_pex.read_files(made.manifest)
        for path in sorted(expected.keys() | self._found.keys() | derive_pex.LINKS.keys()):
            yield from self._difference(path, expected.get(path))
        yield from self._extra_folders(expected)
        children = {child.digest for child in package.children("pex")}
        if made.descriptor.digest not in children:
            yield Finding(
                Code.DERIVATION_MISMATCH,
                f"recomputed: {made.descriptor.digest}, which is not part of the package"
                f" {package.digest}",
                str(self._path),
            )

    def _extra_folders(self, expected: Mapping[str, PexFile]) -> Iterator[Finding]:
        """Reports unexpected folders: Python imports even an empty one as a namespace package."""
        known = {str(parent) for path in expected for parent in PurePosixPath(path).parents}
        for root, names, _ in os.walk(self._path):
            place = Path(root).relative_to(self._path)
            names[:] = [name for name in names if not Path(root, name).is_symlink()]
            if str(place) == ".":
                names[:] = [name for name in names if name != EVIDENCE]
            if str(place) not in known:
                names.clear()
                yield Finding(Code.CONTENT_EXTRA, "unexpected folder", str(place))

    def _difference(self, path: str, expected: PexFile | None) -> Iterator[Finding]:
        found = self._found.get(path)
        if path in derive_pex.LINKS:
            if not found or found.target != derive_pex.LINKS[path]:
                wanted = derive_pex.LINKS[path]
                yield Finding(Code.CONTENT_MISMATCH, f"not a link to {wanted}", path)
        elif expected is None:
            hint = "pex may have written it: export the PEX again and verify it before it runs"
            yield Finding(Code.CONTENT_EXTRA, "unexpected file", path, hint)
        elif found is None:
            yield Finding(Code.CONTENT_MISSING, "the file is missing", path)
        elif self.files.get(path) != expected:
            message = f"the folder has {found.digest or 'no file'}; recomputed: {expected.digest}"
            yield Finding(Code.CONTENT_MISMATCH, message, path)

    def _again(self) -> DerivedPex:
        bootstrap = self._read(pex_format.BOOTSTRAP, limits.PEX_BOOTSTRAP_BYTES)
        with contextlib.ExitStack() as stack:
            own = {path: stack.enter_context(self._mapped(path)) for path in self._own()}
            return pex(self.model, self.accelerator, self.lock, own, bootstrap, self._main())

    def _own(self) -> list[str]:
        return [path for path in self.files if derive_pex.is_own(path)]

    def _main(self) -> bytes:
        return pex_format.without_hash(self._read(pex_format.MAIN))

    def _file(self, path: str) -> PexFile:
        if path not in self.files:
            raise InputError("the file is missing", where=path, code=Code.CONTENT_MISSING)
        return self.files[path]

    def _read(self, path: str, limit: int = limits.PACKAGED_DOCUMENT_BYTES) -> bytes:
        size = self._file(path).size
        if size > limit:
            raise InputError(
                f"the file has {size} bytes; at most {limit} are allowed",
                where=path,
                code=Code.CONTENT_MISMATCH,
            )
        with self._mapped(path) as data:
            return bytes(data)

    @contextlib.contextmanager
    def _mapped(self, path: str) -> Iterator[Buffer]:
        """Maps a file, which may be larger than memory."""
        known = self._file(path)
        handle = os.open(self._path / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            same_size = os.fstat(handle).st_size == known.size
            if known.size < _MAPPED or not same_size:
                data: Buffer = file.read(_MAPPED)
            else:
                data = memoryview(mmap.mmap(handle, 0, access=mmap.ACCESS_READ))
        if not same_size or Digest.of(data) != known.digest:
            raise InputError(
                "the file changed while it was read", where=path, code=Code.CONTENT_MISMATCH
            )
        yield data


def _named(model: Model) -> Mapping[str, Leaf]:
    """Leaves by the paths that the spec gives them."""
    found = {"spec.json": Leaf("spec", "spec.json")}
    for weight in model.core.weights:
        source = weight_source(weight)
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
        raise InputError("the lock is not UTF-8", where=where, code=Code.LOCK_MALFORMED) from error
