"""The blueprint: everything that decides a package, as data."""

import posixpath
from collections.abc import Callable, Iterator, Mapping

import msgspec

from mpbuild.app.lock.lock_files import LockSet
from mpbuild.app.workspace.workspace import Target
from mpbuild.base import canonical
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.base.files import WorkspaceFile
from mpbuild.derive.environment_locks import EnvironmentLocks
from mpbuild.derive.image_leaves import SourceFile
from mpbuild.derive.inputs_artifact import StepFiles
from mpbuild.derive.layers.layer_plan import Leaf
from mpbuild.effects.workspace.snapshot import Snapshot
from mpbuild.locks.toolchain import Toolchain
from mpbuild.spec.model import CoreFile, Model, Weight


class Blueprint(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides a package.

    ``locks`` are those of every environment of the spec, ``documents`` the spec and the lock files
    by name. ``leaves`` are the leaves that are known before anything runs, and ``bind`` gives the
    digest of the one at a path of an image.
    """

    model: Model
    locks: Mapping[str, EnvironmentLocks]
    toolchain: Toolchain
    sources: tuple[SourceFile, ...]
    runtime: tuple[str, ...]
    documents: Mapping[str, Digest]
    steps: Mapping[str, StepFiles]
    leaves: Mapping[Leaf, Digest]
    bind: Callable[[str, Leaf], Digest]


class TargetBlueprint(msgspec.Struct, frozen=True):
    """The blueprint of a target, and the bytes of its leaves.

    ``blobs`` has those in memory; ``paths`` has the files of the workspace with the others, and
    those that steps read.
    """

    blueprint: Blueprint
    blobs: tuple[bytes, ...]
    paths: tuple[str, ...]


def declared_patterns(model: Model) -> list[str]:
    """Every pattern and path of the workspace that the spec names."""
    single = (str(one.path) for one in model.core.kept)
    inputs = (path for step in model.steps for path in step.files)
    return [*model.core.sources, *single, *inputs]


def target_blueprint(
    target: Target,
    locks: LockSet,
    toolchain: Toolchain,
    runtime: Mapping[str, bytes],
    snapshot: Snapshot,
) -> TargetBlueprint:
    """Makes the blueprint of a target from ``snapshot``; needs no store.

    ``runtime`` holds the files of mpbuild_runtime by name. Raises InputError where a pattern
    matches nothing (spec-invalid), a file can't be a source, or weights are not those that the
    spec pins (content-mismatch).
    """
    declared = _DeclaredFiles(target, snapshot)
    spec = canonical.encode(target.document)
    documents = {"spec.json": spec, **locks.files}
    digests = {name: Digest.of(data) for name, data in documents.items()}
    leaves = declared.leaves
    leaves |= {Leaf("runtime", name): Digest.of(data) for name, data in runtime.items()}
    leaves |= {
        Leaf("spec" if name == "spec.json" else "lock", name): Digest.of(data)
        for name, data in (documents | toolchain.files).items()
    }
    blueprint = Blueprint(
        model=target.model,
        locks=locks.locks,
        toolchain=toolchain,
        sources=declared.sources,
        runtime=tuple(runtime),
        documents=digests,
        steps=declared.steps,
        leaves=leaves,
        bind=lambda _, leaf: leaves[leaf],
    )
    blobs = (*documents.values(), *runtime.values())
    return TargetBlueprint(blueprint, blobs, tuple(declared.paths))


class _DeclaredFiles:
    """The files of the workspace that a target declares."""

    def __init__(self, target: Target, snapshot: Snapshot) -> None:
        self._target = target
        self._folder = target.label.path
        self._snapshot = snapshot
        self._refuse_empty_patterns()

    @property
    def paths(self) -> list[str]:
        """All of them, by their paths from the workspace's root."""
        patterns = declared_patterns(self._target.model)
        return sorted({path for pattern in patterns for path in self._match(pattern)})

    @property
    def sources(self) -> tuple[SourceFile, ...]:
        return tuple(
            SourceFile(self._relative(file.path), pattern, file.executable)
            for pattern in self._target.model.core.sources
            for file in self._files(pattern)
        )

    @property
    def steps(self) -> dict[str, StepFiles]:
        """The files that each step reads."""
        found = {}
        for step in self._target.model.steps:
            files = {file.path: file for pattern in step.files for file in self._files(pattern)}
            found[step.name] = StepFiles(self._folder, tuple(f for _, f in sorted(files.items())))
        return found

    @property
    def leaves(self) -> dict[Leaf, Digest]:
        """Sources, weights and files of the model."""
        core = self._target.model.core
        leaves = {
            Leaf("source", self._relative(file.path)): file.digest
            for pattern in core.sources
            for file in self._files(pattern)
        }
        for one in core.kept:
            (file,) = self._files(str(one.path))
            _check_digest(one, file, self._target.file)
            leaves[Leaf("source", str(one.path))] = file.digest
        return leaves

    def _match(self, pattern: str) -> list[str]:
        return self._snapshot.match(self._folder, pattern)

    def _files(self, pattern: str) -> Iterator[WorkspaceFile]:
        for path in self._match(pattern):
            version = self._snapshot.file(path)
            yield WorkspaceFile(path, version.digest, version.stat.executable)

    def _relative(self, path: str) -> str:
        """A path of the workspace as the model's folder sees it."""
        return posixpath.relpath(path, self._folder or ".")

    def _refuse_empty_patterns(self) -> None:
        findings = [
            Finding(Code.SPEC_INVALID, f"{p} matches no file", self._target.file, "check the path")
            for p in dict.fromkeys(declared_patterns(self._target.model))
            if not self._match(p)
        ]
        if findings:
            raise InputError.collect(findings)


def _check_digest(one: Weight | CoreFile, file: WorkspaceFile, where: str) -> None:
    if one.sha256 and one.sha256 != file.digest:
        raise InputError(
            f"{one.name}: {file.path} has the digest {file.digest}",
            where=where,
            hint=f"the spec has {one.sha256}",
            code=Code.CONTENT_MISMATCH,
        )
