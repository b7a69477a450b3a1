"""The package indexes of a workspace, by name and as sources of an environment."""

import os
from collections.abc import Iterable

from mpbuild.app.workspace.workspace import OpenWorkspace
from mpbuild.base.accelerator import Accelerator
from mpbuild.base.codes import Code
from mpbuild.base.errors import InputError
from mpbuild.effects.python.index_views import IndexOwner, IndexSources
from mpbuild.effects.python.indexes import PythonIndex, find_index, folder_index


def open_index(workspace: OpenWorkspace, name: str = "default") -> PythonIndex:
    """Returns the index ``name``, as the workspace or the user's configuration defines it.

    Raises InputError if the workspace has no such index, or its URL is unknown.
    """
    settings = workspace.settings
    if name != "default" and name not in settings.indexes:
        raise InputError(
            f"the lock names the index {name!r}, which mpbuild.toml doesn't have",
            code=Code.LOCK_DRIFT,
            hint="run `mpbuild lock`",
        )
    index = settings.index(name)
    if index.folder:
        return folder_index(name, workspace.root / index.folder, filled_later=index.build)
    return find_index(os.environ, name=name, url=index.url or "")


def toolchain_index(workspace: OpenWorkspace, files: Iterable[str], name: str) -> PythonIndex:
    """The index for mpbuild's tools: the user's if the workspace's folder lacks ``files``."""
    index = open_index(workspace, name)
    if index.flat and not all((index.folder / file).is_file() for file in files):
        return find_index(os.environ, name=name)
    return index


def sources(workspace: OpenWorkspace, accelerator: Accelerator) -> IndexSources:
    """Returns the sources of packages for ``accelerator``."""
    settings = workspace.settings
    return IndexSources(
        default=open_index(workspace),
        owners=tuple(
            IndexOwner(
                index=open_index(workspace, name),
                patterns=index.packages,
                dated=index.dated,
            )
            for name, index in sorted(settings.owning(accelerator).items())
        ),
        dated=settings.index("default").dated,
    )
