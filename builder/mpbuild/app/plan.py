"""From a target to a graph: layers by the recipe, steps by the rule, leaves into the store."""

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import entry_points
from importlib.resources import files as resource_files
from pathlib import Path

import msgspec

from mpbuild.app.derivation import layer_task
from mpbuild.app.memo import Scan, scan
from mpbuild.app.workspace import Target
from mpbuild.base import canonical
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.coding import plain
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError, WorldError
from mpbuild.derive import recipe
from mpbuild.derive.plan import LayerPlan, Leaf
from mpbuild.effects import sources
from mpbuild.effects.store import Store
from mpbuild.engine.graph import Graph, Ref, Task
from mpbuild.engine.rule import File, Rule, StepData
from mpbuild.spec.model import Model, Step, Weight

_HOUR_MS = 3_600_000


class Sources(msgspec.Struct, frozen=True):
    """The workspace's files that a target declares, by the pattern that named them."""

    scan: Scan
    folder: str

    def named(self, pattern: str) -> list[File]:
        """The files ``pattern`` matched."""
        return [
            File(path, self.scan.files[path][1], self.scan.files[path][0].executable)
            for path in self.scan.patterns[f"{self.folder}:{pattern}"]
        ]


class Plan(msgspec.Struct, frozen=True):
    """What a build does: the graph, and per accelerator its layers and the tasks that make them."""

    graph: Graph
    images: dict[Accelerator, list[tuple[LayerPlan, str]]]
    leaves: dict[str, Digest]


def declared_patterns(model: Model) -> list[str]:
    """Every pattern and path of the workspace that the spec names."""
    weights = (weight.path for weight in model.core.weights if weight.path)
    inputs = (path for step in model.steps for path in step.files)
    return [*model.core.sources, *weights, *inputs]


def read_sources(target: Target, also: Iterable[str]) -> Sources:
    """Expand and hash what the spec names; ``also`` are further files that the build reads."""
    folder = target.label.path
    patterns = declared_patterns(target.model)
    found = scan(target.workspace.root, folder, patterns, also)
    empty = [p for p in dict.fromkeys(patterns) if not found.patterns[f"{folder}:{p}"]]
    if empty:
        raise InputError.collect(
            [
                Finding("spec-invalid", f"{p} matches no file", target.file, "check the path")
                for p in empty
            ]
        )
    return Sources(found, folder)


def runtime_files() -> dict[str, Path]:
    """The files of mpbuild_runtime by the names the recipe has for them."""
    folder = Path(str(resource_files("mpbuild_runtime")))
    return {
        f"mpbuild_runtime/{path.name}": path
        for path in sorted(folder.iterdir())
        if path.suffix == ".py" or path.name == "mpbuild-run"
    }


def plan(
    target: Target,
    accelerators: Sequence[Accelerator],
    locks: Mapping[str, recipe.Locks],
    lock_files: Mapping[str, Path],
    declared: Sources,
    store: Store,
) -> Plan:
    """The graph of a target; every leaf that is known now is in the store afterwards."""
    model = target.model
    tasks: dict[str, Task] = {}
    leaves = _known_leaves(target, lock_files, declared, store)
    bound: dict[Leaf, Digest | Ref] = dict(leaves)

    def add(plans: Iterable[LayerPlan]) -> list[tuple[LayerPlan, str]]:
        made = []
        for layer in plans:
            name = f"layer:{layer.title}:{canonical.digest(plain(layer)).hex[:8]}"
            tasks[name] = layer_task(name, layer, bound)
            made.append((layer, name))
        return made

    environments = {step.environment: _python(model, step.environment) for step in model.steps}
    roots = {
        environment: tuple(
            Ref(name, "layer")
            for _, name in add(recipe.environment_layers(locks[environment], python))
        )
        for environment, python in environments.items()
    }
    for step in model.steps:
        for output in step.outputs:
            bound[Leaf("step", f"{step.name}/{output}")] = Ref(f"step:{step.name}", output)
    steps = {s.name: _step(target, s, declared, roots, environments) for s in model.steps}
    for task in _rule()(steps):
        tasks[task.name] = task
        _keep_sources(target, store, steps[task.name.removeprefix("step:")].files)
    source_files = [
        recipe.SourceFile(_relative(target, file.path), pattern, file.executable)
        for pattern in model.core.sources
        for file in declared.named(pattern)
    ]
    images = {
        accelerator: add(
            recipe.image_layers(model, accelerator, locks, source_files, runtime_files())
        )
        for accelerator in accelerators
    }
    names = {f"{leaf.kind}:{leaf.name}": digest for leaf, digest in leaves.items()}
    return Plan(Graph(tasks.values()), images, names)


