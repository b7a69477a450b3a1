"""A PEX folder as an OCI artifact, equal byte for byte to pex's own output. Format version 1.

The artifact has one blob for each file: the locked wheels, the model's own files, and the files
that ``formats.python.pex`` makes from pex's ``.bootstrap`` and ``__main__.py``. Deriving it needs
neither pex nor the bytes of a wheel. An annotation lists empty files, because some registries
reject empty blobs. The equivalent options of pex are: ``--layout packed --no-pre-install-wheels
--no-compress --no-compile -e mpbuild_runtime.run:main``, each wheel as a requirement ``==``,
``--interpreter-constraint 'CPython==X.Y.*' --python-shebang '/usr/bin/env pythonX.Y'
--inject-env MPBUILD_ACCELERATOR=…``.
"""

from collections.abc import Iterable, Mapping

import msgspec

from mpbuild.base import canonical
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
from mpbuild.base.conversion import typed
from mpbuild.base.digest import Buffer, Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.derive.image import annotations
from mpbuild.formats.archive import tar
from mpbuild.formats.archive.tree import check_tree, safe_path
from mpbuild.formats.archive.unsafe import UnsafeError
from mpbuild.formats.oci import oci
from mpbuild.formats.oci.annotations import ACCELERATOR, EMPTY, EXECUTABLE, KIND, TITLE
from mpbuild.formats.python import pex as form
from mpbuild.formats.python.pylock import PythonLock
from mpbuild.spec.model import Model

ARTIFACT = "application/vnd.mpbuild.pex.v1"
FILE = "application/vnd.mpbuild.pex.file.v1"

BOOTSTRAP_FILE, MAIN_FILE = "bootstrap.zip", "main.py"
"""The outputs of the action that runs pex: ``.bootstrap``, and ``__main__.py`` without its hash."""

PYTHON = "3.11"
"""The interpreter that pex runs under, for every PEX: that of the toolchain."""

EVIDENCE = ".mpbuild"
"""The folder of an export with its evidence; no file of a PEX is there."""

LINKS = {"pex": form.MAIN}
"""Links of the folder, which the artifact does not contain: path to target."""

_ENTRY_POINT = "mpbuild_runtime.run:main"
_NEEDED = (form.BOOTSTRAP, form.INFO, form.MAIN, form.IMPORT_HOOK)
# pex writes PEX-LAYOUT when it unpacks the files.
_RESERVED = frozenset(
    {form.BOOTSTRAP, form.WHEELS, form.INFO, form.MAIN, "PEX-LAYOUT", "__pex__", EVIDENCE, *LINKS}
)


class PexFile(msgspec.Struct, frozen=True):
    """A file of a PEX folder: digest, size in bytes, executable bit."""

    digest: Digest
    size: int
    executable: bool = False

    @classmethod
    def of(cls, data: Buffer, *, executable: bool = False) -> "PexFile":
        """The file with these bytes."""
        return cls(Digest.of(data), len(data), executable)


class DerivedPex(msgspec.Struct, frozen=True):
    """A PEX: manifest, derived files, and the descriptor by which the index refers to it."""

    accelerator: Accelerator
    descriptor: oci.Descriptor
    manifest: oci.ArtifactManifest
    manifest_bytes: bytes
    made: dict[str, bytes]

    @property
    def size(self) -> int:
        """The bytes that a registry transfers: manifest, configuration and files."""
        files = {layer.digest: layer.size for layer in self.manifest.layers}
        return len(self.manifest_bytes) + len(oci.EMPTY) + sum(files.values())


def pex(
    model: Model,
    accelerator: Accelerator,
    lock: PythonLock,
    files: Mapping[str, Buffer],
    bootstrap: Buffer,
    main: bytes,
) -> DerivedPex:
    """Derives the PEX of ``model`` with ``lock``, the lock of ``accelerator``.

    ``files`` has the model's own files by their paths in the folder; ``bootstrap`` and ``main`` are
    the outputs of the action that runs pex. Raises InputError for a file at a reserved path.
    """
    check_paths(files)
    made = _made(accelerator, lock, files, bootstrap, main)
    found = {path: PexFile.of(data) for path, data in {**files, **made}.items()}
    found[form.BOOTSTRAP] = PexFile.of(bootstrap)
    found[form.MAIN] = PexFile.of(made[form.MAIN], executable=True)
    for wheel in (package.wheel for package in lock.packages):
        found[f"{form.WHEELS}/{wheel.filename}"] = PexFile(wheel.sha256, wheel.size)
    document = manifest(model, accelerator, found)
    data = oci.encode(document)
    descriptor = oci.descriptor(
        oci.MANIFEST,
        data,
        platform=oci.NO_PLATFORM,
        annotations={KIND: "pex", ACCELERATOR: accelerator},
    )
    return DerivedPex(accelerator, descriptor, document, data, made)


def manifest(
    model: Model, accelerator: Accelerator, files: Mapping[str, PexFile]
) -> oci.ArtifactManifest:
    """The manifest of a PEX folder with these files by path, without links."""
    return oci.ArtifactManifest(
        artifact_type=ARTIFACT,
        config=oci.descriptor(oci.EMPTY_TYPE, oci.EMPTY),
        layers=_layers(files),
        annotations=annotations(model) | {ACCELERATOR: accelerator} | _empty(files),
    )


