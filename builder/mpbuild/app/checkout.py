"""Comparing a package with a checkout: spec, sources and locks."""

import posixpath
from collections.abc import Iterator
from pathlib import Path

from mpbuild.app.leaves import Contents
from mpbuild.app.locks import environments
from mpbuild.app.plan import declared_patterns
from mpbuild.app.targets import find_root, labels
from mpbuild.app.workspace import OpenWorkspace, Target
from mpbuild.base import canonical
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.derive import recipe
from mpbuild.effects import sources


class Checkout:
    """A workspace, or one target's folder in it, that a package claims to be built from."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._workspace = OpenWorkspace(find_root(folder))

    def compare(self, contents: Contents) -> list[Finding]:
        """What differs: lock-mismatch for locks, content-mismatch for spec and sources."""
        try:
            target = self._target(contents.model.package.name)
        except InputError as error:
            return list(error.findings)
        found = [*_spec(target, contents), *_sources(target, contents), *_locks(target, contents)]
        return sorted(found, key=lambda finding: finding.where)

    def _target(self, name: str) -> Target:
        """The target with the package's name: in the folder itself, or in the workspace."""
        root = self._workspace.root
        here = (self._folder / "model.toml").is_file()
        names = [str(self._folder.resolve())] if here else []
        targets = [self._workspace.target(label) for label in labels(root, names, root)]
        matching = [target for target in targets if target.model.package.name == name]
        if len(matching) != 1:
            raise InputError(
                f"the checkout has {len(matching)} targets whose package is {name!r}",
                where=str(self._folder),
                hint="name the target's own folder with --source",
                code="content-mismatch",
            )
        return matching[0]


def _spec(target: Target, contents: Contents) -> Iterator[Finding]:
    if canonical.digest(target.document) != canonical.digest(contents.document):
        yield Finding("content-mismatch", "the package was built from another spec", target.file)


def _sources(target: Target, contents: Contents) -> Iterator[Finding]:
    root, folder = target.workspace.root, target.label.path
    packed = {
        leaf.name: digest for leaf, digest in contents.leaves.items() if leaf.kind == "source"
    }
    expected: dict[str, str] = {}
    for pattern in declared_patterns(target.model):
        if pattern not in target.model.core.sources:
            continue
        for path in sources.match(root, folder, pattern):
            relative = posixpath.relpath(path, folder or ".")
            destination = recipe.source_destination(recipe.SourceFile(relative, pattern))
            expected[destination.removeprefix("opt/model/src/")] = path
    weights = {str(weight.path) for weight in target.model.core.weights if weight.path}
    for name, path in expected.items():
        if packed.get(name) != sources.digest(root, path):
            state = "is not in the package" if name not in packed else "has other bytes there"
            yield Finding("content-mismatch", f"the checkout's file {state}", path)
    for name in sorted(packed.keys() - expected.keys() - weights):
        yield Finding("content-mismatch", "the package has a source the checkout lacks", name)


def _locks(target: Target, contents: Contents) -> Iterator[Finding]:
    packed = {leaf.name: digest for leaf, digest in contents.leaves.items() if leaf.kind == "lock"}
    for environment in environments(target):
        for path in (environment.python_file, environment.debian_file):
            if path.name not in packed:
                continue
            if not path.is_file() or Digest.of(path.read_bytes()) != packed[path.name]:
                yield Finding(
                    "lock-mismatch", "the package has another lock than the checkout", path.name
                )
