"""Finds current URLs of locked files; locks hold none."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import msgspec

from mpbuild.app.lock.debian_archives import debian_mirrors, debian_security_mirrors
from mpbuild.base.digest import Digest
from mpbuild.derive.environment_locks import EnvironmentLocks
from mpbuild.effects.http.client import HttpClient
from mpbuild.effects.http.file_request import FileRequest
from mpbuild.effects.python.indexes import PythonIndex
from mpbuild.effects.python.projects import Projects
from mpbuild.effects.python.uv import Uv
from mpbuild.effects.registry.artifacts import artifact_request
from mpbuild.formats.debian.deblock import DebianPackage, filename
from mpbuild.resolve import python_lock
from mpbuild.spec.model import Model
from mpbuild.spec.workspace import Base


def wheel_requests(
    lock: EnvironmentLocks,
    missing: Collection[Digest],
    find: Callable[[str], PythonIndex],
    web: HttpClient,
) -> Iterator[FileRequest]:
    """Requests for the ``missing`` wheels of a lock; asks no index where none is missing.

    ``find`` returns the index of a name.
    """
    packages = tuple(p for p in lock.python.packages if p.wheel.sha256 in missing)
    if packages:
        part = msgspec.structs.replace(lock.python, packages=packages)
        uv = Uv.find(os.environ)
        yield from python_lock.requests(part, find=find, uv=uv, projects=Projects(web))


def weight_requests(
    model: Model, missing: Collection[Digest], web: HttpClient
) -> Iterator[FileRequest]:
    """Requests for the ``missing`` weights of a spec."""
    for weight in model.core.weights:
        if weight.url and weight.sha256 and weight.sha256 in missing:
            size = weight.size or 0
            yield artifact_request(weight.name, weight.url, weight.sha256, size, web)


def deb_requests(
    lock: EnvironmentLocks, missing: Collection[Digest], base: Base | None
) -> Iterator[FileRequest]:
    """Requests for the ``missing`` Debian packages of a lock.

    Without ``base``, as for a package from elsewhere, this machine's mirrors are used.
    """
    packages = tuple(p for p in lock.debian.packages if p.sha256 in missing)
    if packages:
        updates = any(package.security for package in packages)
        security = debian_security_mirrors(base) if updates else ()
        yield from pool_requests(packages, debian_mirrors(base), security)


def pool_requests(
    packages: Iterable[DebianPackage], mirrors: Sequence[str], security: Sequence[str] = ()
) -> Iterator[FileRequest]:
    """Requests for ``packages``, each from any mirror of its archive.

    ``security`` are the mirrors of security updates.
    """
    for package in packages:
        roots = security if package.security else mirrors
        yield FileRequest(
            name=filename(package.name, package.version, package.architecture),
            urls=tuple(f"{root}/{package.path}" for root in roots),
            digest=package.sha256,
            size=package.size,
        )
