"""Inputs for a verifier: by digest from the store, else from where they are today."""

import os
from collections.abc import Iterator

import msgspec

from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError, WorldError
from mpbuild.derive.recipe import Locks
from mpbuild.effects.apt import mirrors
from mpbuild.effects.download import Depot, Request, download
from mpbuild.effects.indexes import find_index
from mpbuild.effects.store import Store
from mpbuild.effects.uv import Uv
from mpbuild.effects.web import Web
from mpbuild.resolve import debian, python


class Inputs:
    """Brings what locks name into the store, through the verifier's own index and mirrors.

    Nothing of this is trusted: every file is checked against the digest in the lock.
    """

    def __init__(self, store: Store, *, offline: bool) -> None:
        self._store = store
        self._offline = offline

    def bring(self, lock: Locks) -> list[Finding]:
        """What could not be had, as content-missing findings."""
        missing = {digest: name for name, digest in _named(lock) if not self._store.has(digest)}
        reason = "it is not in the store, and --offline forbids to fetch it"
        if missing and not self._offline:
            reason = self._fetch(lock, set(missing))
        return [
            Finding("content-missing", f"the input {digest} can't be had: {reason}", name)
            for digest, name in missing.items()
            if not self._store.has(digest)
        ]

    def _fetch(self, lock: Locks, missing: set[Digest]) -> str:
        """Get what can be got; why the rest could not."""
        depot = Depot(self._store.path / "partial", self._store.has, self._store.adopt)
        reasons = []
        for requests in (_wheels, _debs):
            try:
                download(tuple(requests(lock, missing)), into=depot, web=Web(os.environ))
            except (InputError, WorldError) as error:
                reasons.append(error.findings[0].message)
        return "; ".join(reasons)


def _named(lock: Locks) -> Iterator[tuple[str, Digest]]:
    for package in lock.python.packages:
        yield package.wheel.filename, package.wheel.sha256
    for deb in lock.debian.packages:
        yield deb.path.rsplit("/", 1)[-1], deb.sha256


def _wheels(lock: Locks, missing: set[Digest]) -> Iterator[Request]:
    packages = tuple(p for p in lock.python.packages if p.wheel.sha256 in missing)
    if packages:
        part = msgspec.structs.replace(lock.python, packages=packages)
        index = find_index(os.environ)
        yield from python.requests(part, index=index, uv=Uv.find(os.environ))


def _debs(lock: Locks, missing: set[Digest]) -> Iterator[Request]:
    packages = tuple(p for p in lock.debian.packages if p.sha256 in missing)
    if packages:
        part = msgspec.structs.replace(lock.debian, packages=packages)
        yield from debian.requests(part, mirrors((), os.environ))
