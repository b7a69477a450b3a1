"""Building: from a target to its package, its record and, on request, a complete layout."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

import mpbuild
from mpbuild.app.build import blueprint, memo, toolchain
from mpbuild.app.build.blueprint import Blueprint
from mpbuild.app.build.build_graph import PEX, BuildPlan, plan_build
from mpbuild.app.build.executors import host_steps, sandboxed_steps
from mpbuild.app.build.keep_inputs import keep_inputs
from mpbuild.app.build.options import BuildOptions
from mpbuild.app.build.wheel_collisions import new_collisions, without_accepted
from mpbuild.app.fetch.fetch import DownloadObserver, fetch, wanted_environments
from mpbuild.app.lock.lock_files import LockEnvironment, LockSet, read_locks
from mpbuild.app.workspace.targets import MODEL_FILE, WORKSPACE_FILE
from mpbuild.app.workspace.workspace import OpenWorkspace, Target
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.base.label import Label
from mpbuild.derive import image_layers
from mpbuild.derive import pex as derive_pex
from mpbuild.derive.accelerators import never_loaded, supplied_by_host
from mpbuild.derive.elf_needs import read_needs, unmet
from mpbuild.derive.layers.layer import Layer
from mpbuild.derive.layers.layer_plan import LayerPlan
from mpbuild.effects.clock import SystemClock
from mpbuild.effects.files import user_state
from mpbuild.effects.host import processors
from mpbuild.effects.store.store import Store
from mpbuild.effects.workspace import git
from mpbuild.engine.protocols import Executor, Observer, Results
from mpbuild.engine.scheduler import Engine, TaskOutcome
from mpbuild.formats.archive import gzip
from mpbuild.formats.evidence.record import ActionRecord, Record, RecordedInput, encode
from mpbuild.package.assemble import Assembly, BoundLayer, PackageParts, PexStart, assemble
from mpbuild.package.derived_layers import LayerDeriver


class BuildObserver(Observer, DownloadObserver, Protocol):
    """Told what runs and what is fetched."""


class BuildRun(msgspec.Struct, frozen=True, kw_only=True):
    """A blueprint that was carried out: what ran, and what came of it."""

    plan: BuildPlan
    done: Mapping[str, TaskOutcome]
    assembly: Assembly


def build(
    workspace: OpenWorkspace,
    label: Label,
    store: Store,
    options: BuildOptions,
    audience: BuildObserver,
) -> dict[str, Any]:
    """Build one target; the entry for ``targets[]`` of the command's result."""
    gzip.prove()
    clock = SystemClock()
    started = clock.now()
    target = workspace.target(label)
    accelerators = _accelerators(target, options)
    locks = read_locks(target)
    declared = blueprint.read_sources(target, _also_read(target, locks))
    wanted = wanted_environments(target, accelerators)
    fetch(target, locks, wanted, store, audience, offline=options.offline)
    _refuse_collisions(target, locks, wanted, store)
    made = blueprint.of_target(target, locks, toolchain.read(), declared, store)
    run = carry_out(made, accelerators, store, store, options, audience)
    kept = keep(run.assembly, store)
    kept += keep_inputs(made, run.plan, run.done, run.assembly, store)
    record = _record(target, made, run, (started, clock.now()))
    path = user_state.keep_record(encode(record), record.package)
    result = _result(label, run, record, path)
    outputs = [output for d in run.done.values() for output in d.result.outputs.values()]
    memo.keep(
        memo.MemoKey(store.path, workspace.root, label, options),
        declared.scan,
        {*kept, *made.leaves.values(), *(o.digest for o in outputs if not o.diff_id)},
        {o.digest for o in outputs if o.diff_id},
        result,
    )
    return result


def carry_out(
    made: Blueprint,
    accelerators: Sequence[Accelerator],
    store: Store,
    results: Results,
    options: BuildOptions,
    audience: Observer,
) -> BuildRun:
    """Run what ``made`` asks for and put the package together; nothing of it is kept yet.

    What ``results`` know is not run again.
    """
    planned = plan_build(made, accelerators)
    jobs = options.jobs or processors()
    engine = Engine(executors(store, options), results, SystemClock(), audience, jobs)
    done = engine.run(planned.graph)
    outputs = done[PEX].result.outputs
    start = PexStart(
        outputs[derive_pex.BOOTSTRAP_FILE].digest, outputs[derive_pex.MAIN_FILE].digest
    )
    parts = PackageParts(
        model=made.model,
        locks=made.locks,
        documents=made.documents,
        layers={a: _layers(made, a, planned, done, store) for a in accelerators},
        starts=dict.fromkeys(accelerators, start),
    )
    return BuildRun(plan=planned, done=done, assembly=assemble(parts, store))


def keep(assembly: Assembly, store: Store) -> list[Digest]:
    """Index, manifests, configurations and documents: small, and where every reader starts."""
    return [store.put_bytes(data) for data in assembly.blobs]


