"""Debian locks: the packages of one environment's base, each by digest, without URLs.

A canonical TOML of mpbuild's own: facts about the lock, ``[[packages]]`` by name, then, if any,
``[[links]]`` by package and path. A package from the security archive has ``archive = "security"``.
A row of the link table replaces an update-alternatives call of the package's scripts: ``path`` is a
link to ``target``, a file of ``package``, or, with ``omitted = true``, the package gets no links.
Every error is an InputError (lock-malformed) with the path inside the document.
"""

import re
from collections.abc import Collection, Sequence

import msgspec

from mpbuild.base.digest import Digest
from mpbuild.base.errors import InputError
from mpbuild.formats.lock_toml import LockTable, lines, malformed, refuse_doubles, sealed

FORMAT = 1

_CREATOR = "mpbuild"
_ENVIRONMENT = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_SUITE = re.compile(r"[a-z][a-z0-9-]*")
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_VERSION = re.compile(r"(?:\d+:)?[0-9][A-Za-z0-9.+:~-]*")
ARCHITECTURE = "amd64"
_ARCHITECTURE = re.compile(r"[a-z0-9-]+")
_POOL = re.compile(r"pool/(?:[A-Za-z0-9][A-Za-z0-9+._~-]*/)+")
_SECURITY = "security"
_ROOTED = re.compile(r"(?!.*/\.\.?(?:/|$))(?:/[A-Za-z0-9._+@-]+)+")


class DebianPackage(msgspec.Struct, frozen=True, kw_only=True):
    """A locked package; ``path`` is relative to the root of a mirror.

    ``base`` marks the closure of the base's own packages, which models share, as opposed to what a
    model's ``system`` packages add. ``security`` marks packages of the security archive.
    """

    name: str
    version: str
    architecture: str
    base: bool
    path: str
    sha256: Digest
    size: int
    security: bool = False


class Link(msgspec.Struct, frozen=True, order=True):
    """A row of the link table; without path and target, the package gets no links."""

    package: str
    path: str = ""
    target: str = ""

    @property
    def omitted(self) -> bool:
        """Whether the package gets no links."""
        return not self.path


class DebianLock(msgspec.Struct, frozen=True, kw_only=True):
    """The Debian packages of one environment, sorted by name, and their links.

    ``resolution`` is the digest of the canonical resolution inputs.
    """

    environment: str
    suite: str
    architecture: str
    resolution: Digest
    packages: tuple[DebianPackage, ...]
    links: tuple[Link, ...] = ()


def write(lock: DebianLock) -> str:
    """The canonical text of ``lock``."""
    head = [
        *lines(
            format=FORMAT,
            created_by=_CREATOR,
            environment=lock.environment,
            suite=lock.suite,
            architecture=lock.architecture,
            count=len(lock.packages),
            resolution=lock.resolution,
        ),
        *([] if lock.packages else ["packages = []"]),
    ]
    packages = [_text(package) for package in sorted(lock.packages, key=lambda p: p.name)]
    links = [_link_text(link) for link in sorted(lock.links)]
    return sealed((head, *packages, *links), at=0)


def read(text: str, *, file: str) -> DebianLock:
    """Reads the lock in ``text``, in any layout; ``file`` names it in errors."""
    try:
        return _lock(LockTable.document(text))
    except InputError as error:
        raise error.within(file) from None


def filename(name: str, version: str, architecture: str) -> str:
    """The file name of a package in a pool; the version has no epoch there."""
    return f"{name}_{version.split(':', 1)[-1]}_{architecture}.deb"


def is_pool_path(path: str, file: str) -> bool:
    """Whether ``path`` is a path to ``file`` inside the pool."""
    folder = path.removesuffix(file)
    return folder != path and _POOL.fullmatch(folder) is not None


def _text(package: DebianPackage) -> list[str]:
    return [
        "[[packages]]",
        *lines(
            name=package.name,
            version=package.version,
            architecture=package.architecture,
            base=package.base,
            path=package.path,
            size=package.size,
            sha256=package.sha256.hex,
            **({"archive": _SECURITY} if package.security else {}),
        ),
    ]


def _link_text(link: Link) -> list[str]:
    if link.omitted:
        return ["[[links]]", *lines(package=link.package, omitted=True)]
    return ["[[links]]", *lines(package=link.package, path=link.path, target=link.target)]


def _lock(document: LockTable) -> DebianLock:
    document.exactly("format", FORMAT)
    document.exactly("created-by", _CREATOR)
    document.exactly("architecture", ARCHITECTURE)
    packages = [_package(table) for table in document.tables("packages")]
    refuse_doubles([package.name for package in packages])
    document.exactly("count", len(packages))
    links = [_link(table) for table in document.tables("links")] if document.has("links") else []
    _check_links(links, {package.name for package in packages})
    lock = DebianLock(
        environment=document.text("environment", _ENVIRONMENT),
        suite=document.text("suite", _SUITE),
        architecture=ARCHITECTURE,
        resolution=document.digest("resolution"),
        packages=tuple(sorted(packages, key=lambda p: p.name)),
        links=tuple(sorted(links)),
    )
    document.digest("content")  # checked by comparing the whole text with that of write
    document.done()
    return lock


def _package(table: LockTable) -> DebianPackage:
    package = DebianPackage(
        name=table.text("name", _NAME),
        version=table.text("version", _VERSION),
        architecture=table.text("architecture", _ARCHITECTURE),
        base=table.flag("base"),
        path=table.text("path"),
        sha256=table.sha256(),
        size=table.size(),
        security=_is_security(table),
    )
    table.done()
    if package.architecture not in (ARCHITECTURE, "all"):
        raise malformed(
            f"{package.architecture!r} is neither {ARCHITECTURE} nor all",
            table.path("architecture"),
        )
    file = filename(package.name, package.version, package.architecture)
    if not is_pool_path(package.path, file):
        raise malformed(f"{package.path!r} is not a path to {file} in pool/", table.path("path"))
    return package


def _is_security(table: LockTable) -> bool:
    if not table.has("archive"):
        return False
    table.exactly("archive", _SECURITY)
    return True


def _link(table: LockTable) -> Link:
    package = table.text("package", _NAME)
    if table.has("omitted"):
        if not table.flag("omitted"):
            raise malformed("can only be true", table.path("omitted"))
        link = Link(package)
    else:
        link = Link(package, table.text("path", _ROOTED), table.text("target", _ROOTED))
    table.done()
    return link


def _check_links(links: Sequence[Link], packages: Collection[str]) -> None:
    """Checks that links have distinct paths, and packages of the lock that are not omitted."""
    omitted = {link.package for link in links if link.omitted}
    seen: set[str] = set()
    for i, link in enumerate(links):
        key = link.path or link.package
        if link.package not in packages:
            raise malformed(f"{link.package} is not in the lock", f"links[{i}].package")
        if key in seen or (link.package in omitted and not link.omitted):
            raise malformed("contradicts another link", f"links[{i}]")
        seen.add(key)
