"""Reproducing: what is derived is derived again, and on request what ran is run again."""

from collections.abc import Iterator, Mapping, Sequence

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
from mpbuild.derive import image_layers
from mpbuild.derive import pex as derive_pex
from mpbuild.derive.inputs_artifact import STEPS
from mpbuild.effects.clock import SystemClock
from mpbuild.effects.host import processors
from mpbuild.effects.store.store import Store
from mpbuild.engine.action import Action, Result
from mpbuild.engine.graph import Graph
from mpbuild.engine.protocols import Observer
from mpbuild.engine.scheduler import Engine, TaskOutcome
from mpbuild.package.artifact_contents import ArtifactContents, differing, listed, read_artifacts
from mpbuild.package.image_contents import ImageContents
from mpbuild.package.package import Package, PackageLocation
from mpbuild.package.package_inputs import read_inputs
from mpbuild.spec.model import Model


class Reproduction(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: ``steps`` were ``checked``, ``matched`` of them gave the same bytes.

    ``unchecked`` says what was not run again, and why.
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
        """All that is wrong."""
        return [
            *self.unable,
            *self.derived.findings,
            *(difference.finding for difference in self.differences),
        ]


def reproduce(
    located: PackageLocation,
    store: Store,
    options: BuildOptions,
    audience: Observer,
    *,
    rebuild: bool,
) -> Reproduction:
    """Derive a package again and, with ``rebuild``, run again what made its leaves.

    Raise InputError where the package can't be read at all.
    """
    package = located.open()
    findings = located.sound()
    contents = read_images(package, store, findings)
    if not contents:
        raise InputError.collect(findings or [_empty(package)])
    uneven = list(listed(package))
    if uneven:
        raise InputError.collect(uneven)
    artifacts = read_artifacts(package, contents[0].model, store)
    findings += differing(contents, artifacts)
    inputs = InputSupplier(store, package.place, offline=options.offline)
    derived = rederive(package, contents, artifacts, store, inputs)
    if not rebuild or derived.unable or findings:
        unchecked = ("what ran was not run again: --rebuild does",)
        if rebuild:
            unchecked = ("nothing was run again, since the package doesn't hang together",)
        return Reproduction(
            digest=package.digest,
            derived=derived,
            unable=tuple(findings),
            unchecked=unchecked,
        )
    blueprint, lacking = _blueprint(located, package, contents, artifacts, store, inputs)
    if lacking:
        raise EnvironmentFailureError.collect(lacking)
    done = _run(blueprint, contents, store, options, audience)
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
    return Finding(Code.CONTENT_MISSING, "the package holds no image", str(package.digest))


def _blueprint(
    located: PackageLocation,
    package: Package,
    contents: Sequence[ImageContents],
    artifacts: ArtifactContents,
    store: Store,
    inputs: InputSupplier,
) -> tuple[Blueprint, list[Finding]]:
    """What the package was built from, out of itself; and what of it can't be had."""
    model = contents[0].model
    kept = read_inputs(located.attachments, package, store)
    for step in model.steps:
        if step.name not in kept.steps:
            raise InputError(
                f"it doesn't say what the step {step.name} reads",
                where=f"inputs, {STEPS}",
                code=Code.CONTENT_MISSING,
            )
    names = image_layers.built_environments(model, [content.accelerator for content in contents])
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
    audience: Observer,
) -> Mapping[str, TaskOutcome]:
    """Everything that runs in a sandbox, and the layers it runs in; nothing from a cache."""
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
    engine = Engine(executors_by_kind(store, options), _Fresh(store), SystemClock(), audience, jobs)
    return engine.run(graph)


class _Fresh:
    """Results of this run alone; the store learns of them, but is not asked."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[Digest, Result] = {}

    def find(self, key: Digest) -> Result | None:
        return self._known.get(key)

    def remember(self, action: Action, result: Result) -> None:
        self._known[action.key] = result
        self._store.remember(action, result)


def _expected(
    contents: Sequence[ImageContents], artifacts: ArtifactContents
) -> Iterator[tuple[str, str, Digest]]:
    """What must come out again: task, output, and the digest that the package has of it."""
    model = contents[0].model
    reproducible = {step.name for step in model.steps if step.reproducible}
    for weight in model.core.weights:
        if weight.step in reproducible:
            found = contents[0].files[image_layers.weight_path(weight)]
            yield f"step:{weight.step}", str(weight.output), found.digest
    for start in sorted(set(artifacts.starts.values())):
        yield PEX, derive_pex.BOOTSTRAP_FILE, start.bootstrap
        yield PEX, derive_pex.MAIN_FILE, start.main
    for content in contents:
        if model.environment.compile_bytecode:
            found = content.files[image_layers.BYTECODE_FILE]
            yield f"bytecode:{content.accelerator}", image_layers.BYTECODE_FILE, found.digest


def _differences(
    expected: Sequence[tuple[str, str, Digest]], done: Mapping[str, TaskOutcome]
) -> Iterator[Difference]:
    for task, output, digest in expected:
        made = done[task].result.outputs[output].digest
        if made != digest:
            finding = Finding(
                Code.NOT_REPRODUCED,
                f"it is {digest} in the package, and {made} when it is made again",
                f"{task}/{output}",
                "the action reads something undeclared, is not deterministic, or the package"
                " was not made by it",
            )
            yield Difference(finding, str(digest), str(made))


def _unchecked(model: Model) -> Iterator[str]:
    for step in model.steps:
        if not step.reproducible:
            yield f"the step {step.name} is not declared reproducible: its outputs may differ"
