"""An open workspace and its targets."""

from functools import cached_property
from pathlib import Path
from typing import Any

from mpbuild.app.workspace.targets import MODEL_FILE, WORKSPACE_FILE
from mpbuild.base.codes import Code
from mpbuild.base.errors import InputError
from mpbuild.base.label import Label
from mpbuild.effects.workspace.documents import DocumentReader, FreshDocuments
from mpbuild.spec.model import Model
from mpbuild.spec.read import document, read_model, read_workspace
from mpbuild.spec.workspace import Workspace


class OpenWorkspace:
    """A workspace on disk, its mpbuild.toml read.

    ``documents`` reads specs and locks: a snapshot for commands that only read them; by default
    each is read again on each access.
    """

    def __init__(self, root: Path, documents: DocumentReader | None = None) -> None:
        self.root = root
        self.documents = documents or FreshDocuments(root)
        self.text = read_text(self.documents, WORKSPACE_FILE)
        self.settings: Workspace = read_workspace(self.text, file=WORKSPACE_FILE)

    def target(self, label: Label) -> "Target":
        """Reads the model.toml of a target."""
        return Target(self, label)

    def lock_folder(self, label: Label) -> Path:
        """The folder of the target's locks."""
        return self.root / self.settings.lock.directory / label.path


class Target:
    """A folder with a model.toml."""

    def __init__(self, workspace: OpenWorkspace, label: Label) -> None:
        self.workspace = workspace
        self.label = label
        self.folder = workspace.root / label.path
        self.file = f"{label.path}/{MODEL_FILE}".lstrip("/")
        self.text = read_text(workspace.documents, self.file)

    @cached_property
    def model(self) -> Model:
        """The spec as data; raises InputError with every mistake in it."""
        return read_model(
            self.text,
            file=self.file,
            folder=self.label.path,
            workspace=self.workspace.settings,
        )

    @property
    def document(self) -> dict[str, Any]:
        """The core spec as plain JSON data, as it goes into the package."""
        return document(self.text)


def read_text(documents: DocumentReader, path: str, *, code: Code | None = None) -> str:
    """Reads a document as UTF-8; errors have the code ``code``."""
    try:
        data = documents.document(path)
    except InputError as error:
        message = error.findings[0].message
        raise InputError(message, where=path, code=code) from error.__cause__
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"not UTF-8: the byte 0x{data[error.start]:02x}", where=f"{path}:{line}", code=code
        ) from error
    if text.startswith("\ufeff"):
        raise InputError(
            "begins with a byte order mark",
            where=f"{path}:1",
            hint="save it as UTF-8 without one",
            code=code,
        )
    return text
