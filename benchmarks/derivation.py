"""Compares deriving the layers of wheels with only inflating and hashing the same members.

The limit does the unavoidable work: it hashes each wheel, inflates every member once, and hashes
the inflated and the compressed bytes once each, as a layer's diff_id and digest require. It starts
with the parsed directory of the archive, writes no headers and inspects no files.
"""

import base64
import csv
import hashlib
import io
import mmap
import random
import subprocess
import sys
import tempfile
import threading
import tomllib
import zipfile
from pathlib import Path
from typing import Self

from figures import Figure, ratio

ROUNDS = 9
LARGE = 552_000_000


def derivation_figures(root: Path, target: str, environ: dict[str, str]) -> list[Figure]:
    """Measures in a separate process, so that the memory is that of deriving alone."""
    done = subprocess.run(
        [sys.executable, __file__, str(root), target],
        env=environ,
        check=True,
        capture_output=True,
        text=True,
    )
    share, megabytes, large = map(float, done.stdout.split())
    return [
        Figure("inflating and hashing, as a share of deriving", share, "", 0.7, at_least=True),
        Figure("memory for deriving, without mapped inputs", megabytes, "MB", 200),
        Figure("the same for a member of 552 MB", large, "MB", 200),
    ]


def _measure(root: Path, target: str) -> None:
    wheels = [(name, _mapped(path)) for name, path in _wheels(root, target)]
    members = _members(wheels)

    with _AnonymousMemory() as memory:
        _derive(wheels)
    share = ratio(lambda: _limit(wheels, members), lambda: _derive(wheels), ROUNDS)
    with tempfile.TemporaryDirectory() as folder:
        path = _large_wheel(Path(folder))
        large = [(path.name, _mapped(path))]
        with _AnonymousMemory() as memory_of_large:
            _derive(large)
    print(share, memory.peak_megabytes, memory_of_large.peak_megabytes)


def _wheels(root: Path, target: str) -> list[tuple[str, Path]]:
    """Lists the wheels of the cpu image and of the step, each once, with paths in the store."""
    from mpbuild.app.workspace.targets import store_path
    from mpbuild.base.digest import Digest
    from mpbuild.effects.store.store import Store

    store = Store(store_path(None, root))
    wheels = set()
    for name in ("cpu", "train"):
        lock = root / "lockfiles" / target[2:] / f"pylock.{name}.toml"
        for package in tomllib.loads(lock.read_text())["packages"]:
            (wheel,) = package["wheels"]
            digest = Digest.from_hex(wheel["hashes"]["sha256"])
            wheels.add((Path(wheel["path"]).name, store.blob(digest)))
    return sorted(wheels)


def _mapped(path: Path) -> memoryview:
    with path.open("rb") as file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _members(wheels: list[tuple[str, memoryview]]) -> list[tuple[memoryview, int, bool]]:
    from mpbuild.formats.python.wheel import read_wheel

    entries = (entry for name, data in wheels for entry in read_wheel(data, name).entries)
    return [(entry.raw, entry.size, entry.stored) for entry in entries]


def _derive(wheels: list[tuple[str, memoryview]]) -> None:
    from mpbuild.base.digest import Digest
    from mpbuild.derive.layers import derive_layer
    from mpbuild.derive.layers.layer_plan import WHEELS, LayerPlan

    for name, data in wheels:
        Digest.of(data)
        plan = LayerPlan(rule=WHEELS, title=name, inputs={}, parameters={"python": "3.11"})
        derive_layer.derive(plan, {name: data})


def _limit(
    wheels: list[tuple[str, memoryview]], members: list[tuple[memoryview, int, bool]]
) -> None:
    from isal.igzip_lib import DECOMP_DEFLATE, IgzipDecompressor

    from mpbuild.formats.archive.stream import PIECE, ByteSource, expand

    for _, data in wheels:
        hashlib.sha256(data)
    plain, compressed = hashlib.sha256(), hashlib.sha256()
    for raw, size, stored in members:
        inflater = IgzipDecompressor(flag=DECOMP_DEFLATE)
        if stored:
            plain.update(raw)
        elif size < PIECE:
            plain.update(inflater.decompress(raw, size + 1))
        else:
            for piece in expand(inflater, ByteSource([raw])):
                plain.update(piece)
        compressed.update(raw)


def _large_wheel(folder: Path) -> Path:
    """Writes a wheel with one ELF file, for another machine, that compresses to half its size."""
    path = folder / "large-1.0-py3-none-any.whl"
    info = "large-1.0.dist-info"
    texts = {
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: large\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        writer.writerow(("large.so", *_write_large(archive, "large.so")))
        for name, data in texts.items():
            archive.writestr(name, data)
            writer.writerow((name, _recorded(hashlib.sha256(data)), len(data)))
        writer.writerow((f"{info}/RECORD", "", ""))
        archive.writestr(f"{info}/RECORD", rows.getvalue())
    return path


def _write_large(archive: zipfile.ZipFile, name: str) -> tuple[str, int]:
    source, hasher, size = random.Random(0), hashlib.sha256(), 0
    with archive.open(name, "w") as member:
        piece = b"\x7fELF\2\1\1".ljust(18, b"\0") + b"\xb7\0"
        while size < LARGE:
            member.write(piece)
            hasher.update(piece)
            size += len(piece)
            piece = source.randbytes(1 << 19).hex().encode()
    return _recorded(hasher), size


def _recorded(hasher: "hashlib._Hash") -> str:
    return "sha256=" + base64.urlsafe_b64encode(hasher.digest()).rstrip(b"=").decode()


class _AnonymousMemory:
    """Measures the peak growth of RssAnon (proc(5)), which excludes mapped files."""

    def __enter__(self) -> Self:
        self._start = self._now()
        self._peak = self._start
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def peak_megabytes(self) -> float:
        return (self._peak - self._start) / 1000

    def _watch(self) -> None:
        while not self._stop.wait(0.002):
            self._peak = max(self._peak, self._now())

    @staticmethod
    def _now() -> int:
        with Path("/proc/self/status").open() as file:
            return next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))


if __name__ == "__main__":
    _measure(Path(sys.argv[1]), sys.argv[2])