def _known_leaves(
    target: Target, lock_files: Mapping[str, Path], declared: Sources, store: Store
) -> dict[Leaf, Digest]:
    """Sources, runtime, spec and locks, kept in the store."""
    model = target.model
    leaves: dict[Leaf, Digest] = {}
    for pattern in model.core.sources:
        files = declared.named(pattern)
        _keep_sources(target, store, files)
        leaves |= {Leaf("source", _relative(target, file.path)): file.digest for file in files}
    for weight in model.core.weights:
        if weight.path:
            (file,) = declared.named(weight.path)
            _check_weight(weight, file, target.file)
            _keep_sources(target, store, [file])
            leaves[Leaf("source", weight.path)] = file.digest
    for name, path in runtime_files().items():
        leaves[Leaf("runtime", name)] = store.put_bytes(path.read_bytes())
    for name, path in lock_files.items():
        leaves[Leaf("lock", name)] = store.put_bytes(path.read_bytes())
    leaves[Leaf("spec", "spec.json")] = store.put_bytes(canonical.encode(target.document))
    return leaves


def _check_weight(weight: Weight, file: File, where: str) -> None:
    if weight.sha256 and weight.sha256 != file.digest:
        raise InputError(
            f"weights {weight.name}: {file.path} has the digest {file.digest}",
            where=where,
            hint=f"the spec says {weight.sha256}",
            code="content-mismatch",
        )


def _keep_sources(target: Target, store: Store, files: Iterable[File]) -> None:
    """Put source files into the store; one that changed since it was hashed stops the build."""
    for file in files:
        if not store.has(file.digest):
            kept = store.put(sources.chunks(target.workspace.root, file.path))
            if kept.digest != file.digest:
                raise InputError("changed while it was read", where=file.path, hint="build again")


def _relative(target: Target, path: str) -> str:
    """A workspace path as the model's folder sees it."""
    return posixpath.relpath(path, target.label.path or ".")


def _python(model: Model, environment: str) -> str:
    extra = model.environments.get(environment)
    return (extra.python if extra and extra.python else None) or model.environment.python


def _step(
    target: Target,
    step: Step,
    declared: Sources,
    roots: Mapping[str, tuple[Ref, ...]],
    environments: Mapping[str, str],
) -> StepData:
    files = {file.path: file for pattern in step.files for file in declared.named(pattern)}
    return StepData(
        name=step.name,
        folder=target.label.path,
        command=step.command,
        files=tuple(files[path] for path in sorted(files)),
        outputs_of={
            f"steps/{need.step}/{need.output}": Ref(f"step:{need.step}", need.output)
            for need in step.needs
        },
        outputs=step.outputs,
        root=roots[step.environment],
        python=environments[step.environment],
        timeout_ms=step.timeout or _HOUR_MS,
    )


def _rule() -> Rule:
    """The rule for models, found as every rule is: by entry point."""
    for entry in entry_points(group="mpbuild.rules", name="model"):
        rule: Rule = entry.load()
        return rule
    raise WorldError(
        "no rule for models is installed",
        hint="install mpbuild anew: its own rules come with it",
        code="rule-missing",
    )