def _accelerators(target: Target, options: BuildOptions) -> list[Accelerator]:
    declared = target.model.accelerators
    unknown = [a for a in options.accelerators if a not in declared]
    if unknown:
        raise InputError(
            f"{target.label} has no accelerator {unknown[0]}",
            where=target.file,
            hint=f"it has {', '.join(sorted(declared))}",
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


def _also_read(target: Target, locks: LockSet) -> Iterator[str]:
    """Files that decide the package beside the declared sources."""
    root = target.workspace.root
    yield WORKSPACE_FILE
    yield f"{target.label.path}/{MODEL_FILE}".lstrip("/")
    for path in locks.files.values():
        yield path.relative_to(root).as_posix()


def executors(store: Store, options: BuildOptions) -> dict[str, Executor]:
    """Who runs what: derive functions in this process, everything else as ``options`` say."""
    derivation = LayerDeriver(store)
    steps = sandboxed_steps if options.sandbox == "bwrap" else host_steps
    return {"derive": derivation, "sandbox": steps(store, derivation)}


def _layers(
    made: Blueprint,
    accelerator: Accelerator,
    planned: BuildPlan,
    done: Mapping[str, TaskOutcome],
    store: Store,
) -> tuple[BoundLayer, ...]:
    """The layers of an image, once every ELF need in them is met."""
    layers, needs = [], []
    for layer, task in planned.images[accelerator]:
        outputs = done[task].result.outputs
        fact, needed = outputs["layer"], outputs["needs"]
        assert fact.diff_id is not None, "a layer has one"
        layers.append(
            BoundLayer(_bound(layer, done[task]), Layer(fact.digest, fact.size, fact.diff_id))
        )
        needs.append(read_needs(store.read(needed.digest)))
    model = made.model
    supplied = supplied_by_host(model, accelerator)
    findings = without_accepted(
        unmet(needs, supplied, never_loaded(model, accelerator)),
        made.locks[accelerator],
        model.environment.accepted,
        store,
    )
    if findings:
        raise InputError.collect(findings)
    return tuple(layers)


def _bound(layer: LayerPlan, done: TaskOutcome) -> LayerPlan:
    return msgspec.structs.replace(layer, inputs=dict(done.action.inputs))


def _record(target: Target, made: Blueprint, run: BuildRun, times: tuple[float, float]) -> Record:
    assembly = run.assembly
    actions = tuple(_action_record(run.done[name]) for name in sorted(run.done))
    return Record(
        mpbuild=mpbuild.__version__,
        label=target.label,
        package=assembly.package.descriptor.digest,
        images={str(one.accelerator): one.descriptor.digest for one in assembly.images},
        pex={str(one.accelerator): one.descriptor.digest for one in assembly.pexes},
        model=assembly.model.descriptor.digest,
        partial=assembly.package.partial,
        source=git.source(target.workspace.root),
        hermetic=all(action.sandboxed for action in actions),
        leaves={f"{leaf.kind}:{leaf.name}": digest for leaf, digest in made.leaves.items()},
        inputs=tuple(sorted(set(_inputs(made, run.done.values())))),
        actions=actions,
        started=times[0],
        finished=times[1],
    )


def _inputs(made: Blueprint, done: Iterable[TaskOutcome]) -> Iterator[RecordedInput]:
    for one in done:
        kind = {"wheel-layer": "wheel", "deb-layer": "debian"}.get(one.action.rule)
        if kind:
            yield from (RecordedInput(kind, name, d) for name, d in one.action.inputs.items())
    for file in image_layers.fetched_weights(made.model):
        yield RecordedInput(file.kind, file.name, file.digest)


def _action_record(done: TaskOutcome) -> ActionRecord:
    outputs = done.result.outputs
    return ActionRecord(
        name=done.name,
        key=done.key,
        rule=done.action.rule,
        version=done.action.version,
        inputs=done.action.inputs,
        root=done.action.root,
        command=done.action.command,
        outputs={name: output.digest for name, output in outputs.items()},
        diff_id=next((o.diff_id for o in outputs.values() if o.diff_id), None),
        result="cached" if done.cached else "run",
        sandboxed=done.result.sandboxed,
        started=done.started,
        finished=done.finished,
    )


def _result(label: Label, run: BuildRun, record: Record, path: Path) -> dict[str, Any]:
    assembly, done = run.assembly, run.done
    ran = sum(1 for d in done.values() if not d.cached)
    return {
        "label": str(label),
        "package": {
            "digest": str(assembly.package.descriptor.digest),
            "size": assembly.size,
            "partial": assembly.package.partial,
        },
        "images": [
            {
                "accelerator": str(image.accelerator),
                "digest": str(image.descriptor.digest),
                "size": image.size,
            }
            for image in assembly.images
        ],
        "pex": [
            {
                "accelerator": str(pex.accelerator),
                "digest": str(pex.descriptor.digest),
                "size": pex.size,
            }
            for pex in assembly.pexes
        ],
        "model": {"digest": str(assembly.model.descriptor.digest), "size": assembly.model.size},
        "adapters": [],
        "hermetic": record.hermetic,
        "record": str(path),
        "actions": {"total": len(done), "run": ran, "cached": len(done) - ran},
        "seconds": round(record.finished - record.started, 3),
    }