def read_files(manifest: oci.ArtifactManifest) -> dict[str, PexFile]:
    """The files of a PEX by path; raises InputError unless mpbuild would write this manifest.

    The result is safe to write to an empty folder, together with ``LINKS``.
    """
    if manifest.artifact_type != ARTIFACT:
        raise _mismatch(f"not a PEX but {manifest.artifact_type!r:.80}")
    found = {}
    for layer in manifest.layers:
        about = layer.annotations or {}
        file = PexFile(layer.digest, layer.size, EXECUTABLE in about)
        found[safe_path(about.get(TITLE, ""))] = file
    for path in _empty_paths(manifest.annotations.get(EMPTY, "[]")):
        found[safe_path(path)] = PexFile.of(b"")
    config = oci.descriptor(oci.EMPTY_TYPE, oci.EMPTY)
    empty = {key: text for key, text in manifest.annotations.items() if key == EMPTY}
    if (manifest.config, manifest.layers, empty) != (config, _layers(found), _empty(found)):
        raise _mismatch("its files are not listed in mpbuild's form")
    for path in _NEEDED:
        if path not in found:
            raise _mismatch(f"no {path}")
    if any(file.size < 0 for file in found.values()):
        raise _mismatch("a file has a negative size")
    if any(path.partition("/")[0] == EVIDENCE for path in found):
        raise _mismatch(f"a PEX cannot have a folder {EVIDENCE}")
    _check_tree(found)
    return found


def check_paths(paths: Iterable[str]) -> None:
    """Refuses paths of the model's own files that pex reserves, or does not hash."""
    findings = [finding for path in paths if (finding := _fault(path))]
    if findings:
        raise InputError.collect(findings)


def is_own(path: str) -> bool:
    """Whether a path in the folder is free for a file of the model."""
    return path.partition("/")[0] not in _RESERVED


def _fault(path: str) -> Finding | None:
    try:
        plain = safe_path(path) == path
    except UnsafeError as error:
        return Finding(
            Code.SPEC_INVALID, error.findings[0].message, hint="use a plain relative path"
        )
    if not plain or not is_own(path):
        hint = "pex uses such paths itself: rename the file"
        return Finding(Code.SPEC_INVALID, "reserved path in a PEX", path, hint)
    if not form.is_hashed(path):
        hint = "pex would not notice a change of it: rename it, or remove it from core.sources"
        message = "a PEX cannot contain hidden or compiled files"
        return Finding(Code.SPEC_INVALID, message, path, hint)
    return None


def _made(
    accelerator: Accelerator,
    lock: PythonLock,
    files: Mapping[str, Buffer],
    bootstrap: Buffer,
    main: bytes,
) -> dict[str, bytes]:
    start = form.read_bootstrap(bootstrap)
    info = form.PexInfo(
        bootstrap_hash=start.hash,
        build_properties=form.BuildProperties(start.version),
        code_hash=form.code_hash(files),
        distributions={p.wheel.filename: p.wheel.sha256.hex for p in lock.packages},
        entry_point=_ENTRY_POINT,
        inject_env={"MPBUILD_ACCELERATOR": str(accelerator)},
        interpreter_constraints=(f"CPython=={lock.python}.*",),
        requirements=tuple(sorted(f"{p.name}=={p.version}" for p in lock.packages)),
    )
    program = form.with_hash(main, info.pex_hash)
    return {
        form.INFO: form.write_info(info),
        form.MAIN: program,
        form.IMPORT_HOOK: form.import_hook(program),
    }


def _layers(files: Mapping[str, PexFile]) -> tuple[oci.Descriptor, ...]:
    """One blob for each file that is not empty, ordered by path."""
    _check_tree(files)
    return tuple(
        oci.Descriptor(
            media_type=FILE,
            digest=file.digest,
            size=file.size,
            annotations={TITLE: path} | ({EXECUTABLE: "true"} if file.executable else {}),
        )
        for path, file in sorted(files.items())
        if file.size
    )


def _empty(files: Mapping[str, PexFile]) -> dict[str, str]:
    """The annotation that lists empty files, if there are any."""
    paths = sorted(path for path, file in files.items() if not file.size)
    return {EMPTY: canonical.encode(paths).decode()} if paths else {}


def _empty_paths(text: str) -> list[str]:
    try:
        return typed(canonical.decode(text.encode()), list[str])
    except InputError as error:
        raise _mismatch(f"malformed list of empty files: {error.findings[0].message}") from error


def _check_tree(files: Mapping[str, PexFile]) -> None:
    links = (tar.TarEntry(path, "symlink", 0, target=target) for path, target in LINKS.items())
    check_tree([*(tar.TarEntry(safe_path(path), "file", 0) for path in files), *links])


def _mismatch(message: str) -> InputError:
    return InputError(message, where="the PEX's manifest", code=Code.CONTENT_MISMATCH)
