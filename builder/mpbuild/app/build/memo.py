"""The no-op memo: the files that the last build of a target read, and its result.

The memo is valid if every file that the build read and every pattern that it expanded is
unchanged, under the same options and the same mpbuild. Then the package is the same, and mpbuild
parses, loads and runs nothing. For that reason this module imports little.
"""

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from mpbuild.app.build.build_result import BuildResult, decode_result
from mpbuild.app.build.options import BuildOptions
from mpbuild.base.digest import Digest
from mpbuild.base.errors import DECODING_ERRORS, MpbuildError
from mpbuild.base.label import Label
from mpbuild.effects.workspace import sources
from mpbuild.effects.workspace.snapshot import Snapshot

SCHEMA = "mpbuild.memo/2"


class MemoKey(NamedTuple):
    """The target, and the conditions besides its files.

    ``mpbuild`` is the identity of the installation, taken before the build reads any file of it.
    """

    store: Path
    root: Path
    label: Label
    options: BuildOptions
    mpbuild: str

    @property
    def path(self) -> Path:
        """The file of the memo."""
        return self.store / "last" / Digest.of(os.fsencode(f"{self.root}\0{self.label}")).hex

    @property
    def conditions(self) -> dict[str, Any]:
        """The conditions besides the files, as JSON data."""
        return {"schema": SCHEMA, "mpbuild": self.mpbuild, "options": self.options.conditions}


def find(key: MemoKey, snapshot: Snapshot, *, any_options: bool = False) -> BuildResult | None:
    """Returns the result of the last build if a build now would have the same result.

    Reads through ``snapshot``, so that a build does not read the same files again. With
    ``any_options``, the options of the last build are used instead of those of ``key``.
    """
    snapshot = snapshot.branch()
    with contextlib.suppress(*DECODING_ERRORS, OSError, MpbuildError):
        memo = json.loads(key.path.read_bytes())
        conditions = key.conditions
        if any_options:
            conditions["options"] = memo["options"]
        if _holds(key, memo, conditions, snapshot):
            return decode_result(memo["result"]).unchanged
    return None


def keep(
    key: MemoKey,
    snapshot: Snapshot,
    blobs: Iterable[Digest],
    layers: Iterable[Digest],
    result: BuildResult,
) -> None:
    """Writes the memo of a build; without it, the next build repeats the work.

    The memo is valid as long as ``blobs`` and the derivations of ``layers`` are in the store.
    """
    from mpbuild.base.conversion import plain
    from mpbuild.effects.files.atomic import write_new

    document = key.conditions | {
        "at": snapshot.at,
        "patterns": dict(snapshot.patterns),
        "files": {p: [*version.stat, version.digest] for p, version in snapshot.versions.items()},
        "documents": sorted(snapshot.documents),
        "blobs": sorted(digest.hex for digest in blobs),
        "layers": sorted(digest.hex for digest in layers),
        "result": plain(result),
    }
    with contextlib.suppress(OSError):
        write_new(key.store / "scratch", key.path, json.dumps(document, sort_keys=True).encode())


def _holds(
    key: MemoKey, memo: dict[str, Any], conditions: dict[str, Any], snapshot: Snapshot
) -> bool:
    documents = frozenset(memo["documents"])
    return (
        all(memo[name] == value for name, value in conditions.items())
        and all(_same_matches(snapshot, *item) for item in memo["patterns"].items())
        and all(
            _unchanged(snapshot, path, known, memo["at"], document=path in documents)
            for path, known in memo["files"].items()
        )
        and _holds_files(f"{key.store}/blobs/sha256", memo["blobs"])
        and _holds_files(f"{key.store}/derived", memo["layers"])
    )


def _holds_files(folder: str, names: list[str]) -> bool:
    """Whether ``folder`` has every file; making Path objects would take longer than the check."""
    return all(os.path.isfile(f"{folder}/{name}") for name in names)  # noqa: PTH113


def _same_matches(snapshot: Snapshot, pattern: str, found: list[str]) -> bool:
    folder, _, text = pattern.partition(":")
    return snapshot.match(folder, text) == found


def _unchanged(
    snapshot: Snapshot, path: str, known: list[Any], at_ns: int, *, document: bool
) -> bool:
    """Compares the stat, or else the bytes, which are read as the build would read them."""
    *numbers, digest = known
    before, now = sources.FileStat(*numbers), snapshot.look(path)
    if before == now and now.settled(at_ns):
        return True
    if document:
        snapshot.document(path)
    version = snapshot.file(path)
    return before.executable == version.stat.executable and version.digest == digest
