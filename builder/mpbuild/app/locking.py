"""``mpbuild lock``, whole: what it does for each target, and in which order."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mpbuild.app import locks
from mpbuild.app.lock import Locker, Upgrade, keep
from mpbuild.app.workspace import OpenWorkspace
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.errors import Finding, InputError
from mpbuild.base.label import Label

if TYPE_CHECKING:
    from mpbuild.effects.store import Store


class Done(msgspec.Struct, frozen=True):
    """What locking a target did: ``locks[]`` and ``weights[]`` of the result, and findings."""

    locks: list[dict[str, Any]] = []
    weights: list[dict[str, Any]] = []
    findings: list[Finding] = []


class Locking:
    """One run of the command. ``store`` opens the store where it is needed."""

    def __init__(
        self,
        workspace: OpenWorkspace,
        store: "Callable[[], Store]",
        accelerators: Sequence[Accelerator],
        progress: Callable[[str], None],
    ) -> None:
        self._workspace = workspace
        self._store = store
        self._accelerators = accelerators
        self._progress = progress
        self._locker = Locker()

    def lock(self, label: Label, upgrade: Upgrade, *, audit: bool) -> Done:
        """Resolve a target, look into its wheels where that is asked for, and write its locks.

        Where the audit finds an error nothing is written.
        """
        self._progress(f"  locking {label}")
        target = self._workspace.target(label)
        resolved = self._locker.resolve(target, upgrade)
        return Done(locks=keep(target, resolved, self._accelerators))

    def check(self, found: Sequence[Label], level: str | None, *, audit: bool) -> list[Finding]:
        """What is wrong with the locks of targets: offline, then as far as ``level`` says."""
        return [finding for label in found for finding in self._check(label, level, audit=audit)]

    def _check(self, label: Label, level: str | None, *, audit: bool) -> list[Finding]:
        target = self._workspace.target(label)
        findings = locks.check(target, self._accelerators)
        if findings:
            return findings
        if level == "resolve":
            self._progress(f"  resolving {label} again")
            try:
                findings += self._locker.drift(target, self._accelerators)
            except InputError as error:
                findings += error.findings
        return findings
