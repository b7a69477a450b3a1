"""Finds the workspace, its targets and the store; imports little, as every command starts here.

Takes single values from mpbuild.toml and does not check the rest.
"""

import os
import posixpath
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mpbuild.base.errors import InputError
from mpbuild.base.label import Label, Pattern
from mpbuild.effects.workspace.documents import DocumentReader, FreshDocuments

MODEL_FILE = "model.toml"
WORKSPACE_FILE = "mpbuild.toml"


def find_root(start: Path) -> Path:
    """The nearest folder at or above ``start`` that has an mpbuild.toml."""
    start = start.resolve()
    if not start.is_dir():
        raise InputError("no such folder", where=str(start))
    for folder in (start, *start.parents):
        if (folder / WORKSPACE_FILE).is_file():
            return folder
    raise InputError(
        f"no {WORKSPACE_FILE} here or in a parent folder",
        where=str(start),
        hint="`mpbuild init` creates a workspace with a first model",
    )


def store_path(
    option: str | None, start: Path, reader: Callable[[Path], DocumentReader] = FreshDocuments
) -> Path:
    """The store: ``option``, MPBUILD_STORE, mpbuild.toml's ``store.path``, the user's cache.

    ``reader`` makes the reader of mpbuild.toml for a workspace's root.
    """
    named = option or os.environ.get("MPBUILD_STORE")
    if named:
        return _below(start, named)
    try:
        root = find_root(start)
    except InputError:
        setting = None
    else:
        setting = _setting(reader(root), "store", "path")
    if isinstance(setting, str):
        return _below(root, setting)
    return _below(start, os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "mpbuild"


def _below(start: Path, path: str) -> Path:
    """Resolves ``path`` from ``start``; ``~`` is the user's home."""
    try:
        return (start / Path(path).expanduser()).resolve()
    except RuntimeError as error:
        raise InputError(
            f"{path} is in the home folder, but this user has none",
            hint="set HOME, or name a store with --store",
        ) from error


def labels(
    root: Path, names: Sequence[str], start: Path, documents: DocumentReader | None = None
) -> list[Label]:
    """The targets that ``names`` (labels, patterns, folders) mean; without names, all targets.

    A folder is relative to ``start``. ``documents`` reads mpbuild.toml; by default it is read now.
    """
    folder = _WorkspaceFolder(root, documents or FreshDocuments(root))
    found: list[Label] = []
    every: list[Label] | None = None
    for name in names or ("//...",):
        if not name.startswith("//"):
            found.append(folder.label_of((start / name).resolve(), name))
            continue
        pattern = Pattern(name)
        if not name.endswith("/..."):
            found.append(folder.existing(Label(name)))
            continue
        every = every if every is not None else sorted(folder.targets())
        matched = [label for label in every if pattern.matches(label)]
        if not matched:
            raise InputError(f"{name} matches no target", hint=folder.nearest(name))
        found += matched
    return list(dict.fromkeys(found))


class _WorkspaceFolder:
    """The folders of a workspace, of which those with a model.toml are targets."""

    def __init__(self, root: Path, documents: DocumentReader) -> None:
        self._root = root
        self._documents = documents

    def existing(self, label: Label) -> Label:
        """``label``; raises InputError where it is no target."""
        if not (self._root / label.path / MODEL_FILE).is_file():
            raise InputError(
                f"{label} is no target: {label.path or '.'}/{MODEL_FILE} does not exist",
                hint=self.nearest(label),
            )
        return label

    def label_of(self, folder: Path, name: str) -> Label:
        """The label of a folder, which the user called ``name``."""
        if not folder.is_relative_to(self._root):
            raise InputError(f"{name} is outside of the workspace {self._root}")
        relative = folder.relative_to(self._root).as_posix()
        return self.existing(Label("//" + ("" if relative == "." else relative)))

    def targets(self) -> Iterator[Label]:
        """Every target, in the order of the folders."""
        ignore = _setting(self._documents, "workspace", "ignore")
        ignored = ignore if isinstance(ignore, list) else []
        for folder, names, files in os.walk(self._root):
            relative = os.path.relpath(folder, self._root)
            names[:] = sorted(
                name
                for name in names
                if not name.startswith(".")
                and posixpath.normpath(posixpath.join(relative, name)) not in ignored
            )
            if MODEL_FILE in files:
                yield _folder_label(relative)

    def nearest(self, name: str) -> str:
        """A hint for an unknown ``name``: the targets with similar names."""
        import difflib

        known = [str(label) for label in sorted(self.targets())]
        near = difflib.get_close_matches(name, known, 1, 0.4)
        if not known:
            return f"a target is a folder with a {MODEL_FILE}, and this workspace has none"
        return f"did you mean {near[0]}?" if near else f"targets: {', '.join(known)}"


def _folder_label(folder: str) -> Label:
    try:
        return Label("//" + ("" if folder == "." else folder))
    except InputError as error:
        raise InputError(
            "no label can name this folder",
            where=f"{folder}/{MODEL_FILE}",
            hint="rename it, or list it in workspace.ignore of mpbuild.toml",
        ) from error


def _setting(documents: DocumentReader, table: str, key: str) -> object:
    """A value of mpbuild.toml, or None; errors are reported when the whole file is read."""
    import tomllib

    try:
        return tomllib.loads(documents.document(WORKSPACE_FILE).decode())[table][key]
    except (InputError, ValueError, KeyError, TypeError):
        return None
