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
    Url,
)


class WorkspaceSettings(Table, frozen=True, kw_only=True):
    """The workspace itself."""

    name: Annotated[Name, "The name of the workspace."]
    ignore: Annotated[
        tuple[InnerPath, ...], Items(distinct=True), "Folders that are not searched for targets."
    ] = ()


class IndexSettings(Table, frozen=True, kw_only=True):
    """An index of Python packages; locks contain its name and never its URL."""

    url: Annotated[
        Url | None,
        "The URL (PEP 503). Without url and folder, the user's configuration of uv or pip applies.",
    ] = None
    folder: Annotated[
        InnerPath | None, "A folder of wheels in the workspace, in place of a URL."
    ] = None
    packages: Annotated[
        tuple[PackagePattern, ...],
        Items(distinct=True),
        "The packages that the index owns: they come from no other index, and no other packages "
        "come from this one. Not for the default index, which has all other packages.",
    ] = ()
    accelerators: Annotated[
        tuple[Accelerator, ...],
        Items(distinct=True),
        "The accelerators whose environments it serves; default: all.",
    ] = ()
    dated: Annotated[
        bool,
        "Whether the index has upload dates. The cooldown doesn't apply to an index without dates, "
        "nor to a folder.",
    ] = True
    build: Annotated[
        bool,
        "Whether to build missing wheels of owned packages, once and in the sandbox, from source "
        "distributions of the index that would own them otherwise. Requires `folder`, which "
        "receives the wheels.",
    ] = False

    def serves(self, accelerator: Accelerator) -> bool:
        """Whether it serves the environments of ``accelerator``."""
        return not self.accelerators or accelerator in self.accelerators

    def check(self, at: Place) -> None:
        """Checks that an index has one location."""
        if self.url and self.folder:
            (at / "folder").wrong("an index has a URL or a folder, not both")
        if self.build and not self.folder:
            (at / "build").wrong(
                "`build` requires a folder for the built wheels",
                hint='set one, such as folder = "third_party/wheels"',
            )


class Override(Table, frozen=True, kw_only=True):
    """A requirement that replaces those of packages."""

    requirement: Annotated[Requirement, "The requirement that replaces them (PEP 508)."]
    reason: Annotated[Line, "Why the packages' own requirements are wrong."]


_LONGEST_COOLDOWN = 3650 * 24 * 60 * 60 * 1000


class LockSettings(Table, frozen=True, kw_only=True):
    """The folder of locks, and settings for all of them."""

    directory: Annotated[InnerPath, "The folder of all locks."] = "lockfiles"
    cooldown: Annotated[
        Duration | None, "The minimum age of releases; locking ignores younger ones."
    ] = None
    constraints: Annotated[
        tuple[Requirement, ...],
        Items(distinct=True),
        "Version constraints (PEP 508) for all targets; they apply to installed packages and "
        "install none.",
    ] = ()
    overrides: Annotated[
        tuple[Override, ...],
        "Requirements that replace those that packages declare, for all targets.",
    ] = ()

    def check(self, at: Place) -> None:
        """Checks that the cooldown leaves releases."""
        if self.cooldown and self.cooldown > _LONGEST_COOLDOWN:
            (at / "cooldown").wrong("longer than the maximum of ten years (3650d)")


class LinkSettings(Table, frozen=True, kw_only=True):
    """A link that a Debian package's scripts would make by update-alternatives.

    Without path and target, the package's alternatives are left out.
    """

    ALTERNATIVES: ClassVar = (
        Alternative(required=("path", "target")),
        Alternative(required=("omitted",)),
    )

    package: Annotated[DebianPackage, "The package whose script would make the link."]
    path: Annotated[RootedPath | None, "The path of the link."] = None
    target: Annotated[RootedPath | None, "The target of the link, a file of the package."] = None
    omitted: Annotated[Line | None, "Why the package needs no links."] = None


