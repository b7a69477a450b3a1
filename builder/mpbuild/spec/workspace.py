"""mpbuild.toml: settings that all targets of a workspace share.

Each class is a table of the file, each field a key; see tables.py.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec

from mpbuild.base.accelerator import Accelerator
from mpbuild.spec.place import Place, shown
from mpbuild.spec.tables import Alternative, Items, Table
from mpbuild.spec.vocabulary import (
    Address,
    DebianPackage,
    Duration,
    IndexName,
    InnerPath,
    Line,
    MachinePath,
    Name,
    PackagePattern,
    Requirement,
    RootedPath,
    SchemaVersion,
    Size,
    SnapshotMoment,
    Suite,
)


class WorkspaceSettings(Table, frozen=True, kw_only=True):
    """The workspace itself."""

    name: Annotated[Name, "The name of the workspace."]
    ignore: Annotated[
        tuple[InnerPath, ...], Items(distinct=True), "Folders in which no target is looked for."
    ] = ()


class IndexSettings(Table, frozen=True, kw_only=True):
    """An index of Python packages; locks contain its name and never its URL."""

    url: Annotated[
        Address | None,
        "Its address (PEP 503); if neither this nor a folder is given, the user's configuration of "
        "uv or pip says.",
    ] = None
    folder: Annotated[
        InnerPath | None, "A folder of wheels in the workspace, in place of an address."
    ] = None
    packages: Annotated[
        tuple[PackagePattern, ...],
        Items(distinct=True),
        "The packages that it owns: they come from here and from nowhere else, and nothing else "
        "comes from here. Of the default index, which has all others, not given.",
    ] = ()
    accelerators: Annotated[
        tuple[Accelerator, ...],
        Items(distinct=True),
        "The accelerators whose environments it serves; all if not given.",
    ] = ()
    dated: Annotated[
        bool,
        "Whether it says when files were uploaded. The cooldown doesn't hold for an index that "
        "doesn't, nor for a folder.",
    ] = True
    build: Annotated[
        bool,
        "Whether a package that it owns and has no wheel of is built, once, in the sandbox, from "
        "its source distribution in the index that would own it otherwise. Only of a folder, which "
        "the wheel gets into.",
    ] = False

    def serves(self, accelerator: Accelerator) -> bool:
        """Whether it serves the environments of ``accelerator``."""
        return not self.accelerators or accelerator in self.accelerators

    def check(self, at: Place) -> None:
        """Checks that an index has one location."""
        if self.url and self.folder:
            (at / "folder").wrong("an index has an address or a folder, not both")
        if self.build and not self.folder:
            (at / "build").wrong(
                "what is built needs a folder to get into",
                hint='give the index one, such as folder = "third_party/wheels"',
            )


class Override(Table, frozen=True, kw_only=True):
    """A requirement that replaces those of packages."""

    requirement: Annotated[Requirement, "What is asked for instead (PEP 508)."]
    reason: Annotated[Line, "Why the packages' own word doesn't count."]


_LONGEST_COOLDOWN = 3650 * 24 * 60 * 60 * 1000


class LockSettings(Table, frozen=True, kw_only=True):
    """The folder of locks, and settings for all of them."""

    directory: Annotated[InnerPath, "The folder of all locks."] = "lockfiles"
    cooldown: Annotated[Duration | None, "Releases younger than this don't count when locking."] = (
        None
    )
    constraints: Annotated[
        tuple[Requirement, ...],
        Items(distinct=True),
        "Bounds (PEP 508) on versions of packages of all targets, which they don't bring in.",
    ] = ()
    overrides: Annotated[
        tuple[Override, ...], "Requirements in place of what packages ask for, for all targets."
    ] = ()

    def check(self, at: Place) -> None:
        """Checks that the cooldown leaves releases."""
        if self.cooldown and self.cooldown > _LONGEST_COOLDOWN:
            (at / "cooldown").wrong("it is above the maximum of ten years (3650d)")


class LinkSettings(Table, frozen=True, kw_only=True):
    """A link that a Debian package's scripts would make by update-alternatives.

    Without path and target, the package's alternatives are left out.
    """

    ALTERNATIVES: ClassVar = (
        Alternative(required=("path", "target")),
        Alternative(required=("omitted",)),
    )

    package: Annotated[DebianPackage, "The package whose script would make it."]
    path: Annotated[RootedPath | None, "Where the link stands."] = None
    target: Annotated[RootedPath | None, "The file of the package that it leads to."] = None
    omitted: Annotated[Line | None, "Why nothing of the kind is needed."] = None


def check_links(links: Sequence[LinkSettings], at: Place) -> None:
    """Checks that paths are unique, and that no package both has links and is left out."""
    omitted = {link.package for link in links if link.omitted}
    seen: set[str] = set()
    for position, link in enumerate(links):
        if link.path and link.path in seen:
            (at / position / "path").wrong(f"another link stands at {link.path}")
        if not link.omitted and link.package in omitted:
            (at / position).wrong(f"{shown(link.package)} is omitted by another row")
        seen.add(link.path or "")


class Base(Table, frozen=True, kw_only=True):
    """A root file system of Debian packages, including the interpreter."""

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
    security: Annotated[
        bool, "Whether the suite's security updates count: the newer package of the two archives."
    ] = True
    security_mirrors: Annotated[
        tuple[Address, ...],
        Items(distinct=True),
        "Addresses of mirrors of the security archive; if none is given, "
        "MPBUILD_DEBIAN_SECURITY_MIRROR, then the machine's own apt sources, then beside each "
        "mirror the archive that is called like it with -security.",
    ] = ()
    snapshot: Annotated[
        SnapshotMoment | None,
        "The archive as it was at this moment; {snapshot} in the addresses of mirrors stands for "
        "it.",
    ] = None
    links: Annotated[
        tuple[LinkSettings, ...], "Links for packages of the base that need update-alternatives."
    ] = ()
    keyring: Annotated[
        InnerPath | None, "Keys that the suite's signature is checked with, in place of Debian's."
    ] = None

    def check(self, at: Place) -> None:
        """Checks the keys for mirrors, and the link table."""
        if self.security_mirrors and not self.security:
            (at / "security_mirrors").wrong("security updates don't count for this base")
        for key in ("mirrors", "security_mirrors"):
            for position, address in enumerate(getattr(self, key)):
                if "{snapshot}" in address and not self.snapshot:
                    (at / key / position).wrong(
                        "it asks for a snapshot, and the base has none",
                        hint='give it one, such as snapshot = "20261101T000000Z"',
                    )
        check_links(self.links, at / "links")


class StoreSettings(Table, frozen=True, kw_only=True):
    """The location of the store on this machine."""

    path: Annotated[MachinePath | None, "The folder of the store."] = None
    maximum: Annotated[Size | None, "How large it may grow."] = None


def _default_index() -> dict[str, IndexSettings]:
    return {"default": IndexSettings()}


class Workspace(Table, frozen=True, kw_only=True):
    """An mpbuild.toml: the file at the root of a workspace."""

    LATER: ClassVar = ("deployments", "policies", "remote")

    schema_version: Annotated[SchemaVersion, "The version of this format."]
    workspace: Annotated[WorkspaceSettings, "The workspace itself."]
    indexes: Annotated[
        dict[IndexName, IndexSettings],
        Items(least=1),
        "The indexes that Python packages come from.",
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

    def index(self, name: str) -> IndexSettings:
        """Returns the index with a name; the default one needs no table."""
        return self.indexes.get(name) or IndexSettings()

    def owning(self, accelerator: Accelerator) -> dict[str, IndexSettings]:
        """Returns the indexes, by name, that own packages of environments for ``accelerator``."""
        return {
            name: index
            for name, index in self.indexes.items()
            if index.packages and index.serves(accelerator)
        }

    def check(self, at: Place) -> None:
        """Checks that every package has at most one owner, and the default index no patterns."""
        owners: dict[str, list[tuple[str, IndexSettings]]] = {}
        for name, index in self.indexes.items():
            place = at / "indexes" / name
            if name == "default":
                _refuse_owning(index, place)
            elif not index.packages:
                (place / "packages").wrong(
                    f"the index {shown(name)} owns no packages",
                    hint='say which come from it, such as ["torch", "nvidia-*"]',
                )
            for position, pattern in enumerate(index.packages):
                _refuse_shared(owners.get(pattern, ()), index, place / "packages" / position)
                owners.setdefault(pattern, []).append((name, index))


def _refuse_owning(index: IndexSettings, at: Place) -> None:
    for key in ("packages", "accelerators", "build"):
        if getattr(index, key):
            (at / key).wrong("the default index has what no other owns, for all accelerators")


def _refuse_shared(
    owners: Sequence[tuple[str, IndexSettings]], index: IndexSettings, at: Place
) -> None:
    for other, owner in owners:
        if any(index.serves(one) and owner.serves(one) for one in Accelerator):
            at.wrong(
                f"the index {shown(other)} owns it, too",
                hint="let each serve other accelerators, or take it out of one",
            )
