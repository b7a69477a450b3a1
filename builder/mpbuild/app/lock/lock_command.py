"""The use case of ``mpbuild lock``: pins weights, resolves, audits and writes, target by target."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from mpbuild.app.lock import lock_files
from mpbuild.app.lock.resolve_locks import LockReport, LockResolver, Upgrade, keep
from mpbuild.app.workspace.workspace import OpenWorkspace, Target
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.errors import EnvironmentFailureError, Finding, InputError, MpbuildError
from mpbuild.base.label import Label
from mpbuild.derive.environment_locks import EnvironmentLocks
from mpbuild.effects.http.client import http_client
from mpbuild.effects.python.uv import Uv
from mpbuild.engine.protocols import TaskObserver

if TYPE_CHECKING:
    from mpbuild.app.lock.build_wheels import BuiltWheel
    from mpbuild.app.lock.pin_weights import PinnedWeight
    from mpbuild.effects.store.store import Store


class LockOutcome(msgspec.Struct, frozen=True):
    """The result of locking a target; ``exit_code`` is that of the error that ended it."""

    label: Label
    findings: tuple[Finding, ...]
    locks: tuple[LockReport, ...] = ()
    weights: "tuple[PinnedWeight, ...]" = ()
    built: "tuple[BuiltWheel, ...]" = ()
    exit_code: int = 0

    @property
    def ok(self) -> bool:
        """Whether there is no error."""
        return not failed(self.findings)


def failed(findings: Sequence[Finding]) -> bool:
    """Whether a finding is an error."""
    return any(finding.severity == "error" for finding in findings)


class LockCommand:
    """A run of the command; ``store`` opens the store on demand, ``say`` prints progress."""

    def __init__(
        self,
        workspace: OpenWorkspace,
        store: "Callable[[], Store]",
        accelerators: Sequence[Accelerator],
        observer: TaskObserver,
        say: Callable[[str], None],
    ) -> None:
        self._workspace = workspace
        self._store = store
        self._accelerators = accelerators
        self._observer = observer
        self._say = say
        self._uv = Uv.find(os.environ)
        now = datetime.now(UTC).replace(microsecond=0)
        self._locker = LockResolver(workspace, web=http_client(os.environ), uv=self._uv, now=now)

    def lock_all(
        self, labels: Iterable[Label], upgrade: Upgrade, *, audit: bool
    ) -> list[LockOutcome]:
        """Locks each target; an error of one does not keep others from being locked."""
        done = []
        for label in labels:
            try:
                done.append(self.lock(label, upgrade, audit=audit))
            except MpbuildError as error:
                done.append(LockOutcome(label, error.findings, exit_code=error.exit_code))
                if isinstance(error, EnvironmentFailureError):
                    break
        return done

    def lock(self, label: Label, upgrade: Upgrade, *, audit: bool) -> LockOutcome:
        """Resolves a target, audits its wheels with ``audit``, and writes its locks.

        Writes nothing if the audit finds an error.
        """
        self._observer.started(f"lock:{label}")
        pinned = self._pinned(self._workspace.target(label), upgrade)
        target = self._workspace.target(label)  # Pins were written into its file.
        builder = self._locker.wheel_builder(self._store, self._observer)
        resolved = self._locker.resolve(target, upgrade, builder)
        built = tuple(builder.built) if builder else ()
        findings = [finding for one in built for finding in one.findings]
        if audit:
            findings += self._audit(target, {one.environment.name: one.new for one in resolved})
        locks = [] if failed(findings) else keep(target, resolved, self._accelerators)
        return LockOutcome(label, tuple(findings), tuple(locks), pinned, built)

    def check(self, label: Label, level: str, *, audit: bool) -> list[Finding]:
        """Checks the locks of a target: offline, then further according to ``level``.

        A failed check skips the more expensive ones.
        """
        target = self._workspace.target(label)
        expensive = {"resolve": self._drift, "cross": self._cross}
        checks = [expensive[level]] if level in expensive else []
        checks += [self._audit_written] if audit else []
        findings = lock_files.check(target, self._accelerators)
        for check in checks:
            if not failed(findings):
                findings = [*findings, *check(target)]
        return findings

    def _pinned(self, target: Target, upgrade: Upgrade) -> "tuple[PinnedWeight, ...]":
        """Pins weights that are fetched."""
        if not any(weight.url for weight in target.model.core.weights):
            return ()
        from mpbuild.app.lock import pin_weights
        from mpbuild.effects.registry.client import registry_client

        web, everything = registry_client(os.environ), upgrade.everything
        return tuple(
            pin_weights.pin(target, upgrade=everything, store=self._store, web=web, say=self._say)
        )

    def _drift(self, target: Target) -> list[Finding]:
        from mpbuild.app.lock import pin_weights
        from mpbuild.effects.registry.client import registry_client

        self._observer.started(f"resolve:{target.label}")
        findings = pin_weights.check(target, registry_client(os.environ))
        try:
            return findings + self._locker.drift(target, self._accelerators)
        except InputError as error:
            return [*findings, *error.findings]

    def _cross(self, target: Target) -> list[Finding]:
        from mpbuild.app.lock import cross_check

        self._observer.started(f"cross:{target.label}")
        found = self._concerned(target)
        with self._locker.views(found) as views:
            return cross_check.check(found, views, self._uv)

    def _concerned(self, target: Target) -> list[lock_files.LockEnvironment]:
        return [e for e in lock_files.environments(target) if e.concerns(self._accelerators)]

    def _audit_written(self, target: Target) -> list[Finding]:
        return self._audit(target, {e.name: lock_files.read(e) for e in self._concerned(target)})

    def _audit(self, target: Target, found: Mapping[str, EnvironmentLocks]) -> list[Finding]:
        from mpbuild.app.lock.audit_locks import audit

        self._observer.started(f"audit:{target.label}")
        accelerators = self._accelerators or None
        return list(audit(target, found, store=self._store(), accelerators=accelerators).findings)
