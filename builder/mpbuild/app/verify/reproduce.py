"""Reproduces a package: derives it again and, on request, runs its actions again."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from mpbuild.app.build.blueprint import Blueprint
from mpbuild.app.build.build_graph import PEX, plan_build
from mpbuild.app.build.executors import executors_by_kind
from mpbuild.app.build.options import BuildOptions
from mpbuild.app.fetch.input_supplier import InputSupplier
from mpbuild.app.verify.rederive import Difference, Recomputation, rederive
from mpbuild.app.verify.verify import read_images
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, Finding, InputError
from mpbuild.derive import pex as derive_pex
from mpbuild.derive.environment_locks import built_environments
from mpbuild.derive.image_leaves import weight_path
from mpbuild.derive.inputs_artifact import STEPS
from mpbuild.derive.layers.layer_plan import BYTECODE_FILE
from mpbuild.effects.clock import SystemClock
from mpbuild.effects.host import processors
from mpbuild.effects.store.store import Store
from mpbuild.engine.action import Action, ActionResult
from mpbuild.engine.graph import Graph
from mpbuild.engine.protocols import Executor, TaskObserver
from mpbuild.engine.scheduler import Scheduler, TaskOutcome
from mpbuild.package.artifact_contents import (
    ArtifactContents,
    differing_documents,
    read_artifacts,
    unpaired_children,
)
from mpbuild.package.image_contents import ImageContents
from mpbuild.package.location import PackageLocation
from mpbuild.package.package import Package
from mpbuild.package.package_inputs import read_inputs
from mpbuild.spec.model import Model

if TYPE_CHECKING:
    from mpbuild.effects.sandbox.bubblewrap import BwrapCandidate


class Reproduction(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a reproduction.

    ``steps_checked`` outputs were made again and ``steps_matched`` of them are the same.
    ``unchecked`` lists what was not run again, and why.
    """

    digest: Digest
    derived: Recomputation
    steps_checked: int = 0
    steps_matched: int = 0
    differences: tuple[Difference, ...] = ()
    unable: tuple[Finding, ...] = ()
    unchecked: tuple[str, ...] = ()

    @property
    def findings(self) -> list[Finding]:
        """All findings."""
        return [
            *self.unable,
            *self.derived.findings,
            *(difference.finding for difference in self.differences),
        ]


def reproduce(
    location: PackageLocation,
    store: Store,
    options: BuildOptions,
    observer: TaskObserver,
    *,
    rebuild: bool,
    bwrap: "Sequence[BwrapCandidate] | None" = None,
) -> Reproduction:
    """Derives a package again and, with ``rebuild``, reruns the actions that made its leaves.

    ``bwrap`` has the bubblewrap executables to try, by default those of this machine. Raises
    InputError if the package cannot be read.
    """
    package = Package(location)
    findings = location.integrity()
    contents = read_images(package, store, findings)
    if not contents:
        raise InputError.collect(findings or [_empty(package)])
    unpaired = list(unpaired_children(package))
    if unpaired:
        raise InputError.collect(unpaired)
    artifacts = read_artifacts(package, contents[0].model, store)
    findings += differing_documents(contents, artifacts)
    inputs = InputSupplier(store, package.blobs, offline=options.offline)
    derived = rederive(package, contents, artifacts, store, inputs)
    if not rebuild or derived.unable or findings:
        unchecked = ("actions were not rerun: --rebuild reruns them",)
        if rebuild:
            unchecked = ("actions were not rerun, because the package is inconsistent",)
        return Reproduction(
            digest=package.digest,
            derived=derived,
            unable=tuple(findings),
            unchecked=unchecked,
        )
    blueprint, lacking = _blueprint(package, contents, artifacts, store, inputs)
    if lacking:
        raise EnvironmentFailureError.collect(lacking)
    executors = executors_by_kind(store, options, bwrap)
    done = _run(blueprint, contents, store, options, observer, executors)
    expected = list(_expected(contents, artifacts))
    differences = tuple(_differences(expected, done))
    return Reproduction(
        digest=package.digest,
        derived=derived,
        steps_checked=len(expected),
        steps_matched=len(expected) - len(differences),
        differences=differences,
        unable=tuple(findings),
        unchecked=tuple(_unchecked(blueprint.model)),
    )


