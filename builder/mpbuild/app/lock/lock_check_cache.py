"""Checks locks and caches good results: unchanged texts are not parsed again.

A hit means that this mpbuild found no fault with exactly these bytes of mpbuild.toml, model.toml
and each lock. Then nothing is parsed or imported. Failures are never cached.

The cache is in the user's state folder instead of the store: a user who can write to a shared
store, or fill it from a CI cache, could hide drift. Only checks use it; builds and signatures read
the locks.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from mpbuild.app.workspace.targets import MODEL_FILE, WORKSPACE_FILE
from mpbuild.base.digest import Digest
from mpbuild.base.errors import DECODING_ERRORS, Finding, MpbuildError
from mpbuild.base.label import Label
from mpbuild.effects.files import user_state
from mpbuild.effects.workspace import sources

SCHEMA = "mpbuild.checked/1"


class LockCheckKey(NamedTuple):
    """The target of the locks, and the identity of the mpbuild that checks them."""

    root: Path
    label: Label
    mpbuild: str

    @property
    def subject(self) -> Digest:
        """The key of the cache entry."""
        return Digest.of(os.fsencode(f"{self.root}\0{self.label}"))

    @property
    def specs(self) -> tuple[str, str]:
        """The files that locks must match, by paths relative to the root."""
        return WORKSPACE_FILE, f"{self.label.path}/{MODEL_FILE}".lstrip("/")


def check(key: LockCheckKey) -> list[Finding]:
    """Returns findings about the locks of a target; none means that they are good."""
    return [] if remembered(key) else _check(key)


def remembered(key: LockCheckKey) -> bool:
    """Whether the locks were good and nothing relevant has changed since."""
    with contextlib.suppress(*DECODING_ERRORS, MpbuildError):
        memory = json.loads(user_state.check_of(key.subject))
        files = memory["files"]
        return bool(
            memory["schema"] == SCHEMA
            and memory["mpbuild"] == key.mpbuild
            and files.keys() >= set(key.specs)
            and _digests(key.root, files) == files
        )
    return False


def _check(key: LockCheckKey) -> list[Finding]:
    """Checks the locks; caches the digests of what was read if they are good."""
    from mpbuild.app.lock import lock_files
    from mpbuild.app.workspace.workspace import OpenWorkspace
    from mpbuild.effects.workspace.snapshot import Snapshot

    snapshot = Snapshot(key.root)
    target = OpenWorkspace(key.root, snapshot).target(key.label)
    findings = lock_files.check(target)
    if not findings:
        _remember(key, {path: version.digest for path, version in snapshot.versions.items()})
    return findings


def _digests(root: Path, paths: Iterable[str]) -> dict[str, str]:
    return {path: _digest(root, path) for path in paths}


def _digest(root: Path, path: str) -> str:
    """The digest of a file; empty if it cannot be read, or is not a regular file."""
    if not (root / path).is_file():
        return ""
    try:
        return sources.digest(root, path)
    except MpbuildError:
        return ""


def _remember(key: LockCheckKey, files: Mapping[str, str]) -> None:
    """Writes the cache entry; without it, the next check works again."""
    memory = {
        "schema": SCHEMA,
        "mpbuild": key.mpbuild,
        "files": dict(files),
    }
    with contextlib.suppress(MpbuildError):
        user_state.keep_check(json.dumps(memory, sort_keys=True).encode(), key.subject)
