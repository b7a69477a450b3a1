"""Reading the inputs artifact of a package, from whoever: see derive/inputs_artifact.py."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from mpbuild.base.codes import Code
from mpbuild.base.digest import Buffer, Digest
from mpbuild.base.errors import InputError
from mpbuild.derive import inputs_artifact
from mpbuild.derive.inputs_artifact import InputFile, StepFiles
from mpbuild.effects.store.store import Store
from mpbuild.formats.archive import gzip, untar
from mpbuild.formats.archive.unsafe import UnsafeError
from mpbuild.formats.oci import oci, referrer
from mpbuild.locks import toolchain
from mpbuild.locks.toolchain import Toolchain
from mpbuild.package.carried_documents import read_lock_pair
from mpbuild.package.package import Package
from mpbuild.package.referrers import Referrers

_LARGEST_STEPS = 64 << 20
_LARGEST_LOCK = 4 << 20
# How far a layer of what steps read may inflate: as those of images.
_INFLATION = 8
_MOST_INFLATED = 1 << 30
_LOCKS, _LAYERS = "locks/", "steps/"


class PackageInputs(NamedTuple):
    """What was kept beside a package: what its steps read, and its toolchain."""

    steps: Mapping[str, StepFiles]
    toolchain: Toolchain


def read_inputs(attachments: Referrers, package: Package, store: Store) -> PackageInputs:
    """Read the artifact, and put what steps read into the store.

    Raise InputError (content-missing) where the package has none, and (content-mismatch) where it
    holds other files than it says.
    """
    for _, data in attachments.inputs(package.digest):
        files = {file.path: file for file in inputs_artifact.read_files(referrer.read(data))}
        return _Reader(package, files, store).read()
    raise InputError(
        "no inputs artifact is attached to the package, so it can't be built again",
        where=str(package.digest),
        hint="`mpbuild build --output` writes it into the layout",
        code=Code.CONTENT_MISSING,
    )


class _Reader:
    def __init__(self, package: Package, files: Mapping[str, InputFile], store: Store) -> None:
        self._package = package
        self._files = files
        self._store = store

    def read(self) -> PackageInputs:
        steps = inputs_artifact.read_steps(self._bytes(inputs_artifact.STEPS, _LARGEST_STEPS))
        self._unpack(steps)
        return PackageInputs(steps, self._toolchain())

    def _toolchain(self) -> Toolchain:
        names = (f"pylock.{toolchain.NAME}.toml", f"debian.{toolchain.NAME}.toml")
        data = {name: self._bytes(f"{_LOCKS}{name}", _LARGEST_LOCK) for name in names}
        digests = {name: self._store.put_bytes(content) for name, content in data.items()}
        return Toolchain(read_lock_pair(digests, toolchain.NAME, self._store), data)

    def _unpack(self, steps: Mapping[str, StepFiles]) -> None:
        """Every file that a step read, checked against what ``steps.json`` says of it.

        Steps that read the same files share a layer, which has the name of one of them.
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
                f"{inputs_artifact.STEPS} says that a step read {digest}, and no layer has that",
                where=f"inputs, {path}",
                code=Code.CONTENT_MISMATCH,
            )

    def _plain(self, file: InputFile) -> Iterator[Buffer]:
        """A layer's tar, unless it inflates without end."""
        left = _INFLATION * file.size + _MOST_INFLATED
        for chunk in gzip.decompress(self._package.place.layer(_descriptor(file))):
            left -= len(chunk)
            if left < 0:
                raise UnsafeError("it inflates far beyond its size", where=f"inputs, {file.path}")
            yield chunk

    def _bytes(self, path: str, most: int) -> bytes:
        file = self._file(path)
        if file.size > most:
            raise InputError(
                f"it has {file.size} bytes; {most} are allowed",
                where=f"inputs, {path}",
                code=Code.CONTENT_MISMATCH,
            )
        return b"".join(self._package.place.layer(_descriptor(file)))

    def _file(self, path: str) -> InputFile:
        if path not in self._files:
            raise InputError(
                "the inputs artifact lacks it", where=f"inputs, {path}", code=Code.CONTENT_MISSING
            )
        return self._files[path]


def _descriptor(file: InputFile) -> oci.Descriptor:
    return oci.Descriptor(media_type=file.media_type, digest=file.digest, size=file.size)
