"""What a package is made from, as data: read from a workspace here, from a package elsewhere."""

import posixpath
from collections.abc import Callable, Iterable, Mapping
from importlib.resources import files as resource_files
from pathlib import Path

import msgspec

from mpbuild.app.build.memo import SourceScan, scan
from mpbuild.app.lock.lock_files import LockSet
from mpbuild.app.workspace.workspace import Target
from mpbuild.base import canonical
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.base.files import WorkspaceFile
from mpbuild.derive import image_layers
from mpbuild.derive.inputs_artifact import StepFiles
from mpbuild.derive.layers.layer_plan import Leaf
from mpbuild.effects.store.store import Store
from mpbuild.effects.workspace import sources
from mpbuild.locks.toolchain import Toolchain
from mpbuild.spec.model import CoreFile, Model, Weight


class Blueprint(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides a package.

    ``locks`` are those of every environment of the spec, ``documents`` spec and lock files by
    name. ``leaves`` are known before anything runs; ``bind`` gives the bytes of one that will
    stand at a path of an image.
    """

    model: Model
    locks: Mapping[str, image_layers.EnvironmentLocks]
    toolchain: Toolchain
    sources: tuple[image_layers.SourceFile, ...]
    runtime: tuple[str, ...]
    documents: Mapping[str, Digest]
    steps: Mapping[str, StepFiles]
    leaves: Mapping[Leaf, Digest]
    bind: Callable[[str, Leaf], Digest]


class DeclaredFiles(msgspec.Struct, frozen=True):
    """The workspace's files that a target declares, by the pattern that named them."""

    scan: SourceScan
    folder: str

    def named(self, pattern: str) -> list[WorkspaceFile]:
        """The files ``pattern`` matched."""
        return [
            WorkspaceFile(path, self.scan.files[path][1], self.scan.files[path][0].executable)
            for path in self.scan.patterns[f"{self.folder}:{pattern}"]
        ]


def declared_patterns(model: Model) -> list[str]:
    """Every pattern and path of the workspace that the spec names."""
    single = (str(one.path) for one in model.core.kept)
    inputs = (path for step in model.steps for path in step.files)
    return [*model.core.sources, *single, *inputs]


def read_sources(target: Target, also: Iterable[str]) -> DeclaredFiles:
    """Expand and hash what the spec names; ``also`` are further files that the build reads."""
    folder = target.label.path
    patterns = declared_patterns(target.model)
    found = scan(target.workspace.root, folder, patterns, also)
    empty = [p for p in dict.fromkeys(patterns) if not found.patterns[f"{folder}:{p}"]]
    if empty:
        raise InputError.collect(
            [
                Finding(Code.SPEC_INVALID, f"{p} matches no file", target.file, "check the path")
                for p in empty
            ]
        )
    return DeclaredFiles(found, folder)


def runtime_files() -> dict[str, Path]:
    """The files of mpbuild_runtime by the names the recipe has for them."""
    folder = Path(str(resource_files("mpbuild_runtime")))
    return {
        f"mpbuild_runtime/{path.name}": path
        for path in sorted(folder.iterdir())
        if path.suffix == ".py" or path.name == "mpbuild-run"
    }


def of_target(
    target: Target, locks: LockSet, toolchain: Toolchain, declared: DeclaredFiles, store: Store
) -> Blueprint:
    """The blueprint of a target; every leaf that is known now is in the store afterwards."""
    model = target.model
    leaves = _leaves(target, declared, store)
    documents = {"spec.json": store.put_bytes(canonical.encode(target.document))}
    for name, path in locks.files.items():
        documents[name] = store.put_bytes(path.read_bytes())
    of_toolchain = {name: Digest.of(data) for name, data in toolchain.files.items()}
    leaves |= {
        Leaf("spec" if name == "spec.json" else "lock", name): digest
        for name, digest in (documents | of_toolchain).items()
    }
    steps = {}
    for step in model.steps:
        files = {file.path: file for pattern in step.files for file in declared.named(pattern)}
        _keep_sources(target, store, files.values())
        steps[step.name] = StepFiles(
            target.label.path,
            tuple(file for _, file in sorted(files.items())),
        )
    return Blueprint(
        model=model,
        locks=locks.locks,
        toolchain=toolchain,
        sources=tuple(
            image_layers.SourceFile(_relative(target, file.path), pattern, file.executable)
            for pattern in model.core.sources
            for file in declared.named(pattern)
        ),
        runtime=tuple(runtime_files()),
        documents=documents,
        steps=steps,
        leaves=leaves,
        bind=lambda _, leaf: leaves[leaf],
    )


def _leaves(target: Target, declared: DeclaredFiles, store: Store) -> dict[Leaf, Digest]:
    """Sources, weights, files and the runtime, kept in the store."""
    model = target.model
    leaves: dict[Leaf, Digest] = {}
    for pattern in model.core.sources:
        files = declared.named(pattern)
        _keep_sources(target, store, files)
        leaves |= {Leaf("source", _relative(target, file.path)): file.digest for file in files}
    for one in model.core.kept:
        (file,) = declared.named(str(one.path))
        _check_digest(one, file, target.file)
        _keep_sources(target, store, [file])
        leaves[Leaf("source", str(one.path))] = file.digest
    for name, path in runtime_files().items():
        leaves[Leaf("runtime", name)] = store.put_bytes(path.read_bytes())
    return leaves


def _check_digest(one: Weight | CoreFile, file: WorkspaceFile, where: str) -> None:
    if one.sha256 and one.sha256 != file.digest:
        raise InputError(
            f"{one.name}: {file.path} has the digest {file.digest}",
            where=where,
            hint=f"the spec says {one.sha256}",
            code=Code.CONTENT_MISMATCH,
        )


def _keep_sources(target: Target, store: Store, files: Iterable[WorkspaceFile]) -> None:
    """Put source files into the store; one that changed since it was hashed stops the build."""
    for file in files:
        if not store.has(file.digest):
            kept = store.put(sources.chunks(target.workspace.root, file.path))
            if kept.digest != file.digest:
                raise InputError("changed while it was read", where=file.path, hint="build again")


def _relative(target: Target, path: str) -> str:
    """A workspace path as the model's folder sees it."""
    return posixpath.relpath(path, target.label.path or ".")
