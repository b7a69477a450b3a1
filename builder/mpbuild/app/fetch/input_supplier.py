"""Supplies a verifier with inputs by digest: from the store, the package, or the network."""

import os
from collections.abc import Iterator

from mpbuild.base.codes import Code
from mpbuild.base.digest import Digest
from mpbuild.base.errors import EnvironmentFailureError, Finding, InputError
from mpbuild.derive.environment_locks import EnvironmentLocks
from mpbuild.effects.store.store import Store
from mpbuild.formats.oci import oci
from mpbuild.package.location import BlobSource

_FILE = "application/octet-stream"


class InputSupplier:
    """Brings the files that locks name into the store.

    Takes them from the package (wheels from its PEX files, the rest from its inputs artifact), and
    else from the verifier's own index and mirrors. Trusts neither: every file is checked against
    the digest in the lock.
    """

    def __init__(self, store: Store, place: BlobSource, *, offline: bool) -> None:
        self._store = store
        self._place = place
        self._offline = offline

    def bring(self, lock: EnvironmentLocks) -> list[Finding]:
        """Brings the files of ``lock``; an unavailable file is a content-missing finding."""
        for file in lock.files:
            if not self._store.has(file.digest) and self._place.has(file.digest):
                descriptor = oci.Descriptor(media_type=_FILE, digest=file.digest, size=file.size)
                self._store.put(self._place.layer(descriptor))
        missing = {f.digest: f.name for f in lock.files if not self._store.has(f.digest)}
        reason = "it is not in the store, and --offline forbids fetching it"
        if missing and not self._offline:
            reason = self._fetch(lock, set(missing))
        return [
            Finding(Code.CONTENT_MISSING, f"the input {digest} is unavailable: {reason}", name)
            for digest, name in missing.items()
            if not self._store.has(digest)
        ]

    def _fetch(self, lock: EnvironmentLocks, missing: set[Digest]) -> str:
        """Fetches what it can; returns why the rest failed."""
        from mpbuild.app.fetch.file_requests import deb_requests, wheel_requests
        from mpbuild.effects.http.client import http_client
        from mpbuild.effects.http.download import FileSink, download
        from mpbuild.effects.http.file_request import FileRequest
        from mpbuild.effects.python.indexes import PythonIndex, find_index

        sink = FileSink(self._store.path / "partial", self._store.has, self._store.adopt)

        web = http_client(os.environ)

        def find(name: str) -> PythonIndex:
            return find_index(os.environ, name=name)

        def wheels() -> Iterator[FileRequest]:
            return wheel_requests(lock, missing, find, web)

        def debs() -> Iterator[FileRequest]:
            return deb_requests(lock, missing, None)

        reasons = []
        for requests in (wheels, debs):
            try:
                download(tuple(requests()), into=sink, web=web)
            except (InputError, EnvironmentFailureError) as error:
                reasons.append(error.findings[0].message)
        return "; ".join(reasons)
