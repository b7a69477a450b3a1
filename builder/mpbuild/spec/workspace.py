"""mpbuild.toml: what all targets of a workspace share.

Each class is a table of the file, each field a key; tables.py says how to read them.
"""

from typing import Annotated, ClassVar

import msgspec

from mpbuild.spec.tables import Items, Table
from mpbuild.spec.vocabulary import (
    Address,
    DebianPackage,
    IndexName,
    InnerPath,
    MachinePath,
    Name,
    SchemaVersion,
    Size,
    Suite,
)


class WorkspaceSettings(Table, frozen=True, kw_only=True):
    """The workspace itself."""

    name: Annotated[Name, "The name of the workspace."]
    ignore: Annotated[
        tuple[InnerPath, ...], Items(distinct=True), "Folders in which no target is looked for."
    ] = ()


class Index(Table, frozen=True, kw_only=True):
    """An index of Python packages; locks name it and never hold its address."""

    LATER: ClassVar = ("packages",)

    url: Annotated[
        Address | None, "Its address (PEP 503); if not given, the user's configuration says."
    ] = None


class LockSettings(Table, frozen=True, kw_only=True):
    """Where locks are kept."""

    LATER: ClassVar = ("cooldown",)

    directory: Annotated[InnerPath, "The folder of all locks."] = "lockfiles"


class Base(Table, frozen=True, kw_only=True):
    """A root file system made of Debian packages, with the interpreter among them."""

    suite: Annotated[Suite, "The Debian release, which decides the version of Python."]
    packages: Annotated[
        tuple[DebianPackage, ...],
        Items(least=1, distinct=True),
        "Packages to hold; what they depend on comes along.",
    ]
    mirrors: Annotated[
        tuple[Address, ...],
        Items(distinct=True),
        "Addresses of mirrors, tried in this order; if none is given, MPBUILD_DEBIAN_MIRROR and "
        "then the machine's own apt sources.",
    ] = ()
    keyring: Annotated[
        InnerPath | None, "Keys that the suite's signature is checked with, in place of Debian's."
    ] = None


class StoreSettings(Table, frozen=True, kw_only=True):
    """Where blobs and results are kept on this machine."""

    path: Annotated[MachinePath | None, "The folder of the store."] = None
    maximum: Annotated[Size | None, "How large it may grow."] = None


def _default_index() -> dict[str, Index]:
    return {"default": Index()}


class Workspace(Table, frozen=True, kw_only=True):
    """An mpbuild.toml: the file at the root of a workspace."""

    LATER: ClassVar = ("deployments", "policies", "remote")

    schema_version: Annotated[SchemaVersion, "The version of this format."]
    workspace: Annotated[WorkspaceSettings, "The workspace itself."]
    indexes: Annotated[
        dict[IndexName, Index], Items(least=1), "The indexes that Python packages come from."
    ] = msgspec.field(default_factory=_default_index)
    lock: Annotated[LockSettings, "Where locks are kept."] = LockSettings()
    bases: Annotated[dict[Name, Base], "What environments can stand on."] = msgspec.field(
        default_factory=dict
    )
    store: Annotated[StoreSettings, "The store of this machine."] = StoreSettings()

    @property
    def name(self) -> str:
        """The name of the workspace."""
        return self.workspace.name

    @property
    def ignore(self) -> tuple[str, ...]:
        """Folders in which no target is looked for."""
        return self.workspace.ignore