def _empty(package: Package) -> Finding:
    return Finding(Code.CONTENT_MISSING, "the package has no image", str(package.digest))


def _blueprint(
    package: Package,
    contents: Sequence[ImageContents],
    artifacts: ArtifactContents,
    store: Store,
    inputs: InputSupplier,
) -> tuple[Blueprint, list[Finding]]:
    """Returns the blueprint of the package, and a finding for each input that is not available."""
    model = contents[0].model
    kept = read_inputs(package, store)
    for step in model.steps:
        if step.name not in kept.steps:
            raise InputError(
                f"no entry for the step {step.name}",
                where=f"inputs, {STEPS}",
                code=Code.CONTENT_MISSING,
            )
    names = built_environments(model, [content.accelerator for content in contents])
    lacking = [
        finding
        for locks in (*(artifacts.locks[name] for name in names), kept.toolchain.locks)
        for finding in inputs.bring(locks)
    ]
    files = {path: one for content in contents for path, one in content.files.items()}
    blueprint = Blueprint(
        model=model,
        locks=artifacts.locks,
        toolchain=kept.toolchain,
        sources=contents[0].sources,
        runtime=contents[0].runtime,
        documents=artifacts.documents,
        steps=kept.steps,
        leaves={},
        bind=lambda path, _: files[path].digest,
    )
    return blueprint, lacking


def _run(
    blueprint: Blueprint,
    contents: Sequence[ImageContents],
    store: Store,
    options: BuildOptions,
    observer: TaskObserver,
    executors: Mapping[str, Executor],
) -> Mapping[str, TaskOutcome]:
    """Runs every sandboxed action, and derives the layers it runs in, without any cache."""
    planned = plan_build(blueprint, [content.accelerator for content in contents])
    tasks = planned.graph.tasks
    wanted = [name for name, task in tasks.items() if task.action.executor == "sandbox"]
    needed: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name not in needed:
            needed.add(name)
            wanted += tasks[name].needs
    graph = Graph(tasks[name] for name in sorted(needed))
    jobs = options.jobs or processors()
    engine = Scheduler(executors, _RunCache(store), SystemClock(), observer, jobs)
    return engine.run(graph)


class _RunCache:
    """Caches the results of this run only; also writes them to the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[Digest, ActionResult] = {}

    def find(self, key: Digest) -> ActionResult | None:
        return self._known.get(key)

    def remember(self, action: Action, result: ActionResult) -> None:
        self._known[action.key] = result
        self._store.remember(action, result)


def _expected(
    contents: Sequence[ImageContents], artifacts: ArtifactContents
) -> Iterator[tuple[str, str, Digest]]:
    """Yields each output that must come out again: task, output, digest in the package."""
    model = contents[0].model
    reproducible = {step.name for step in model.steps if step.reproducible}
    for weight in model.core.weights:
        if weight.step in reproducible:
            found = contents[0].files[weight_path(weight)]
            yield f"step:{weight.step}", str(weight.output), found.digest
    for start in sorted(set(artifacts.starts.values())):
        yield PEX, derive_pex.BOOTSTRAP_FILE, start.bootstrap
        yield PEX, derive_pex.MAIN_FILE, start.main
    for content in contents:
        if model.environment.compile_bytecode:
            found = content.files[BYTECODE_FILE]
            yield f"bytecode:{content.accelerator}", BYTECODE_FILE, found.digest


def _differences(
    expected: Sequence[tuple[str, str, Digest]], done: Mapping[str, TaskOutcome]
) -> Iterator[Difference]:
    for task, output, digest in expected:
        made = done[task].result.outputs[output].digest
        if made != digest:
            finding = Finding(
                Code.NOT_REPRODUCED,
                f"the package has {digest}; rebuilt: {made}",
                f"{task}/{output}",
                "the action reads undeclared files, is not deterministic, or did not make the"
                " package",
            )
            yield Difference(finding, str(digest), str(made))


def _unchecked(model: Model) -> Iterator[str]:
    for step in model.steps:
        if not step.reproducible:
            yield f"the step {step.name} is not declared reproducible: its outputs may differ"
