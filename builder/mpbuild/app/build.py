"""Building: from a target to its package, its record and, on request, a complete layout."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import mpbuild
from mpbuild.app import memo
from mpbuild.app.derivation import Derivation
from mpbuild.app.fetch import Watcher, fetch_locks
from mpbuild.app.locks import LockSet, read_locks
from mpbuild.app.options import Options
from mpbuild.app.plan import Plan, plan, read_sources
from mpbuild.app.steps import host_steps, sandboxed_steps
from mpbuild.app.targets import MODEL_FILE, WORKSPACE_FILE
from mpbuild.app.workspace import OpenWorkspace, Target
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.base.label import Label
from mpbuild.derive import image as derive_image
from mpbuild.derive.elf_needs import read_needs, unmet
from mpbuild.derive.layer import Layer
from mpbuild.effects import git, state
from mpbuild.effects.clock import SystemClock
from mpbuild.effects.host import processors
from mpbuild.effects.store import Store
from mpbuild.engine.protocols import Executor, Observer
from mpbuild.engine.scheduler import Done, Engine
from mpbuild.formats import gzip
from mpbuild.formats.record import ActionRecord, Record, encode


class Audience(Observer, Watcher, Protocol):
    """Told what runs and what is fetched."""


def build(
    workspace: OpenWorkspace, label: Label, store: Store, options: Options, audience: Audience
) -> dict[str, Any]:
    """Build one target; the entry for ``targets[]`` of the command's result."""
    gzip.prove()
    clock = SystemClock()
    started = clock.now()
    target = workspace.target(label)
    accelerators = _accelerators(target, options)
    locks = read_locks(target)
    declared = read_sources(target, _also_read(target, locks))
    fetch_locks(target, locks, store, audience, offline=options.offline)
    made = plan(target, accelerators, locks.locks, locks.files, declared, store)
    engine = Engine(
        _executors(store, options), store, clock, audience, options.jobs or processors()
    )
    done = engine.run(made.graph)
    images = [_image(target, accelerator, made, done, store) for accelerator in accelerators]
    package = derive_image.package(target.model, images)
    kept = _keep_documents(store, images, package)
    record = _record(target, package, images, made, done, (started, clock.now()))
    path = state.keep_record(encode(record), record.package)
    result = _result(label, package, images, record, path, done)
    outputs = [output for d in done.values() for output in d.result.outputs.values()]
    memo.keep(
        memo.Slot(store.path, workspace.root, label, options),
        declared.scan,
        {*kept, *made.leaves.values(), *(o.digest for o in outputs if not o.diff_id)},
        {o.digest for o in outputs if o.diff_id},
        result,
    )
    return result


def _accelerators(target: Target, options: Options) -> list[Accelerator]:
    declared = target.model.accelerators
    unknown = [a for a in options.accelerators if a not in declared]
    if unknown:
        raise InputError(
            f"{target.label} has no accelerator {unknown[0]}",
            where=target.file,
            hint=f"it has {', '.join(sorted(declared))}",
        )
    return [a for a in Accelerator if a in (options.accelerators or declared)]


def _also_read(target: Target, locks: LockSet) -> Iterator[str]:
    """Files that decide the package beside the declared sources."""
    root = target.workspace.root
    yield WORKSPACE_FILE
    yield f"{target.label.path}/{MODEL_FILE}".lstrip("/")
    for path in locks.files.values():
        yield path.relative_to(root).as_posix()


def _executors(store: Store, options: Options) -> dict[str, Executor]:
    derivation = Derivation(store)
    steps = sandboxed_steps if options.sandbox == "bwrap" else host_steps
    return {"derive": derivation, "sandbox": steps(store, derivation)}


def _image(
    target: Target,
    accelerator: Accelerator,
    made: Plan,
    done: Mapping[str, Done],
    store: Store,
) -> derive_image.Image:
    """The image of the layers' results, once every ELF need in them is met."""
    layers, needs = [], []
    for layer, task in made.images[accelerator]:
        outputs = done[task].result.outputs
        fact, needed = outputs["layer"], outputs["needs"]
        assert fact.diff_id is not None, "a layer has one"
        layers.append((layer, Layer(fact.digest, fact.size, fact.diff_id)))
        needs.append(read_needs(store.read(needed.digest)))
    findings = unmet(needs)
    if findings:
        raise InputError.collect(findings)
    return derive_image.image(target.model, accelerator, layers)


def _keep_documents(
    store: Store, images: Sequence[derive_image.Image], package: derive_image.Package
) -> list[Digest]:
    """Index, manifests and configurations: small, and where every reader starts."""
    documents = [package.index_bytes]
    documents += [data for image in images for data in (image.manifest_bytes, image.config_bytes)]
    return [store.put_bytes(data) for data in documents]


def _record(
    target: Target,
    package: derive_image.Package,
    images: Sequence[derive_image.Image],
    made: Plan,
    done: Mapping[str, Done],
    times: tuple[float, float],
) -> Record:
    actions = tuple(_action_record(done[name]) for name in sorted(done))
    return Record(
        mpbuild=mpbuild.__version__,
        label=target.label,
        package=package.descriptor.digest,
        images={str(image.accelerator): image.descriptor.digest for image in images},
        partial=package.partial,
        source=git.source(target.workspace.root),
        hermetic=all(action.sandboxed for action in actions),
        leaves=made.leaves,
        inputs={
            name: digest
            for d in done.values()
            if d.action.rule in ("wheel-layer", "deb-layer")
            for name, digest in d.action.inputs.items()
        },
        actions=actions,
        started=times[0],
        finished=times[1],
    )


def _action_record(done: Done) -> ActionRecord:
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


def _result(
    label: Label,
    package: derive_image.Package,
    images: Sequence[derive_image.Image],
    record: Record,
    path: Path,
    done: Mapping[str, Done],
) -> dict[str, Any]:
    run = sum(1 for d in done.values() if not d.cached)
    return {
        "label": str(label),
        "package": {
            "digest": str(package.descriptor.digest),
            "size": len(package.index_bytes) + sum(image.size for image in images),
            "partial": package.partial,
        },
        "images": [
            {
                "accelerator": str(image.accelerator),
                "digest": str(image.descriptor.digest),
                "size": image.size,
            }
            for image in images
        ],
        "hermetic": record.hermetic,
        "record": str(path),
        "actions": {"total": len(done), "run": run, "cached": len(done) - run},
        "seconds": round(record.finished - record.started, 3),
    }
