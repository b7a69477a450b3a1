"""Reading the inputs artifact of a package, from whoever: see derive/inputs.py."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from mpbuild.app import toolchain
from mpbuild.app.attachments import Attachments
from mpbuild.app.carried import read_lock_pair
from mpbuild.app.reference import Package
from mpbuild.app.toolchain import Toolchain
from mpbuild.base.digest import Buffer, Digest
from mpbuild.base.errors import InputError
from mpbuild.derive import inputs
from mpbuild.derive.inputs import InputFile, StepFiles
from mpbuild.effects.store import Store
from mpbuild.formats import gzip, oci, referrer, untar
from mpbuild.formats.unsafe import UnsafeError

_LARGEST_STEPS = 64 << 20
_LARGEST_LOCK = 4 << 20
# How far a layer of what steps read may inflate: as those of images.
_INFLATION = 8
_MOST_INFLATED = 1 << 30
_LOCKS, _LAYERS = "locks/", "steps/"


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
        self._unpack(steps)
        return Kept(steps, self._toolchain())

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
                f"{inputs.STEPS} says that a step read {digest}, and no layer has that",
                where=f"inputs, {path}",
                code="content-mismatch",
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
