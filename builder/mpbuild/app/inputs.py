"""Inputs for a verifier: by digest from the store, the package, or where they are today."""

import os
from collections.abc import Iterator

from mpbuild.app.reference import Place
from mpbuild.base.digest import Digest
from mpbuild.base.errors import Finding, InputError, WorldError
from mpbuild.derive.recipe import Locks
from mpbuild.effects.store import Store
from mpbuild.formats import oci

_FILE = "application/octet-stream"


class Inputs:
    """Brings what locks name into the store.

    It comes out of the package (wheels from its PEX files, the rest from its inputs artifact),
    else through the verifier's own index and mirrors. Nothing of this is trusted: every file is
    checked against the digest in the lock.
    """

    def __init__(self, store: Store, place: Place, *, offline: bool) -> None:
        self._store = store
        self._place = place
        self._offline = offline

    def bring(self, lock: Locks) -> list[Finding]:
        """What could not be had, as content-missing findings."""
        for file in lock.files:
            if not self._store.has(file.digest) and self._place.has(file.digest):
                descriptor = oci.Descriptor(media_type=_FILE, digest=file.digest, size=file.size)
                self._store.put(self._place.layer(descriptor))
        missing = {f.digest: f.name for f in lock.files if not self._store.has(f.digest)}
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
        from mpbuild.app.addresses import deb_requests, wheel_requests
        from mpbuild.effects.download import Depot, download
        from mpbuild.effects.indexes import Index, find_index
        from mpbuild.effects.request import Request
        from mpbuild.effects.web import Web

        depot = Depot(self._store.path / "partial", self._store.has, self._store.adopt)

        web = Web(os.environ)

        def find(name: str) -> Index:
            return find_index(os.environ, name=name)

        def wheels() -> Iterator[Request]:
            return wheel_requests(lock, missing, find, web)

        def debs() -> Iterator[Request]:
            return deb_requests(lock, missing, None)

        reasons = []
        for requests in (wheels, debs):
            try:
                download(tuple(requests()), into=depot, web=web)
            except (InputError, WorldError) as error:
                reasons.append(error.findings[0].message)
        return "; ".join(reasons)
