"""Checking locks, with a memory of what was good: texts that have not changed are not read again.

A hit means that this mpbuild found nothing wrong with exactly these bytes of mpbuild.toml, of the
model.toml and of each lock; then nothing is parsed or loaded. What failed is never remembered. The
module imports little for that reason.

The memory is in the user's own state folder and not in the store: whoever can write a shared
store, or plant one through a cache of CI, could answer there for locks that have drifted. It
speaks to who asks for a check, and to nobody else: builds and signatures read the locks.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from mpbuild.app.build.memo import GARBAGE
from mpbuild.app.workspace.targets import MODEL_FILE, WORKSPACE_FILE
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, MpbuildError
from mpbuild.base.label import Label
from mpbuild.effects.files import user_state
from mpbuild.effects.installation import find_installation
from mpbuild.effects.workspace import sources
from mpbuild.effects.workspace.snapshot import Snapshot

SCHEMA = "mpbuild.checked/1"


class LockCheckKey(NamedTuple):
    """The target whose locks are meant."""

    root: Path
    label: Label

    @property
    def subject(self) -> Digest:
        """What the memory is filed under."""
        return Digest.of(os.fsencode(f"{self.root}\0{self.label}"))

    @property
    def specs(self) -> tuple[str, str]:
        """The files that say what the locks must answer to: paths from the root."""
        return WORKSPACE_FILE, f"{self.label.path}/{MODEL_FILE}".lstrip("/")


def check(root: Path, label: Label) -> list[Finding]:
    """What ``locks.check`` finds wrong with the locks of a target; nothing means they are good."""
    slot = LockCheckKey(root, label)
    return [] if remembered(slot) else _check(slot)


def remembered(slot: LockCheckKey) -> bool:
    """Whether the locks were found good and nothing that decides it has changed since."""
    with contextlib.suppress(*GARBAGE, MpbuildError):
        memory = json.loads(user_state.check_of(slot.subject))
        files = memory["files"]
        return bool(
            memory["schema"] == SCHEMA
            and memory["mpbuild"] == find_installation().identity
            and files.keys() >= set(slot.specs)
            and _digests(slot.root, files) == files
        )
    return False


def _check(slot: LockCheckKey) -> list[Finding]:
    """Checks, and remembers the digests of exactly what was read and found good."""
    from mpbuild.app.lock import lock_files
    from mpbuild.app.workspace.workspace import OpenWorkspace

    snapshot = Snapshot(slot.root)
    target = OpenWorkspace(slot.root, snapshot).target(slot.label)
    findings = lock_files.check(target)
    if not findings:
        _remember(slot, {path: version.digest for path, version in snapshot.versions.items()})
    return findings


def _digests(root: Path, paths: Iterable[str]) -> dict[str, str]:
    return {path: _digest(root, path) for path in paths}


def _digest(root: Path, path: str) -> str:
    """The digest of a file; empty where it can't be read, or is none to be read to its end."""
    if not (root / path).is_file():
        return ""
    try:
        return sources.digest(root, path)
    except MpbuildError:
        return ""


def _remember(slot: LockCheckKey, files: Mapping[str, str]) -> None:
    """Where that can't be written, the next check does its work again."""
    memory = {
        "schema": SCHEMA,
        "mpbuild": find_installation().identity,
        "files": dict(files),
    }
    with contextlib.suppress(MpbuildError):
        user_state.keep_check(json.dumps(memory, sort_keys=True).encode(), slot.subject)
