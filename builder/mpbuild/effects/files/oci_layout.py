"""OCI image layouts on disk (OCI image specification, "Image Layout Specification")."""

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
        """Where a blob is, or would be."""
        return self.path / "blobs" / "sha256" / digest.hex

    def begin(self) -> None:
        """Make the folder; refuse one that holds something else."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not self.exists:
                if any(not path.name.startswith(_NEW) for path in self.path.iterdir()):
                    raise InputError(
                        "is neither empty nor an OCI layout",
                        where=str(self.path),
                        hint="name a new folder with --output",
                    )
                # First, so that an interrupted build finds its own folder again.
                self._write(self.path / "oci-layout", [oci.LAYOUT_FILE])
            (self.path / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, self.path) from error

    def add(self, digest: Digest, chunks: Iterable[Buffer]) -> None:
        """Write a blob unless it is there; ``chunks`` must check themselves at their end."""
        if not self.blob(digest).is_file():
            self._write(self.blob(digest), chunks)

    def share(self, digest: Digest, source: Path, chunks: Iterable[Buffer]) -> bool:
        """Make a blob another name of ``source``, which nobody writes to; whether that can be.

        It can't on another filesystem, or where the file is somebody else's. ``chunks`` are its
        bytes, and must check themselves at their end.
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
        """Take away a blob that nothing points at any more."""
        try:
            self.blob(digest).unlink(missing_ok=True)
        except OSError as error:
            raise disk_error(error, self.path) from error

    def finish(self, package: oci.Descriptor) -> None:
        """Point ``index.json`` at the package: last, so that a half-written layout shows none.

        The package stands first; what was tagged before (referrers) stays behind it.
        """
        with self.locked():
            tagged = [e for e in self.entries() if _tag(e).startswith(REFERRERS)]
            self._write(self.path / "index.json", [oci.layout_index([package, *tagged])])

    def point(self, tag: str, descriptor: oci.Descriptor) -> None:
        """Tag a blob in ``index.json``; to be called while ``locked``."""
        named = oci.retagged(descriptor, tag)
        others = [entry for entry in self.entries() if _tag(entry) != tag]
        self._write(self.path / "index.json", [oci.layout_index([*others, named])])

    def tagged(self, tag: str) -> oci.Descriptor | None:
        """What a tag of ``index.json`` points at."""
        return next((entry for entry in self.entries() if _tag(entry) == tag), None)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from changing ``index.json``."""
        try:
            # Whoever made the layout may have put a link there.
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
        """A document of the layout, checked."""
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
                f"the blob {digest} has other bytes than its descriptor says",
                where=str(self.path),
                code=Code.CONTENT_MISMATCH,
            )
        return data

    def packages(self) -> tuple[oci.Descriptor, ...]:
        """What ``index.json`` points at, apart from referrers."""
        return tuple(entry for entry in self.entries() if not _tag(entry).startswith(REFERRERS))

    def entries(self) -> tuple[oci.Descriptor, ...]:
        """All that ``index.json`` points at; nothing before the layout is finished."""
        try:
            return oci.read_layout_index((self.path / "index.json").read_bytes())
        except FileNotFoundError:
            return ()
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
