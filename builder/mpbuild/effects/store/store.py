"""The store: blobs by digest, results by action key, trees by diff_id, how blobs are derived.

Everything is written to a temporary path and renamed, so a reader sees either all or nothing of a
thing, even if a process is killed. Everything except ``blobs`` can be deleted at any time. Layout:

- ``blobs/sha256/<hex>``: inputs, leaves and small documents; a derived layer may be absent
- ``derived/<hex>``: the action that derives the layer with that digest or diff_id
- ``results/<hex>``: results by action key
- ``trees/<hex>``: unpacked layers by diff_id
- ``facts/<hex>``: facts about inputs, by keys of the modules that find them
- ``last/<hex>``: memos of targets, by digest of workspace path and label
- ``referrers/<hex>/<hex>``: manifests (second) that refer to a subject (first)
- ``partial/<hex>``: incomplete downloads, to be resumed
- ``scratch/``: temporary files of running processes
- ``lock``: held by every process that uses the store
"""

import contextlib
import fcntl
import mmap
import os
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path

from mpbuild.base import canonical, epoch
from mpbuild.base.codes import Code
from mpbuild.base.conversion import plain, typed
from mpbuild.base.digest import Buffer, Digest, Hasher
from mpbuild.base.errors import InputError
from mpbuild.effects.files.atomic import write_new
from mpbuild.effects.files.disk import disk_error, disk_errors
from mpbuild.effects.store.corruption import corrupt
from mpbuild.engine.action import Action, ActionResult, Output

_CHUNK = 1 << 20


