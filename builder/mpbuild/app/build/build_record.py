"""Makes the record of a build: its actions, their inputs and times, and cache hits."""

from collections.abc import Iterable, Iterator

import mpbuild
from mpbuild.app.build.blueprint import Blueprint
from mpbuild.app.build.build_run import BuildRun
from mpbuild.base.label import Label
from mpbuild.derive.environment_locks import fetched_weights
from mpbuild.engine.scheduler import TaskOutcome
from mpbuild.formats.evidence.record import (
    ActionRecord,
    Record,
    RecordedInput,
    RepositoryState,
)


def build_record(
    label: Label,
    repository: RepositoryState,
    blueprint: Blueprint,
    run: BuildRun,
    times: tuple[float, float],
) -> Record:
    """Makes the record of a build; ``times`` are its start and end in seconds since the epoch."""
    assembly = run.assembly
    actions = tuple(_action_record(run.done[name]) for name in sorted(run.done))
    return Record(
        mpbuild=mpbuild.__version__,
        label=label,
        package=assembly.package.descriptor.digest,
        images={str(one.accelerator): one.descriptor.digest for one in assembly.images},
        pex={str(one.accelerator): one.descriptor.digest for one in assembly.pexes},
        model=assembly.model.descriptor.digest,
        partial=assembly.package.partial,
        source=repository,
        hermetic=all(action.sandboxed for action in actions),
        leaves={f"{leaf.kind}:{leaf.name}": digest for leaf, digest in blueprint.leaves.items()},
        inputs=tuple(sorted(set(_inputs(blueprint, run.done.values())))),
        actions=actions,
        started=times[0],
        finished=times[1],
    )


def _inputs(blueprint: Blueprint, done: Iterable[TaskOutcome]) -> Iterator[RecordedInput]:
    for one in done:
        kind = {"wheel-layer": "wheel", "deb-layer": "debian"}.get(one.action.rule)
        if kind:
            yield from (RecordedInput(kind, name, d) for name, d in one.action.inputs.items())
    for file in fetched_weights(blueprint.model):
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
