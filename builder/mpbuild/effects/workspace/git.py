"""Reads the state of the git repository that holds a workspace."""

import os
import subprocess
from pathlib import Path

from mpbuild.formats.evidence.record import RepositoryState


def repository_state(root: Path) -> RepositoryState:
    """The commit, and whether the workspace differs from it; no commit outside of a repository.

    Without git, or where it refuses (another user's repository), the state is unknown: dirty.
    """
    commit = _git(root, "rev-parse", "--verify", "HEAD")
    status = _git(root, "status", "--porcelain", "--untracked-files=normal", "--", ".")
    return RepositoryState(
        commit.strip() if commit else None, status is None or bool(status.strip())
    )


def _git(root: Path, *words: str) -> str | None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            # The repository's own configuration may name a program here, which must not run.
            ["git", "-c", "core.fsmonitor=false", "-C", str(root), *words],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
