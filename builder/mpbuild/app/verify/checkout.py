"""Compares a package with a checkout: spec, sources, weights, locks and inputs of steps."""

import posixpath
from collections.abc import Iterator, Sequence
from pathlib import Path

from mpbuild.app.lock.lock_files import environments
from mpbuild.app.workspace.targets import MODEL_FILE, find_root, labels
from mpbuild.app.workspace.workspace import OpenWorkspace, Target
from mpbuild.base import canonical, image_paths
from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError
from mpbuild.base.label import Label
from mpbuild.derive.image_leaves import SourceFile, source_path, weight_path
from mpbuild.effects.workspace import sources
from mpbuild.package.image_contents import ImageContents
from mpbuild.verify.completeness import PackagePart


class Checkout:
    """A workspace, or the folder of a target, that a package is said to be built from."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._workspace = OpenWorkspace(find_root(folder))

    def compare(self, contents: Sequence[ImageContents]) -> list[Finding]:
        """Returns the differences: lock-mismatch for locks, content-mismatch for all others."""
        try:
            target = self._target(contents[0].model.package.name)
            found = [
                *_spec(target, contents[0]),
                *_files(target, contents[0]),
                *_locks(target, contents),
            ]
        except InputError as error:
            return [finding._replace(code=Code.CONTENT_MISMATCH) for finding in error.findings]
        return sorted(found, key=lambda finding: finding.where)

    def step_inputs(self, contents: Sequence[ImageContents]) -> list[PackagePart]:
        """Returns the files that steps read, all of which a provenance of this checkout names."""
        try:
            target = self._target(contents[0].model.package.name)
            return list(_step_inputs(target))
        except InputError:
            return []  # compare() reports the error.

    def _target(self, name: str) -> Target:
        """Finds the target with the package's name: in the folder itself, or in the workspace."""
        root = self._workspace.root
        here = (self._folder / MODEL_FILE).is_file()
        names = [str(self._folder.resolve())] if here else []
        matching = [label for label in labels(root, names, root) if self._name(label) == name]
        if len(matching) != 1:
            raise InputError(
                f"the checkout has {len(matching)} targets with the package name {name!r}, not one",
                where=str(self._folder),
                hint="name the target's own folder with --source",
            )
        return self._workspace.target(matching[0])

    def _name(self, label: Label) -> str:
        """The package's name; empty if the spec is invalid, since other targets do not matter."""
        try:
            package = self._workspace.target(label).document.get("package")
        except InputError:
            return ""
        return str(package.get("name")) if isinstance(package, dict) else ""


def _spec(target: Target, contents: ImageContents) -> Iterator[Finding]:
    if canonical.digest(target.document) != canonical.digest(contents.document):
        yield Finding(Code.CONTENT_MISMATCH, "the package was built from another spec", target.file)


def _step_inputs(target: Target) -> Iterator[PackagePart]:
    root, folder = target.workspace.root, target.label.path
    for step in target.model.steps:
        for pattern in step.files:
            for path in sources.match(root, folder, pattern):
                yield PackagePart("step-input", path, sources.digest(root, path))


def _files(target: Target, contents: ImageContents) -> Iterator[Finding]:
    """Compares code, weights and files by their paths in an image."""
    root = target.workspace.root
    folders = (f"{image_paths.SOURCES}/", f"{image_paths.WEIGHTS}/", f"{image_paths.FILES}/")
    elsewhere = {weight_path(w) for w in target.model.core.weights if not w.path}
    packed = {
        path: found
        for path, found in contents.files.items()
        if path.startswith(folders) and path not in elsewhere
    }
    expected = {**_sources(target), **_kept(target)}
    for place, path in expected.items():
        if place not in packed:
            yield Finding(Code.CONTENT_MISMATCH, "missing from the package", path)
        elif packed[place].digest != sources.digest(root, path):
            yield Finding(Code.CONTENT_MISMATCH, "the package has other bytes for this file", path)
        elif place.startswith(folders[0]) and (
            packed[place].executable != sources.look(root, path).executable
        ):
            yield Finding(Code.CONTENT_MISMATCH, "executable in only one of the two", path)
    for place in sorted(packed.keys() - expected.keys()):
        yield Finding(Code.CONTENT_MISMATCH, "missing from the checkout", f"/{place}")


def _sources(target: Target) -> dict[str, str]:
    """Source files of the checkout by their paths in an image."""
    root, folder = target.workspace.root, target.label.path
    found = {}
    for pattern in target.model.core.sources:
        for path in sources.match(root, folder, pattern):
            source = SourceFile(posixpath.relpath(path, folder or "."), pattern)
            found[source_path(source)] = path
    return found


def _kept(target: Target) -> dict[str, str]:
    """Weights and other files of the checkout by their paths in an image."""
    root, folder = target.workspace.root, target.label.path
    core = target.model.core
    named = [(weight_path(w), w.path) for w in core.weights if w.path]
    named += [(f"{image_paths.FILES}/{file.name}", file.path) for file in core.files]
    return {
        place: path for place, pattern in named for path in sources.match(root, folder, pattern)
    }


def _locks(target: Target, contents: Sequence[ImageContents]) -> Iterator[Finding]:
    """Compares the locks in the images by name."""
    folder = f"{image_paths.LOCKS}/"
    packed = {
        path.removeprefix(folder): found.digest
        for content in contents
        for path, found in content.files.items()
        if path.startswith(folder)
    }
    for environment in environments(target):
        for path in (environment.python_file, environment.debian_file):
            if path.name in packed and _digest(path) != packed[path.name]:
                message = "the locks of package and checkout differ"
                yield Finding(Code.LOCK_MISMATCH, message, path.name)


def _digest(path: Path) -> Digest | None:
    try:
        return Digest.of(path.read_bytes())
    except OSError:
        return None
