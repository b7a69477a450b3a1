"""Carries out a blueprint: runs its actions and assembles the package."""

from collections.abc import Mapping, Sequence

import msgspec

from mpbuild.app.build.blueprint import Blueprint
from mpbuild.app.build.build_graph import PEX, BuildPlan, plan_build
from mpbuild.app.build.executors import executors_by_kind
from mpbuild.app.build.options import BuildOptions
from mpbuild.app.build.wheel_collisions import without_accepted
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.errors import InputError
from mpbuild.derive import pex as derive_pex
from mpbuild.derive.accelerators import never_loaded, supplied_by_host
from mpbuild.derive.elf_needs import read_needs, unmet
from mpbuild.derive.layers.layer import Layer
from mpbuild.effects.clock import SystemClock
from mpbuild.effects.host import processors
from mpbuild.effects.store.store import Store
from mpbuild.engine.protocols import ResultCache, TaskObserver
from mpbuild.engine.scheduler import Scheduler, TaskOutcome
from mpbuild.package.assemble import Assembly, BoundLayer, PackageParts, PexStart, assemble


class BuildRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a blueprint: the plan, the outcomes of its tasks, and the package."""

    plan: BuildPlan
    done: Mapping[str, TaskOutcome]
    assembly: Assembly


def carry_out(
    blueprint: Blueprint,
    accelerators: Sequence[Accelerator],
    store: Store,
    results: ResultCache,
    options: BuildOptions,
    observer: TaskObserver,
) -> BuildRun:
    """Runs the actions of a blueprint that are not in ``results``, and assembles the package.

    The package's own blobs are not in the store yet.
    """
    planned = plan_build(blueprint, accelerators)
    jobs = options.jobs or processors()
    engine = Scheduler(executors_by_kind(store, options), results, SystemClock(), observer, jobs)
    done = engine.run(planned.graph)
    outputs = done[PEX].result.outputs
    start = PexStart(
        outputs[derive_pex.BOOTSTRAP_FILE].digest, outputs[derive_pex.MAIN_FILE].digest
    )
    parts = PackageParts(
        model=blueprint.model,
        locks=blueprint.locks,
        documents=blueprint.documents,
        layers={a: _layers(blueprint, a, planned, done, store) for a in accelerators},
        starts=dict.fromkeys(accelerators, start),
    )
    return BuildRun(plan=planned, done=done, assembly=assemble(parts, store))


def _layers(
    blueprint: Blueprint,
    accelerator: Accelerator,
    planned: BuildPlan,
    done: Mapping[str, TaskOutcome],
    store: Store,
) -> tuple[BoundLayer, ...]:
    """The layers of an image; raises InputError (elf-unmet) where one needs a missing library."""
    layers, needs = [], []
    for layer, task in planned.images[accelerator]:
        outputs = done[task].result.outputs
        fact, needed = outputs["layer"], outputs["needs"]
        assert fact.diff_id is not None, "a layer has one"
        derived = Layer(fact.digest, fact.size, fact.diff_id)
        layers.append(BoundLayer(layer, done[task].action.inputs, derived))
        needs.append(read_needs(store.read(needed.digest)))
    model = blueprint.model
    supplied = supplied_by_host(model, accelerator)
    findings = without_accepted(
        unmet(needs, supplied, never_loaded(model, accelerator)),
        blueprint.locks[accelerator],
        model.environment.accepted,
        store,
    )
    if findings:
        raise InputError.collect(findings)
    return tuple(layers)
