"""Creates a first model that builds, and a workspace around it if there is none."""

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
"""The folder of the first model, if it is made in the workspace's own folder."""

IGNORED = ".gitignore"
_TEMPLATES = {
    WORKSPACE_FILE: "workspace/mpbuild.toml",
    IGNORED: "workspace/gitignore",
}
_MODEL_FILES = ("readings.csv", "request.json", "src/model.py", "train.py", MODEL_FILE)


class InitPlan(msgspec.Struct, frozen=True):
    """The model's label in the workspace at ``root``, and the files to create with their texts."""

    root: Path
    label: Label
    files: dict[Path, str]

    @property
    def model(self) -> Path:
        """The folder of the model."""
        return self.root / self.label.path


def plan_init(folder: Path) -> InitPlan:
    """Plans a model in ``folder``, or a workspace with a model in it; writes nothing.

    In a workspace's own folder, and outside of workspaces, the model's folder is ``first``. Raises
    InputError where a file exists already, or where the workspace has no base.
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


def create_files(plan: InitPlan) -> None:
    """Creates every file, and overwrites none; after an error it removes those it created."""
    made: list[Path] = []
    try:
        for path, text in plan.files.items():
            _create(path, text, made)
    except FileExistsError as error:
        _undo(made)
        raise InputError.collect([_existing(Path(error.filename))]) from error
    except OSError as error:
        _undo(made)
        raise disk_error(error, plan.model) from error
    except BaseException:
        _undo(made)
        raise


def _enclosing(folder: Path) -> Path | None:
    """The root of the workspace around a folder, which need not exist."""
    existing = next(one for one in (folder, *folder.parents) if one.exists())
    if not existing.is_dir():
        raise InputError("is not a folder", where=str(existing), code=Code.USAGE)
    try:
        return find_root(existing)
    except InputError:
        return None


def _workspace_files(root: Path) -> dict[Path, str]:
    """The files of a workspace; an existing .gitignore is kept."""
    names = [name for name in _TEMPLATES if name != IGNORED or not _exists(root / IGNORED)]
    return {root / name: _template(_TEMPLATES[name], name=_name(root)) for name in names}


def _model_files(folder: Path, settings: Workspace) -> dict[Path, str]:
    """The files of a model, the spec last: without it the folder is no target."""
    base, of_base = _base(settings)
    values = {"name": _name(folder), "base": base, "python": of_base.suite.python}
    # Named model.toml, the template would be a target in the workspace of mpbuild's own sources.
    templates = {name: "spec.toml" if name == MODEL_FILE else name for name in _MODEL_FILES}
    return {folder / n: _template(f"model/{t}", **values) for n, t in templates.items()}


def _base(settings: Workspace) -> tuple[str, Base]:
    """The first base of the workspace."""
    for name, base in settings.bases.items():
        return name, base
    raise InputError(
        "the workspace has no base for the model",
        where=WORKSPACE_FILE,
        hint="add a table [bases.NAME]; `mpbuild schema workspace` lists its keys",
    )


def _template(file: str, /, **values: str) -> str:
    text = (
        resource_files("mpbuild.app.workspace")
        .joinpath("templates", file)
        .read_text(encoding="utf-8")
    )
    return string.Template(text).substitute(values)


def _name(folder: Path) -> str:
    """The folder's name in the form of a package's or a workspace's name."""
    return re.sub("[^a-z0-9]+", "-", folder.name.lower()).strip("-")[:100] or "models"


def _refuse_existing(paths: Iterable[Path]) -> None:
    findings = [_existing(path) for path in sorted(paths) if _exists(path)]
    if findings:
        raise InputError.collect(findings)


def _exists(path: Path) -> bool:
    """Whether the path is taken, even by a dangling link."""
    return path.exists() or path.is_symlink()


def _existing(path: Path) -> Finding:
    return Finding(Code.USAGE, "already exists", str(path), "choose another folder")


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
