"""Finding the workspace, its targets and the store; imports little, as every command starts here.

The workspace file is only looked into: whether it is right is the reader's business.
"""

import os
import posixpath
from collections.abc import Iterator, Sequence
from pathlib import Path

from mpbuild.base.errors import InputError
from mpbuild.base.label import Label, Pattern

MODEL_FILE = "model.toml"
WORKSPACE_FILE = "mpbuild.toml"


def find_root(start: Path) -> Path:
    """The nearest folder at or above ``start`` with an mpbuild.toml."""
    start = start.resolve()
    if not start.is_dir():
        raise InputError("there is no such folder", where=str(start))
    for folder in (start, *start.parents):
        if (folder / WORKSPACE_FILE).is_file():
            return folder
    raise InputError(
        f"no {WORKSPACE_FILE} here or in a folder above",
        where=str(start),
        hint="`mpbuild init` makes a workspace, with a first model in it",
    )


def store_path(option: str | None, start: Path) -> Path:
    """The store: ``option``, MPBUILD_STORE, mpbuild.toml's ``store.path``, the user's cache."""
    named = option or os.environ.get("MPBUILD_STORE")
    if named:
        return _below(start, named)
    try:
        root = find_root(start)
    except InputError:
        setting = None
    else:
        setting = _setting(root, "store", "path")
    if isinstance(setting, str):
        return _below(root, setting)
    return _below(start, os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "mpbuild"


def _below(start: Path, path: str) -> Path:
    """``path`` as seen from ``start``; ``~`` is the user's home."""
    try:
        return (start / Path(path).expanduser()).resolve()
    except RuntimeError as error:
        raise InputError(
            f"{path} is in the home folder, and this user has none",
            hint="set HOME, or name a store with --store",
        ) from error


def labels(root: Path, names: Sequence[str], start: Path) -> list[Label]:
    """The targets that ``names`` (labels, patterns, folders) mean; all of them where none is given.

    A folder is relative to ``start``.
    """
    found: list[Label] = []
    every: list[Label] | None = None
    for name in names or ("//...",):
        if not name.startswith("//"):
            found.append(_label_of(root, (start / name).resolve(), name))
            continue
        pattern = Pattern(name)
        if not name.endswith("/..."):
            found.append(_existing(root, Label(name)))
            continue
        every = every if every is not None else sorted(_targets(root))
        matched = [label for label in every if pattern.matches(label)]
        if not matched:
            raise InputError(f"{name} matches no target", hint=_nearest(root, name))
        found += matched
    return list(dict.fromkeys(found))


def _existing(root: Path, label: Label) -> Label:
    if not (root / label.path / MODEL_FILE).is_file():
        raise InputError(
            f"{label} is no target: {label.path or '.'}/{MODEL_FILE} does not exist",
            hint=_nearest(root, label),
        )
    return label


def _label_of(root: Path, folder: Path, name: str) -> Label:
    if not folder.is_relative_to(root):
        raise InputError(f"{name} is outside of the workspace {root}")
    relative = folder.relative_to(root).as_posix()
    return _existing(root, Label("//" + ("" if relative == "." else relative)))


def _targets(root: Path) -> Iterator[Label]:
    ignore = _setting(root, "workspace", "ignore")
    ignored = ignore if isinstance(ignore, list) else []
    for folder, names, files in os.walk(root):
        relative = os.path.relpath(folder, root)
        names[:] = sorted(
            name
            for name in names
            if not name.startswith(".")
            and posixpath.normpath(posixpath.join(relative, name)) not in ignored
        )
        if MODEL_FILE in files:
            yield _found(relative)


def _found(folder: str) -> Label:
    try:
        return Label("//" + ("" if folder == "." else folder))
    except InputError as error:
        raise InputError(
            "no label can name this folder",
            where=f"{folder}/{MODEL_FILE}",
            hint="rename it, or list it in workspace.ignore of mpbuild.toml",
        ) from error


def _nearest(root: Path, name: str) -> str:
    import difflib

    known = [str(label) for label in sorted(_targets(root))]
    near = difflib.get_close_matches(name, known, 1, 0.4)
    if not known:
        return f"a target is a folder with a {MODEL_FILE}, and there is none"
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"


def _setting(root: Path, table: str, key: str) -> object:
    import tomllib

    try:
        return tomllib.loads((root / WORKSPACE_FILE).read_text(encoding="utf-8"))[table][key]
    except (OSError, ValueError, KeyError, TypeError):
        return None