class Store:
    """A folder that any number of processes share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with disk_errors(path):
            for name in (
                "blobs/sha256",
                "derived",
                "results",
                "trees",
                "facts",
                "last",
                "referrers",
                "partial",
                "scratch",
            ):
                (path / name).mkdir(parents=True, exist_ok=True)
            # Held until this process ends: deleting requires an exclusive lock.
            self.presence = os.open(path / "lock", os.O_RDONLY | os.O_CREAT, 0o666)
            weakref.finalize(self, os.close, self.presence)
            fcntl.flock(self.presence, fcntl.LOCK_SH)

    # ---- blobs

    def blob(self, digest: Digest) -> Path:
        """The path of the blob, which may not exist."""
        return self.path / "blobs" / "sha256" / digest.hex

    def has(self, digest: Digest) -> bool:
        """Whether the store has the blob itself."""
        return self.blob(digest).is_file()

    def size(self, digest: Digest) -> int:
        """The size of a blob in bytes; raises InputError (content-mismatch) if it is missing."""
        try:
            return self.blob(digest).stat().st_size
        except FileNotFoundError as error:
            raise self._absent(digest) from error

    def read(self, digest: Digest) -> bytes:
        """Reads a small blob and checks its digest."""
        with self.mapped(digest) as data:
            content = bytes(data)
        if Digest.of(content) != digest:
            raise corrupt(digest, where=str(self.blob(digest)))
        return content

    @contextlib.contextmanager
    def mapped(self, digest: Digest) -> Iterator[memoryview]:
        """Opens the bytes of a blob; the view must not outlive the block."""
        yield memoryview(self._bytes(digest))

    def _bytes(self, digest: Digest) -> bytes | mmap.mmap:
        """Maps large blobs only: a mapping holds a descriptor, and a layer has many inputs."""
        try:
            with self.blob(digest).open("rb") as file:
                if os.fstat(file.fileno()).st_size <= _CHUNK:
                    return file.read()
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError as error:
            raise self._absent(digest) from error
        except OSError as error:
            raise disk_error(error, self.path) from error

    def _absent(self, digest: Digest) -> InputError:
        return InputError(
            f"the blob {digest} is not in the store",
            where=str(self.path),
            hint="run `mpbuild fetch`",
            code=Code.CONTENT_MISMATCH,
        )

    def put(self, chunks: Iterable[Buffer]) -> Output:
        """Stores a stream of bytes."""
        import tempfile

        hasher = Hasher()
        with (
            disk_errors(self.path),
            tempfile.NamedTemporaryFile(dir=self.path / "scratch", delete=False) as file,
        ):
            try:
                for chunk in chunks:
                    hasher.write(chunk)
                    file.write(chunk)
                file.flush()
                self._seal(file.fileno())
                Path(file.name).replace(self.blob(hasher.digest))
            finally:
                Path(file.name).unlink(missing_ok=True)
        return Output(hasher.digest, hasher.size)

    def put_bytes(self, data: bytes) -> Digest:
        """Stores some bytes."""
        digest = Digest.of(data)
        if not self.has(digest):
            self.put([data])
        return digest

    def keep(self, path: Path) -> Output:
        """Hashes a file of the store's filesystem and moves it into the store."""
        hasher = Hasher()
        with disk_errors(path), path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                hasher.write(chunk)
            self._seal(file.fileno())
            path.replace(self.blob(hasher.digest))
        return Output(hasher.digest, hasher.size)

    def adopt(self, path: Path, digest: Digest) -> None:
        """Moves a file into the store whose digest was checked while it was written."""
        with disk_errors(path), path.open("rb") as file:
            self._seal(file.fileno())
            path.replace(self.blob(digest))

    # ---- results and derivations

    def find(self, key: Digest) -> ActionResult | None:
        """The result under ``key``, unless it is malformed or an output is not available."""
        data = self._load("results", key)
        if data is None:
            return None
        try:
            result = typed(canonical.decode(data), ActionResult)
        except InputError:
            return None
        return result if all(map(self._obtainable, result.outputs.values())) else None

    def _obtainable(self, output: Output) -> bool:
        """Whether the blob exists or, for a layer, can be derived by both of its digests."""
        if output.diff_id is None:
            return self.has(output.digest)
        return all(self.derivation(digest) for digest in (output.digest, output.diff_id))

    def remember(self, action: Action, result: ActionResult) -> None:
        """Stores a result by the action's key, and the action by the digests of its layers."""
        for output in result.outputs.values():
            if output.diff_id is not None:
                document = canonical.encode(plain(action))
                self._save("derived", output.digest, document)
                self._save("derived", output.diff_id, document)
        self._save("results", action.key, canonical.encode(plain(result)))

    def derivation(self, digest: Digest) -> Action | None:
        """The action that derives the layer with this digest or diff_id."""
        data = self._load("derived", digest)
        try:
            return typed(canonical.decode(data), Action) if data is not None else None
        except InputError:
            return None

    # ---- facts

    def fact(self, key: Digest) -> bytes | None:
        """The fact under ``key``; None if there is none or it cannot be read."""
        return self._load("facts", key)

    def keep_fact(self, key: Digest, data: bytes) -> None:
        """Stores a fact that depends on the key alone."""
        self._save("facts", key, data)

    # ---- referrers

    def refer(self, subject: Digest, manifest: Digest) -> None:
        """Records that the manifest, a blob of this store, has that subject."""
        folder = self.path / "referrers" / subject.hex
        try:
            folder.mkdir(exist_ok=True)
            (folder / manifest.hex).touch()
        except OSError as error:
            raise disk_error(error, folder) from error

    def unrefer(self, subject: Digest, manifest: Digest) -> None:
        """Removes the record that the manifest has that subject."""
        path = self.path / "referrers" / subject.hex / manifest.hex
        with disk_errors(path):
            path.unlink(missing_ok=True)

    def referrers(self, subject: Digest) -> list[Digest]:
        """The manifests that are recorded for a subject."""
        folder = self.path / "referrers" / subject.hex
        if not folder.is_dir():
            return []
        return [Digest.from_hex(path.name) for path in sorted(folder.iterdir())]

    # ---- trees

    def tree(self, diff_id: Digest) -> Path:
        """The path of the unpacked layer, which may not exist."""
        return self.path / "trees" / diff_id.hex

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """Opens a fresh private folder on this filesystem, which is removed after use."""
        with disk_errors(self.path):
            import tempfile

            folder = Path(tempfile.mkdtemp(dir=self.path / "scratch"))
            try:
                yield folder
            finally:
                remove_tree(folder)

    @contextlib.contextmanager
    def lock(self, digest: Digest) -> Iterator[None]:
        """Locks a name against other processes; its empty file stays."""
        path = self.path / "scratch" / f"{digest.hex}.lock"
        with contextlib.ExitStack() as stack:
            with disk_errors(path):
                file = stack.enter_context(path.open("w"))
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    # ---- files

    def _load(self, kind: str, name: Digest) -> bytes | None:
        """Reads a file; an unreadable one counts as missing, because it can be made again."""
        try:
            return (self.path / kind / name.hex).read_bytes()
        except OSError:
            return None

    def _save(self, kind: str, name: Digest, data: bytes) -> None:
        final = self.path / kind / name.hex
        with disk_errors(final):
            write_new(self.path / "scratch", final, data)

    @staticmethod
    def _seal(descriptor: int) -> None:
        """Makes a file read-only, dates it 1980 and syncs it to disk before it gets its name.

        Steps see blobs by hard links, so mode and time must be the same for all.
        """
        os.fchmod(descriptor, 0o444)
        os.utime(descriptor, (epoch.SECONDS, epoch.SECONDS))
        os.fsync(descriptor)


def remove_tree(path: Path) -> None:
    """Removes a folder, even if its subfolders are neither readable nor writable."""
    for folder, names, _ in os.walk(path):
        for name in names:
            inner = Path(folder, name)
            # Before the walk enters it; a link's target may be elsewhere.
            if not inner.is_symlink():
                with contextlib.suppress(OSError):
                    inner.chmod(0o700)
    import shutil

    shutil.rmtree(path, ignore_errors=True)
