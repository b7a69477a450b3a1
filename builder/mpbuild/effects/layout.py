"""OCI image layouts on disk (OCI image specification, "Image Layout Specification")."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from mpbuild.base.digest import Buffer, Digest
from mpbuild.base.errors import InputError
from mpbuild.effects.store import disk_error
from mpbuild.formats import oci


class Layout:
    """A layout folder: blobs, ``oci-layout``, ``index.json``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def exists(self) -> bool:
        """Whether the folder is a layout."""
        return (self.path / "oci-layout").is_file()

    def blob(self, digest: Digest) -> Path:
        """Where a blob is, or would be."""
        return self.path / "blobs" / "sha256" / digest.hex

    def begin(self) -> None:
        """Make the folder; refuse one that holds something else."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not self.exists and any(self.path.iterdir()):
                raise InputError(
                    "is neither empty nor an OCI layout",
                    where=str(self.path),
                    hint="name a new folder with --output",
                )
            (self.path / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, self.path) from error

    def add(self, digest: Digest, chunks: Iterable[Buffer]) -> None:
        """Write a blob unless it is there; ``chunks`` must check themselves at their end."""
        if not self.blob(digest).is_file():
            self._write(self.blob(digest), chunks)

    def finish(self, package: oci.Descriptor) -> None:
        """Point ``index.json`` at the package: last, so that a half-written layout shows none."""
        self._write(self.path / "oci-layout", [oci.LAYOUT_FILE])
        self._write(self.path / "index.json", [oci.layout_index(package)])

    def read(self, digest: Digest, size: int | None = None) -> bytes:
        """A document of the layout, checked."""
        try:
            data = self.blob(digest).read_bytes()
        except OSError as error:
            raise InputError(
                f"the layout lacks the blob {digest}", where=str(self.path), code="content-missing"
            ) from error
        if Digest.of(data) != digest or (size is not None and len(data) != size):
            raise InputError(
                f"the blob {digest} has other bytes than its descriptor says",
                where=str(self.path),
                code="content-mismatch",
            )
        return data

    def packages(self) -> tuple[oci.Descriptor, ...]:
        """What ``index.json`` points at."""
        try:
            return oci.read_layout_index((self.path / "index.json").read_bytes())
        except OSError as error:
            raise InputError(f"can't be read: {error.strerror}", where=str(self.path)) from error

    def chunks(self, digest: Digest) -> Iterator[bytes]:
        """The bytes of a blob, as they are."""
        try:
            with self.blob(digest).open("rb") as file:
                while data := file.read(1 << 20):
                    yield data
        except OSError as error:
            raise InputError(
                f"the layout lacks the blob {digest}", where=str(self.path), code="content-missing"
            ) from error

    def _write(self, path: Path, chunks: Iterable[Buffer]) -> None:
        try:
            with tempfile.NamedTemporaryFile(dir=self.path, prefix=".new-", delete=False) as file:
                try:
                    for chunk in chunks:
                        file.write(chunk)
                    file.flush()
                    os.fchmod(file.fileno(), 0o644)
                    Path(file.name).replace(path)
                finally:
                    Path(file.name).unlink(missing_ok=True)
        except OSError as error:
            raise disk_error(error, path) from error
