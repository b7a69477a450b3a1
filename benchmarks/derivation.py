"""Deriving layers of wheels, against inflating and hashing the same members and nothing else."""

import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from typing import Self

from figures import Figure, medians

ROUNDS = 5


def derivation_figures(root: Path, target: str, environ: dict[str, str]) -> list[Figure]:
    """Measured in a process of its own, so that memory is that of deriving alone."""
    done = subprocess.run(
        [sys.executable, __file__, str(root), target],
        env=environ,
        check=True,
        capture_output=True,
        text=True,
    )
    share, megabytes = map(float, done.stdout.split())
    return [
        Figure("inflating and hashing, as a share of deriving", share, "", 0.5, at_least=True),
        Figure("memory of deriving beside mapped inputs", megabytes, "MB", 200),
    ]


def _wheels(root: Path, target: str) -> list[tuple[str, Path]]:
    from mpbuild.app.targets import store_path
    from mpbuild.base.digest import Digest
    from mpbuild.effects.store import Store

    store = Store(store_path(None, root))
    wheels = []
    for lock in sorted((root / "lockfiles" / target[2:]).glob("pylock.*.toml")):
        for package in tomllib.loads(lock.read_text())["packages"]:
            (wheel,) = package["wheels"]
            digest = Digest.from_hex(wheel["hashes"]["sha256"])
            wheels.append((Path(wheel["path"]).name, store.blob(digest)))
    return sorted(set(wheels))


def _measure(root: Path, target: str) -> None:
    import hashlib
    import mmap

    from isal.igzip_lib import DECOMP_DEFLATE, IgzipDecompressor

    from mpbuild.derive import layers
    from mpbuild.derive.plan import WHEELS, LayerPlan
    from mpbuild.formats.wheel import read_wheel

    mapped = []
    for name, path in _wheels(root, target):
        with path.open("rb") as file:
            mapped.append((name, memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))))

    def derive() -> None:
        for name, data in mapped:
            plan = LayerPlan(rule=WHEELS, title=name, inputs={}, parameters={"python": "3.11"})
            layers.derive(plan, {name: data})

    entries = [e for name, data in mapped for e in read_wheel(data, name).entries]
    members = [(entry.raw, entry.size) for entry in entries if not entry.stored]

    def limit() -> None:
        plain, compressed = hashlib.sha256(), hashlib.sha256()
        for raw, size in members:
            plain.update(IgzipDecompressor(flag=DECOMP_DEFLATE).decompress(raw, size + 1))
            compressed.update(raw)

    with _AnonymousMemory() as memory:
        derive()
    derived, bound = medians([derive, limit], ROUNDS)
    print(bound / derived, memory.peak_megabytes)


class _AnonymousMemory:
    """The highest RssAnon (proc(5)) above the start's: mapped files don't count."""

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
