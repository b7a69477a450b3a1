"""Beginning: a workspace where there is none, and a first model that builds as it is."""

import re
import string
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.resources import files as resource_files
from pathlib import Path

import msgspec

from mpbuild.app.workspace.targets import MODEL_FILE, WORKSPACE_FILE, find_root
from mpbuild.app.workspace.workspace import OpenWorkspace
from mpbuild.base.codes import Code
from mpbuild.base.errors import Finding, InputError
from mpbuild.base.label import Label
from mpbuild.effects.files.disk import disk_error
from mpbuild.spec.read import read_workspace
from mpbuild.spec.workspace import Base, Workspace

FIRST = "first"
"""The folder of a first model in a workspace's own folder."""

IGNORED = ".gitignore"
_TEMPLATES = {
    WORKSPACE_FILE: "workspace/mpbuild.toml",
    IGNORED: "workspace/gitignore",
}
_MODEL_FILES = ("readings.csv", "request.json", "src/model.py", "train.py", MODEL_FILE)


class InitPlan(msgspec.Struct, frozen=True):
    """What is going to be made: the workspace's root, the model's label, files with their texts."""

    root: Path
    label: Label
    files: dict[Path, str]

    @property
    def model(self) -> Path:
        """The folder of the model."""
        return self.root / self.label.path


def plan(folder: Path) -> InitPlan:
    """What makes ``folder`` a model, or a workspace with a model in it; nothing is written yet.

    The folder of a workspace, and any folder outside of one, get the model in ``first``. Raise
    InputError where a file is in the way, or where the workspace has no base to stand on.
    """
    folder = folder.resolve()
    root = _enclosing(folder)
    if root is None:
        root = folder
        files = _workspace_files(root)
        settings = read_workspace(files[root / WORKSPACE_FILE], file=WORKSPACE_FILE)
    else:
        files = {}
        settings = OpenWorkspace(root).settings
    model = folder if folder != root else root / FIRST
    label = Label(f"//{model.relative_to(root).as_posix()}")
    files |= _model_files(model, settings)
    _refuse_existing(files)
    return InitPlan(root, label, files)


def make(beginning: InitPlan) -> None:
    """Write every file, over nothing; what was made is removed where one can't be."""
    made: list[Path] = []
    try:
        for path, text in beginning.files.items():
            _create(path, text, made)
    except FileExistsError as error:
        _undo(made)
        raise InputError.collect([_in_the_way(Path(error.filename))]) from error
    except OSError as error:
        _undo(made)
        raise disk_error(error, beginning.model) from error
    except BaseException:
        _undo(made)
        raise


def _enclosing(folder: Path) -> Path | None:
    """The root of the workspace around a folder that need not exist yet."""
    existing = next(one for one in (folder, *folder.parents) if one.exists())
    if not existing.is_dir():
        raise InputError("is not a folder", where=str(existing), code=Code.USAGE)
    try:
        return find_root(existing)
    except InputError:
        return None


def _workspace_files(root: Path) -> dict[Path, str]:
    """A .gitignore that is there already is not in the way."""
    names = [name for name in _TEMPLATES if name != IGNORED or not _exists(root / IGNORED)]
    return {root / name: _template(_TEMPLATES[name], name=_name(root)) for name in names}


def _model_files(folder: Path, settings: Workspace) -> dict[Path, str]:
    """The spec last: without it the folder is no target."""
    base, of_base = _base(settings)
    values = {"name": _name(folder), "base": base, "python": of_base.suite.python}
    # By its own name the template of the spec would be a target wherever mpbuild's sources lie.
    templates = {name: "spec.toml" if name == MODEL_FILE else name for name in _MODEL_FILES}
    return {folder / n: _template(f"model/{t}", **values) for n, t in templates.items()}


def _base(settings: Workspace) -> tuple[str, Base]:
    """The base to stand on: the first one."""
    for name, base in settings.bases.items():
        return name, base
    raise InputError(
        "it has no base for a model to stand on",
        where=WORKSPACE_FILE,
        hint="add a table [bases.NAME]; `mpbuild schema workspace` has its keys",
    )


def _template(file: str, /, **values: str) -> str:
    text = (
        resource_files("mpbuild.app.workspace")
        .joinpath("templates", file)
        .read_text(encoding="utf-8")
    )
    return string.Template(text).substitute(values)


def _name(folder: Path) -> str:
    """The folder's name as packages and workspaces may be called."""
    return re.sub("[^a-z0-9]+", "-", folder.name.lower()).strip("-")[:100] or "models"


def _refuse_existing(paths: Iterable[Path]) -> None:
    findings = [_in_the_way(path) for path in sorted(paths) if _exists(path)]
    if findings:
        raise InputError.collect(findings)


def _exists(path: Path) -> bool:
    """Whether something has that name, be it a link to nowhere."""
    return path.exists() or path.is_symlink()


def _in_the_way(path: Path) -> Finding:
    return Finding(Code.USAGE, "exists already", str(path), "name another folder")


def _create(path: Path, text: str, made: list[Path]) -> None:
    for folder in reversed(list(_missing_folders(path.parent))):
        folder.mkdir()
        made.append(folder)
    with path.open("x", encoding="utf-8") as file:
        made.append(path)
        file.write(text)


def _missing_folders(folder: Path) -> Iterator[Path]:
    while not folder.is_dir():
        yield folder
        folder = folder.parent


def _undo(made: list[Path]) -> None:
    for path in reversed(made):
        with suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()
