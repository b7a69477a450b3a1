"""Reading the inputs artifact of a package, from whoever: see derive/inputs.py."""

from collections.abc import Mapping
from typing import NamedTuple

from mpbuild.app import toolchain
from mpbuild.app.attachments import Attachments
from mpbuild.app.carried import read_lock_pair
from mpbuild.app.foreign import compared
from mpbuild.app.reference import Package
from mpbuild.app.toolchain import Toolchain
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.derive import inputs
from mpbuild.derive.inputs import InputFile, StepFiles
from mpbuild.effects.store import Store
from mpbuild.formats import gzip, oci, referrer, untar

_LARGEST_STEPS = 64 << 20
_LARGEST_LOCK = 4 << 20
_LOCKS = "locks/"


class Kept(NamedTuple):
    """What was kept beside a package: what its steps read, and its toolchain."""

    steps: Mapping[str, StepFiles]
    toolchain: Toolchain


def read_inputs(attachments: Attachments, package: Package, store: Store) -> Kept:
    """Read the artifact, and put what steps read into the store.

    Raise InputError (content-missing) where the package has none, and (content-mismatch) where it
    holds other files than it says.
    """
    for _, data in attachments.inputs(package.digest):
        files = {file.path: file for file in inputs.read_files(referrer.read(data))}
        return _Reader(package, files, store).read()
    raise InputError(
        "no inputs artifact is attached to the package, so it can't be built again",
        where=str(package.digest),
        hint="`mpbuild build --output` writes it into the layout",
        code="content-missing",
    )


class _Reader:
    def __init__(self, package: Package, files: Mapping[str, InputFile], store: Store) -> None:
        self._package = package
        self._files = files
        self._store = store

    def read(self) -> Kept:
        steps = inputs.read_steps(self._bytes(inputs.STEPS, _LARGEST_STEPS))
        for name, read in steps.items():
            if read.files:
                self._unpack(name, read)
        return Kept(steps, self._toolchain())

    def _toolchain(self) -> Toolchain:
        data = {
            path.removeprefix(_LOCKS): self._bytes(path, _LARGEST_LOCK)
            for path in self._files
            if path.startswith(_LOCKS)
        }
        digests = {name: self._store.put_bytes(content) for name, content in data.items()}
        return Toolchain(read_lock_pair(digests, toolchain.NAME, self._store), data)

    def _unpack(self, name: str, read: StepFiles) -> None:
        """Every file that the step read, checked against what ``steps.json`` says of it."""
        wanted = {file.path: file.digest for file in read.files}
        file = self._file(f"steps/{name}.tar.gz")
        blob = compared(self._package.place.layer(_descriptor(file)), file.digest, file.size)
        found: dict[str, Digest] = {}
        for entry, content in untar.read(gzip.decompress(blob)):
            if entry.kind == "file" and entry.path in wanted:
                found[entry.path] = self._store.put(content).digest
        for path, digest in wanted.items():
            if found.get(path) != digest:
                raise InputError(
                    f"it is {found.get(path, 'absent')}, and {inputs.STEPS} says {digest}",
                    where=f"inputs, steps/{name}.tar.gz, {path}",
                    code="content-mismatch",
                )

    def _bytes(self, path: str, most: int) -> bytes:
        file = self._file(path)
        if file.size > most:
            raise InputError(
                f"it has {file.size} bytes; {most} are allowed",
                where=f"inputs, {path}",
                code="content-mismatch",
            )
        return b"".join(self._package.place.layer(_descriptor(file)))

    def _file(self, path: str) -> InputFile:
        if path not in self._files:
            raise InputError(
                "the inputs artifact lacks it", where=f"inputs, {path}", code="content-missing"
            )
        return self._files[path]


def _descriptor(file: InputFile) -> oci.Descriptor:
    return oci.Descriptor(media_type=file.media_type, digest=file.digest, size=file.size)
