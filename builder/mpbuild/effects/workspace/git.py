"""The state of the repository a workspace is in."""

import os
import subprocess
from pathlib import Path

from mpbuild.formats.evidence.record import RepositoryState


def repository_state(root: Path) -> RepositoryState:
    """The commit, and whether anything differs from it; no commit outside of a repository.

    Where git is missing or refuses (a repository of another user), nothing is known: dirty.
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
            # A repository's own configuration may name a program to run: not this one.
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
