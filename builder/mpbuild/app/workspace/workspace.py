"""The workspace and its targets, read."""

from functools import cached_property
from pathlib import Path
from typing import Any

from mpbuild.app.workspace.targets import MODEL_FILE, WORKSPACE_FILE
from mpbuild.base.codes import Code
from mpbuild.base.errors import InputError
from mpbuild.base.label import Label
from mpbuild.spec.model import Model
from mpbuild.spec.read import document, read_model, read_workspace
from mpbuild.spec.workspace import Workspace


class OpenWorkspace:
    """A workspace on disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.text = read_text(root / WORKSPACE_FILE, WORKSPACE_FILE)
        self.settings: Workspace = read_workspace(self.text, file=WORKSPACE_FILE)

    def target(self, label: Label) -> "Target":
        """The target, its spec read."""
        return Target(self, label)

    def lock_folder(self, label: Label) -> Path:
        """Where the target's locks are."""
        return self.root / self.settings.lock.directory / label.path


class Target:
    """A folder with a model.toml."""

    def __init__(self, workspace: OpenWorkspace, label: Label) -> None:
        self.workspace = workspace
        self.label = label
        self.folder = workspace.root / label.path
        self.file = f"{label.path}/{MODEL_FILE}".lstrip("/")
        self.text = read_text(self.folder / MODEL_FILE, self.file)

    @cached_property
    def model(self) -> Model:
        """The spec as data."""
        return read_model(
            self.text,
            file=self.file,
            folder=self.label.path,
            workspace=self.workspace.settings,
        )

    @property
    def document(self) -> dict[str, Any]:
        """The core spec as plain JSON data, as it travels in the package."""
        return document(self.text)


def read_text(path: Path, where: str, *, code: Code | None = None) -> str:
    """A text file of the workspace, which messages call ``where``."""
    if path.is_fifo():
        raise InputError("can't be read: it is a pipe", where=where, code=code)
    try:
        data = path.read_bytes()
        text = data.decode()
    except OSError as error:
        raise InputError(f"can't be read: {error.strerror}", where=where, code=code) from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"not UTF-8: the byte 0x{data[error.start]:02x}", where=f"{where}:{line}", code=code
        ) from error
    if text.startswith("\ufeff"):
        raise InputError(
            "begins with a byte order mark",
            where=f"{where}:1",
            hint="save it as UTF-8 without one",
            code=code,
        )
    return text
