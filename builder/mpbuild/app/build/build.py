"""Builds the package of a target: keeps its blobs in the store, writes the record and the memo."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal, Protocol

from mpbuild.app.build import memo
from mpbuild.app.build.attach_inputs import attach_inputs
from mpbuild.app.build.blueprint import TargetBlueprint, target_blueprint
from mpbuild.app.build.build_record import build_record
from mpbuild.app.build.build_result import (
    ActionCounts,
    BuildResult,
    BuiltChild,
    BuiltModel,
    BuiltPackage,
)
from mpbuild.app.build.build_run import BuildRun, carry_out
from mpbuild.app.build.memo import MemoKey
from mpbuild.app.build.options import BuildOptions
from mpbuild.app.build.toolchain import read_toolchain
from mpbuild.app.build.wheel_collisions import new_collisions
from mpbuild.app.fetch.fetch import DownloadObserver, fetch, wanted_environments
from mpbuild.app.lock.lock_files import LockEnvironment, LockSet, read_locks
from mpbuild.app.workspace.workspace import OpenWorkspace, Target
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.errors import InputError
from mpbuild.base.label import Label
from mpbuild.derive.image import DerivedImage
from mpbuild.derive.pex import DerivedPex
from mpbuild.effects.clock import SystemClock
from mpbuild.effects.files import user_state
from mpbuild.effects.installation import Installation, find_installation
from mpbuild.effects.store.store import Store
from mpbuild.effects.workspace.documents import read_document
from mpbuild.effects.workspace.repository import ReadFile, repository_state
from mpbuild.effects.workspace.snapshot import Snapshot
from mpbuild.engine.protocols import TaskObserver
from mpbuild.formats.archive import gzip
from mpbuild.formats.evidence.record import Record, encode

Stage = Literal["spec", "locks", "sources", "inputs", "actions", "package"]


class BuildObserver(TaskObserver, DownloadObserver, Protocol):
    """Watches the stages of a build, its downloads and its actions, from several threads."""

    def reached(self, stage: Stage) -> None:
        """The build has completed ``stage``."""


def build(
    snapshot: Snapshot,
    label: Label,
    store: Store,
    options: BuildOptions,
    observer: BuildObserver,
    installation: Installation | None = None,
) -> BuildResult:
    """Builds the package of one target from ``snapshot`` and writes the memo.

    ``installation`` was found before any of its files was read; by default it is found now.
    Raises InputError, AnswerError where a step fails, and EnvironmentFailureError.
    """
    gzip.prove()
    clock = SystemClock()
    started = clock.now()
    installation = installation or find_installation()
    snapshot = snapshot.branch()
    key = MemoKey(store.path, snapshot.root, label, options, installation.identity)
    target = OpenWorkspace(snapshot.root, snapshot).target(label)
    accelerators = _accelerators(target, options)
    observer.reached("spec")
    locks, toolchain = read_locks(target), read_toolchain(installation.toolchain)
    observer.reached("locks")
    planned = target_blueprint(target, locks, toolchain, _runtime(installation), snapshot)
    blueprint = planned.blueprint
    _keep_leaves(planned, snapshot, store)
    observer.reached("sources")
    wanted = wanted_environments(target, accelerators)
    fetch(target, locks, wanted, toolchain, store, observer, offline=options.offline)
    _refuse_collisions(target, locks, wanted, store)
    observer.reached("inputs")
    run = carry_out(blueprint, accelerators, store, store, options, observer)
    observer.reached("actions")
    kept = [store.put_bytes(data) for data in run.assembly.blobs]
    kept += attach_inputs(blueprint, run.plan, run.done, run.assembly, store)
    times = (started, clock.now())
    repository = repository_state(snapshot.root, _files_read(snapshot, store), snapshot.patterns)
    record = build_record(label, repository, blueprint, run, times)
    path = user_state.keep_record(encode(record), record.package)
    result = _result(label, run, record, path)
    observer.reached("package")
    outputs = [output for d in run.done.values() for output in d.result.outputs.values()]
    memo.keep(
        key,
        snapshot,
        {*kept, *blueprint.leaves.values(), *(o.digest for o in outputs if not o.diff_id)},
        {o.digest for o in outputs if o.diff_id},
        result,
    )
    return result


def _files_read(snapshot: Snapshot, store: Store) -> dict[str, ReadFile]:
    return {
        path: ReadFile(
            version.stat.executable, version.stat.size, partial(snapshot.content, path, store)
        )
        for path, version in snapshot.versions.items()
    }


def _accelerators(target: Target, options: BuildOptions) -> list[Accelerator]:
    declared = target.model.accelerators
    unknown = [a for a in options.accelerators if a not in declared]
    if unknown:
        raise InputError(
            f"{target.label} has no accelerator {unknown[0]}",
            where=target.file,
            hint=f"accelerators of this target: {', '.join(sorted(declared))}",
        )
    return [a for a in Accelerator if a in (options.accelerators or declared)]


def _refuse_collisions(
    target: Target, locks: LockSet, wanted: Sequence[LockEnvironment], store: Store
) -> None:
    accepted = target.model.environment.accepted
    findings = [
        finding
        for one in wanted
        for finding in new_collisions(
            locks.locks[one.name], accepted, store, file=one.where(one.python_file)
        )
    ]
    if findings:
        raise InputError.collect(findings)


def _runtime(installation: Installation) -> dict[str, bytes]:
    """Reads the files of mpbuild_runtime, by name."""
    folder = installation.runtime
    return {
        name: read_document(folder, path.name)[0]
        for name, path in installation.runtime_files.items()
    }


def _keep_leaves(planned: TargetBlueprint, snapshot: Snapshot, store: Store) -> None:
    """Puts the leaves of a blueprint, and the files that its steps read, into the store."""
    for path in snapshot.documents:
        snapshot.look(path)
    for blob in planned.blobs:
        store.put_bytes(blob)
    for path in planned.paths:
        snapshot.put(path, store)


def _result(label: Label, run: BuildRun, record: Record, path: Path) -> BuildResult:
    assembly, done = run.assembly, run.done
    package = assembly.package
    ran = sum(1 for d in done.values() if not d.cached)
    return BuildResult(
        label=label,
        package=BuiltPackage(package.descriptor.digest, assembly.size, package.partial),
        images=tuple(map(_child, assembly.images)),
        pex=tuple(map(_child, assembly.pexes)),
        model=BuiltModel(assembly.model.descriptor.digest, assembly.model.size),
        hermetic=record.hermetic,
        record=str(path),
        actions=ActionCounts(len(done), ran, len(done) - ran),
        seconds=round(record.finished - record.started, 3),
    )


def _child(child: DerivedImage | DerivedPex) -> BuiltChild:
    return BuiltChild(child.accelerator, child.descriptor.digest, child.size)
