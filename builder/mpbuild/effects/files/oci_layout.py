"""Reads and writes OCI image layouts (OCI image specification, "Image Layout Specification")."""

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from mpbuild.base.codes import Code
from mpbuild.base.digest import Buffer, Digest
from mpbuild.base.errors import InputError
from mpbuild.effects.files.disk import disk_error
from mpbuild.formats.oci import oci

REFERRERS = "sha256-"
_NEW = ".new-"


def _tag(entry: oci.Descriptor) -> str:
    return (entry.annotations or {}).get(oci.REF_NAME, "")


class Layout:
    """A layout folder: blobs, ``oci-layout``, ``index.json``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def exists(self) -> bool:
        """Whether the folder is a layout."""
        return (self.path / "oci-layout").is_file()

    def blob(self, digest: Digest) -> Path:
        """Returns the path of a blob, whether it exists or not."""
        return self.path / "blobs" / "sha256" / digest.hex

    def begin(self) -> None:
        """Creates the folder; refuses one with other content."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not self.exists:
                if any(not path.name.startswith(_NEW) for path in self.path.iterdir()):
                    raise InputError(
                        "neither empty nor an OCI layout",
                        where=str(self.path),
                        hint="name a new folder with --output",
                    )
                # First, so that a build recognizes the folder of an interrupted one.
                self._write(self.path / "oci-layout", [oci.LAYOUT_FILE])
            (self.path / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, self.path) from error

    def add(self, digest: Digest, chunks: Iterable[Buffer]) -> None:
        """Writes a blob unless it exists; ``chunks`` must check themselves at their end."""
        if not self.blob(digest).is_file():
            self._write(self.blob(digest), chunks)

    def share(self, digest: Digest, source: Path, chunks: Iterable[Buffer]) -> bool:
        """Links a blob to the read-only file ``source``; returns whether that succeeded.

        It fails on another file system, or for another user's file. ``chunks`` are the bytes of the
        file, and must check themselves at their end.
        """
        if self.blob(digest).is_file():
            return True
        for _ in chunks:
            pass
        try:
            os.link(source, self.blob(digest))
        except FileExistsError:
            return True
        except OSError:
            return False
        return True

    def remove(self, digest: Digest) -> None:
        """Removes a blob that nothing refers to."""
        try:
            self.blob(digest).unlink(missing_ok=True)
        except OSError as error:
            raise disk_error(error, self.path) from error

    def finish(self, package: oci.Descriptor) -> None:
        """Writes ``index.json``, last, so that an incomplete layout has no package.

        The package comes first; tagged referrers stay behind it.
        """
        with self.locked():
            tagged = [e for e in self.entries() if _tag(e).startswith(REFERRERS)]
            self._write(self.path / "index.json", [oci.layout_index([package, *tagged])])

    def point(self, tag: str, descriptor: oci.Descriptor) -> None:
        """Tags a blob in ``index.json``; the caller holds ``locked``."""
        named = oci.retagged(descriptor, tag)
        others = [entry for entry in self.entries() if _tag(entry) != tag]
        self._write(self.path / "index.json", [oci.layout_index([*others, named])])

    def tagged(self, tag: str) -> oci.Descriptor | None:
        """Returns the entry of ``index.json`` with a tag."""
        return next((entry for entry in self.entries() if _tag(entry) == tag), None)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Locks ``index.json`` against other processes."""
        try:
            # An untrusted layout may have a link there.
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            lock = os.open(self.path / ".lock", flags, 0o644)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)
        except OSError as error:
            raise disk_error(error, self.path) from error

    def read(self, digest: Digest, size: int | None = None) -> bytes:
        """Reads a document, checked."""
        try:
            data = self.blob(digest).read_bytes()
        except OSError as error:
            raise InputError(
                f"the layout lacks the blob {digest}",
                where=str(self.path),
                code=Code.CONTENT_MISSING,
            ) from error
        if Digest.of(data) != digest or (size is not None and len(data) != size):
            raise InputError(
                f"the blob {digest} does not match its descriptor",
                where=str(self.path),
                code=Code.CONTENT_MISMATCH,
            )
        return data

    def packages(self) -> tuple[oci.Descriptor, ...]:
        """Returns the entries of ``index.json`` except referrers."""
        return tuple(entry for entry in self.entries() if not _tag(entry).startswith(REFERRERS))

    def entries(self) -> tuple[oci.Descriptor, ...]:
        """Returns all entries of ``index.json``; none while the layout is incomplete."""
        try:
            return oci.read_layout_index((self.path / "index.json").read_bytes())
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", where=str(self.path)) from error

    def chunks(self, digest: Digest) -> Iterator[bytes]:
        """Streams a blob, unchecked."""
        try:
            with self.blob(digest).open("rb") as file:
                while data := file.read(1 << 20):
                    yield data
        except OSError as error:
            raise InputError(
                f"the layout lacks the blob {digest}",
                where=str(self.path),
                code=Code.CONTENT_MISSING,
            ) from error

    def _write(self, path: Path, chunks: Iterable[Buffer]) -> None:
        import tempfile

        try:
            with tempfile.NamedTemporaryFile(dir=self.path, prefix=_NEW, delete=False) as file:
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
