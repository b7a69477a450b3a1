"""``mpbuild lock``, whole: what it does for each target, and in which order."""

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from mpbuild.app import locks
from mpbuild.app.lock import Locker, Upgrade, keep
from mpbuild.app.workspace import OpenWorkspace, Target
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.errors import Finding, InputError
from mpbuild.base.label import Label
from mpbuild.derive.recipe import Locks
from mpbuild.effects.uv import Uv
from mpbuild.effects.web import Web
from mpbuild.engine.protocols import Observer

if TYPE_CHECKING:
    from mpbuild.effects.store import Store


class Done(msgspec.Struct, frozen=True):
    """What locking a target did: ``locks[]`` and ``weights[]`` of the result, and findings."""

    locks: list[dict[str, Any]]
    weights: list[dict[str, Any]]
    findings: list[Finding]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return all(finding.severity != "error" for finding in self.findings)


class Locking:
    """One run of the command. ``store`` opens the store where it is needed."""

    def __init__(
        self,
        workspace: OpenWorkspace,
        store: "Callable[[], Store]",
        accelerators: Sequence[Accelerator],
        observer: Observer,
    ) -> None:
        self._workspace = workspace
        self._store = store
        self._accelerators = accelerators
        self._observer = observer
        self._uv = Uv.find(os.environ)
        now = datetime.now(UTC).replace(microsecond=0)
        self._locker = Locker(workspace, web=Web(os.environ), uv=self._uv, now=now)

    def lock(self, label: Label, upgrade: Upgrade, *, audit: bool) -> Done:
        """Resolve a target, look into its wheels where that is asked for, and write its locks.

        Where the audit finds an error nothing is written.
        """
        self._observer.started(f"lock:{label}")
        target = self._workspace.target(label)
        workshop = self._locker.workshop(self._store, self._observer)
        resolved = self._locker.resolve(target, upgrade, workshop)
        findings = (
            [finding for built in workshop.built for finding in built.findings] if workshop else []
        )
        if audit:
            findings += self._audit(target, {one.environment.name: one.new for one in resolved})
        done = Done([], [], findings)
        if done.ok:
            done.locks.extend(keep(target, resolved, self._accelerators))
        return done

    def check(self, label: Label, level: str, *, audit: bool) -> list[Finding]:
        """What is wrong with the locks of a target: offline, then as far as ``level`` says.

        Errors of one check keep the dearer ones from being made.
        """
        target = self._workspace.target(label)
        findings = locks.check(target, self._accelerators)
        if not findings and level == "resolve":
            findings = self._drift(target)
        if not findings and level == "cross":
            findings = self._cross(target)
        if not findings and audit:
            findings = self._audit(target, locks.read_locks(target).locks)
        return findings

    def _drift(self, target: Target) -> list[Finding]:
        self._observer.started(f"resolve:{target.label}")
        try:
            return self._locker.drift(target, self._accelerators)
        except InputError as error:
            return list(error.findings)

    def _cross(self, target: Target) -> list[Finding]:
        from mpbuild.app import cross

        self._observer.started(f"cross:{target.label}")
        found = [
            environment
            for environment in locks.environments(target)
            if not self._accelerators or environment.name in self._accelerators
        ]
        with self._locker.views(found) as views:
            return cross.check(found, views, self._uv)

    def _audit(self, target: Target, found: Mapping[str, Locks]) -> list[Finding]:
        from mpbuild.app.audit import audit

        self._observer.started(f"audit:{target.label}")
        accelerators = self._accelerators or None
        return list(audit(target, found, store=self._store(), accelerators=accelerators).findings)
