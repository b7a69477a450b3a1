"""The no-op memo: what a target's last build looked at, and what it gave.

A hit means that every file the build read (specs, locks, sources, the runtime) and every
pattern it expanded is as it was, under the same options and the same mpbuild; then the package
is the same, and nothing is parsed, loaded or run. The module imports little for that reason.
"""

import contextlib
import importlib.util
import json
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import mpbuild
from mpbuild.app.build.options import BuildOptions
from mpbuild.base.digest import Digest
from mpbuild.base.errors import MpbuildError
from mpbuild.base.label import Label
from mpbuild.effects.files.atomic import write_new
from mpbuild.effects.workspace import sources

SCHEMA = "mpbuild.memo/1"

GARBAGE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What reading something else as a memo of ours may raise."""


class SourceScan(NamedTuple):
    """Files a build reads: what each pattern matched, and every file with its looks and digest.

    Patterns are ``folder:pattern``; paths are from the workspace's root. ``at`` is the time
    (ns) before the first look: what was touched shortly before may be touched again unseen.
    """

    at: int
    patterns: dict[str, list[str]]
    files: dict[str, tuple[sources.FileStat, Digest]]


class MemoKey(NamedTuple):
    """Where one target's memo lies, and under which conditions it answers."""

    store: Path
    root: Path
    label: Label
    options: BuildOptions

    @property
    def path(self) -> Path:
        """The file of the memo."""
        return self.store / "last" / Digest.of(os.fsencode(f"{self.root}\0{self.label}")).hex

    @property
    def conditions(self) -> dict[str, Any]:
        """What must be equal besides the files."""
        return {"schema": SCHEMA, "mpbuild": installation(), "options": self.options.conditions}


def scan(root: Path, folder: str, patterns: Iterable[str], files: Iterable[str]) -> SourceScan:
    """Expand ``patterns`` (written in ``folder``) and look at what they match and at ``files``."""
    at = time.time_ns()
    matched = {p: sources.match(root, folder, p) for p in sorted(set(patterns))}
    paths = {path for found in matched.values() for path in found} | set(files)
    return SourceScan(
        at,
        {f"{folder}:{pattern}": found for pattern, found in matched.items()},
        {p: (sources.look(root, p), sources.digest(root, p)) for p in sorted(paths)},
    )


def find(slot: MemoKey, *, whatever_options: bool = False) -> dict[str, Any] | None:
    """The result of the last build if it would be the result of one now.

    ``whatever_options``: of one with the options that the last build had.
    """
    with contextlib.suppress(*GARBAGE, OSError, MpbuildError):
        memo = json.loads(slot.path.read_bytes())
        conditions = slot.conditions
        if whatever_options:
            conditions["options"] = memo["options"]
        if _holds(slot, memo, conditions):
            result: dict[str, Any] = memo["result"]
            actions = result["actions"]
            return {**result, "actions": {**actions, "run": 0, "cached": actions["total"]}}
    return None


def keep(
    slot: MemoKey,
    scan: SourceScan,
    blobs: Iterable[Digest],
    layers: Iterable[Digest],
    result: Mapping[str, Any],
) -> None:
    """Remember a build; where that can't be written, the next one does its work again.

    It answers as long as ``blobs`` and the ways to derive ``layers`` are in the store.
    """
    document = slot.conditions | {
        "at": scan.at,
        "patterns": scan.patterns,
        "files": {p: [*seen, digest] for p, (seen, digest) in scan.files.items()},
        "blobs": sorted(digest.hex for digest in blobs),
        "layers": sorted(digest.hex for digest in layers),
        "result": dict(result),
    }
    with contextlib.suppress(OSError):
        write_new(slot.store / "scratch", slot.path, json.dumps(document, sort_keys=True).encode())


def installation() -> str:
    """This mpbuild: its version and, as it may be run from a checkout, its files' looks."""
    looks = []
    for module in ("mpbuild", "mpbuild_rules", "mpbuild_runtime"):
        spec = importlib.util.find_spec(module)
        assert spec is not None, "installed together"
        for folder in spec.submodule_search_locations or ():
            for entry in _files(folder):
                seen = entry.stat()
                looks.append(f"{module} {entry.name} {seen.st_size} {seen.st_mtime_ns}")
    return f"{mpbuild.__version__} {Digest.of(chr(10).join(sorted(looks)).encode())}"


def _holds(slot: MemoKey, memo: dict[str, Any], conditions: dict[str, Any]) -> bool:
    return (
        all(memo[key] == value for key, value in conditions.items())
        and all(_unchanged_pattern(slot.root, *item) for item in memo["patterns"].items())
        and all(_unchanged(slot.root, p, f, memo["at"]) for p, f in memo["files"].items())
        and all((slot.store / "blobs/sha256" / hex_).is_file() for hex_ in memo["blobs"])
        and all((slot.store / "derived" / hex_).is_file() for hex_ in memo["layers"])
    )


def _unchanged_pattern(root: Path, pattern: str, found: list[str]) -> bool:
    folder, _, text = pattern.partition(":")
    return sources.match(root, folder, text) == found


def _unchanged(root: Path, path: str, known: list[Any], at_ns: int) -> bool:
    *numbers, digest = known
    before, now = sources.FileStat(*numbers), sources.look(root, path)
    if before == now and now.settled(at_ns):
        return True
    return before.executable == now.executable and sources.digest(root, path) == digest


def _files(folder: str) -> Iterable[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir() and entry.name != "__pycache__":
                yield from _files(entry.path)
            elif entry.is_file():
                yield entry
