"""Where locked files are today: asked when they are wanted, and never written down."""

import os
from collections.abc import Callable, Collection, Iterator

import msgspec

from mpbuild.app.debian_archive import debian_mirrors, debian_security_mirrors
from mpbuild.base.digest import Digest
from mpbuild.derive.recipe import Locks
from mpbuild.effects.artifacts import artifact_request
from mpbuild.effects.indexes import Index
from mpbuild.effects.projects import Projects
from mpbuild.effects.registry import RegistryWeb
from mpbuild.effects.request import Request
from mpbuild.effects.uv import Uv
from mpbuild.effects.web import Web
from mpbuild.resolve import debian, python
from mpbuild.spec.model import Model
from mpbuild.spec.workspace import Base


def wheel_requests(
    lock: Locks, missing: Collection[Digest], find: Callable[[str], Index], web: Web
) -> Iterator[Request]:
    """How to get the ``missing`` ones of a lock's wheels; without any, nobody is asked.

    ``find`` gives an index by its name.
    """
    packages = tuple(p for p in lock.python.packages if p.wheel.sha256 in missing)
    if packages:
        part = msgspec.structs.replace(lock.python, packages=packages)
        uv = Uv.find(os.environ)
        yield from python.requests(part, find=find, uv=uv, projects=Projects(web))


def weight_requests(
    model: Model, missing: Collection[Digest], web: RegistryWeb
) -> Iterator[Request]:
    """How to get the ``missing`` ones of the weights that a spec fetches."""
    for weight in model.core.weights:
        if weight.url and weight.sha256 and weight.sha256 in missing:
            size = weight.size or 0
            yield artifact_request(weight.name, weight.url, weight.sha256, size, web)


def deb_requests(lock: Locks, missing: Collection[Digest], base: Base | None) -> Iterator[Request]:
    """How to get the ``missing`` ones of a lock's Debian packages.

    Where nobody knows ``base``, as for a package of somebody else, this machine's mirrors serve.
    """
    packages = tuple(p for p in lock.debian.packages if p.sha256 in missing)
    if packages:
        part = msgspec.structs.replace(lock.debian, packages=packages)
        updates = any(package.security for package in packages)
        security = debian_security_mirrors(base) if updates else ()
        yield from debian.requests(part, debian_mirrors(base), security)
