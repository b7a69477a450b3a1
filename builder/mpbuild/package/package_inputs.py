"""Reads the inputs artifact of an untrusted package (written by derive/inputs_artifact.py)."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from mpbuild.base import limits
from mpbuild.base.codes import Code
from mpbuild.base.digest import Buffer, Digest
from mpbuild.base.errors import InputError
from mpbuild.derive import inputs_artifact
from mpbuild.derive.inputs_artifact import InputFile, StepFiles
from mpbuild.effects.store.store import Store
from mpbuild.formats.archive import gzip, untar
from mpbuild.formats.oci import oci, referrer
from mpbuild.locks import toolchain
from mpbuild.locks.toolchain import Toolchain
from mpbuild.package.layer_bounds import DEFAULT_BOUNDS, LayerBounds
from mpbuild.package.package import Package
from mpbuild.package.packaged_documents import read_lock_pair
from mpbuild.package.referrers import inputs_artifacts

_LOCKS, _LAYERS = "locks/", "steps/"


class PackageInputs(NamedTuple):
    """The files that a package's steps read, and its toolchain."""

    steps: Mapping[str, StepFiles]
    toolchain: Toolchain


def read_inputs(
    package: Package, store: Store, bounds: LayerBounds = DEFAULT_BOUNDS
) -> PackageInputs:
    """Reads the artifact and puts the files that steps read into the store.

    Raises InputError (content-missing) if the package has none, and (content-mismatch) if its
    layers do not hold the files that it lists.
    """
    for _, data in inputs_artifacts(package.referrers, package.digest):
        files = {file.path: file for file in inputs_artifact.read_files(referrer.read(data))}
        return _Reader(package, files, store, bounds).read()
    raise InputError(
        "the package has no inputs artifact, so it cannot be rebuilt",
        where=str(package.digest),
        hint="`mpbuild build --output` writes it into the layout",
        code=Code.CONTENT_MISSING,
    )


class _Reader:
    def __init__(
        self,
        package: Package,
        files: Mapping[str, InputFile],
        store: Store,
        bounds: LayerBounds,
    ) -> None:
        self._package = package
        self._files = files
        self._store = store
        self._bounds = bounds

    def read(self) -> PackageInputs:
        steps = inputs_artifact.read_steps(
            self._bytes(inputs_artifact.STEPS, limits.STEP_FILES_BYTES)
        )
        self._unpack(steps)
        return PackageInputs(steps, self._toolchain())

    def _toolchain(self) -> Toolchain:
        names = (f"pylock.{toolchain.NAME}.toml", f"debian.{toolchain.NAME}.toml")
        data = {name: self._bytes(f"{_LOCKS}{name}", limits.PACKAGED_LOCK_BYTES) for name in names}
        digests = {name: self._store.put_bytes(content) for name, content in data.items()}
        return Toolchain(read_lock_pair(digests, toolchain.NAME, self._store), data)

    def _unpack(self, steps: Mapping[str, StepFiles]) -> None:
        """Unpacks every file that a step read, checked against ``steps.json``.

        Steps that read the same files share a layer, which is named after one of them.
        """
        wanted = {(file.path, file.digest) for read in steps.values() for file in read.files}
        paths = {path for path, _ in wanted}
        found: set[tuple[str, Digest]] = set()
        layers = {f.digest: f for path, f in self._files.items() if path.startswith(_LAYERS)}
        for file in layers.values():
            for entry, content in untar.read(self._plain(file)):
                if entry.kind == "file" and entry.path in paths:
                    found.add((entry.path, self._store.put(content).digest))
        for path, digest in sorted(wanted - found):
            raise InputError(
                f"no layer holds {digest}, which {inputs_artifact.STEPS} lists",
                where=f"inputs, {path}",
                code=Code.CONTENT_MISMATCH,
            )

    def _plain(self, file: InputFile) -> Iterator[Buffer]:
        """Inflates a layer, within bounds."""
        plain = gzip.decompress(self._package.blobs.layer(_descriptor(file)))
        return self._bounds.bounded(plain, file.size, where=f"inputs, {file.path}")

    def _bytes(self, path: str, limit: int) -> bytes:
        file = self._file(path)
        if file.size > limit:
            raise InputError(
                f"the file has {file.size} bytes; at most {limit} are allowed",
                where=f"inputs, {path}",
                code=Code.CONTENT_MISMATCH,
            )
        return b"".join(self._package.blobs.layer(_descriptor(file)))

    def _file(self, path: str) -> InputFile:
        if path not in self._files:
            raise InputError(
                "the file is missing from the inputs artifact",
                where=f"inputs, {path}",
                code=Code.CONTENT_MISSING,
            )
        return self._files[path]


def _descriptor(file: InputFile) -> oci.Descriptor:
    return oci.Descriptor(media_type=file.media_type, digest=file.digest, size=file.size)
