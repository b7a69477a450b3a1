"""Where locked files are today: asked when they are wanted, and never written down."""

import os
from collections.abc import Collection, Iterator, Sequence

import msgspec

from mpbuild.base.digest import Digest
from mpbuild.derive.recipe import Locks
from mpbuild.effects.apt import mirrors
from mpbuild.effects.artifacts import artifact_request
from mpbuild.effects.indexes import Index
from mpbuild.effects.registry import RegistryWeb
from mpbuild.effects.request import Request
from mpbuild.effects.uv import Uv
from mpbuild.resolve import debian, python
from mpbuild.spec.model import Model


def wheel_requests(lock: Locks, missing: Collection[Digest], index: Index) -> Iterator[Request]:
    """How to get the ``missing`` ones of a lock's wheels; without any, nobody is asked."""
    packages = tuple(p for p in lock.python.packages if p.wheel.sha256 in missing)
    if packages:
        part = msgspec.structs.replace(lock.python, packages=packages)
        yield from python.requests(part, index=index, uv=Uv.find(os.environ))


def weight_requests(
    model: Model, missing: Collection[Digest], web: RegistryWeb
) -> Iterator[Request]:
    """How to get the ``missing`` ones of the weights that a spec fetches."""
    for weight in model.core.weights:
        if weight.url and weight.sha256 and weight.sha256 in missing:
            size = weight.size or 0
            yield artifact_request(weight.name, weight.url, weight.sha256, size, web)


def deb_requests(
    lock: Locks, missing: Collection[Digest], configured: Sequence[str]
) -> Iterator[Request]:
    """How to get the ``missing`` ones of a lock's Debian packages."""
    packages = tuple(p for p in lock.debian.packages if p.sha256 in missing)
    if packages:
        part = msgspec.structs.replace(lock.debian, packages=packages)
        yield from debian.requests(part, mirrors(configured, os.environ))