def check_links(links: Sequence[LinkSettings], at: Place) -> None:
    """Checks that paths are unique, and that no package both has links and is left out."""
    omitted = {link.package for link in links if link.omitted}
    seen: set[str] = set()
    for position, link in enumerate(links):
        if link.path and link.path in seen:
            (at / position / "path").wrong(f"duplicate link {link.path}")
        if not link.omitted and link.package in omitted:
            (at / position).wrong(f"another entry omits the links of {shown(link.package)}")
        seen.add(link.path or "")


class Base(Table, frozen=True, kw_only=True):
    """A root file system of Debian packages, including the interpreter."""

    suite: Annotated[Suite, "The Debian release, which determines the version of Python."]
    packages: Annotated[
        tuple[DebianPackage, ...],
        Items(least=1, distinct=True),
        "Packages to install, with their dependencies.",
    ]
    mirrors: Annotated[
        tuple[Url, ...],
        Items(distinct=True),
        "URLs of mirrors, tried in this order; default: MPBUILD_DEBIAN_MIRROR, then this machine's "
        "apt sources.",
    ] = ()
    security: Annotated[
        bool,
        "Whether to include the suite's security updates; the newer version of a package counts.",
    ] = True
    security_mirrors: Annotated[
        tuple[Url, ...],
        Items(distinct=True),
        "URLs of mirrors of the security archive; default: MPBUILD_DEBIAN_SECURITY_MIRROR, then "
        "this machine's apt sources, then the sibling of each mirror whose name ends in -security.",
    ] = ()
    snapshot: Annotated[
        SnapshotMoment | None,
        "The timestamp of a snapshot of the archive; it replaces {snapshot} in mirror URLs.",
    ] = None
    links: Annotated[
        tuple[LinkSettings, ...],
        "Links that update-alternatives would make for packages of the base.",
    ] = ()
    keyring: Annotated[
        InnerPath | None, "Keys that verify the suite's signature, in place of Debian's."
    ] = None

    def check(self, at: Place) -> None:
        """Checks the keys for mirrors, and the link table."""
        if self.security_mirrors and not self.security:
            (at / "security_mirrors").wrong("the base excludes security updates (security = false)")
        for key in ("mirrors", "security_mirrors"):
            for position, url in enumerate(getattr(self, key)):
                if "{snapshot}" in url and not self.snapshot:
                    (at / key / position).wrong(
                        "the URL contains {snapshot}, but the base has no snapshot",
                        hint='set one, such as snapshot = "20261101T000000Z"',
                    )
        check_links(self.links, at / "links")


class StoreSettings(Table, frozen=True, kw_only=True):
    """The location of the store on this machine."""

    path: Annotated[MachinePath | None, "The folder of the store."] = None
    maximum: Annotated[Size | None, "The maximum size."] = None


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
    lock: Annotated[LockSettings, "The folder of locks, and settings for all of them."] = (
        LockSettings()
    )
    bases: Annotated[
        dict[Name, Base], "Root file systems of Debian packages that environments build on."
    ] = msgspec.field(default_factory=dict)
    store: Annotated[StoreSettings, "The store of this machine."] = StoreSettings()

    @property
    def name(self) -> str:
        """The name of the workspace."""
        return self.workspace.name

    @property
    def ignore(self) -> tuple[str, ...]:
        """Folders that are not searched for targets."""
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
                    hint='list the packages that it owns, such as ["torch", "nvidia-*"]',
                )
            for position, pattern in enumerate(index.packages):
                _refuse_shared(owners.get(pattern, ()), index, place / "packages" / position)
                owners.setdefault(pattern, []).append((name, index))


def _refuse_owning(index: IndexSettings, at: Place) -> None:
    for key in ("packages", "accelerators", "build"):
        if getattr(index, key):
            (at / key).wrong(
                "the default index has all packages that no other index owns, for all accelerators"
            )


def _refuse_shared(
    owners: Sequence[tuple[str, IndexSettings]], index: IndexSettings, at: Place
) -> None:
    for other, owner in owners:
        if any(index.serves(one) and owner.serves(one) for one in Accelerator):
            at.wrong(
                f"the index {shown(other)} also owns it",
                hint="let each serve different accelerators, or remove it from one of them",
            )
